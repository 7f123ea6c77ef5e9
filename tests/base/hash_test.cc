#include "base/hash.h"

#include <set>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

TEST_CASE("hash: a file's fingerprint tells any bit, any length and every piece") {
  TempFolder folder;
  std::string content(3 << 20, 'x');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 2654435761u >> 13);
  const std::string file = folder.write("a", content), whole = file_fingerprint(file);
  CHECK(file_fingerprint(folder.write("b", content)) == whole);
  std::set<std::string> seen = {whole};
  int others = 0;
  for (const size_t at : {size_t{0}, size_t{7}, content.size() / 2, (size_t{1} << 20) - 1, size_t{1} << 20,
                          content.size() - 1}) {
    for (const int bit : {0, 3, 7}) {
      std::string changed = content;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      seen.insert(file_fingerprint(folder.write("c", changed)));
      ++others;
    }
  }
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{1} << 20, (size_t{2} << 20) + 1, content.size() - 1}) {
    seen.insert(file_fingerprint(folder.write("c", content.substr(0, size))));
    ++others;
  }
  CHECK(seen.size() == static_cast<size_t>(others) + 1);
  CHECK_THROWS_AS(file_fingerprint(folder.text("nothing")), UserError);
}
