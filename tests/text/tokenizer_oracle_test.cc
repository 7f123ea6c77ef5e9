// Not a check by itself: encodes and decodes the lines that scripts/oracles/tokenizers_parity.py compares
// with the packages.
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/json.h"
#include "test.h"
#include "text/hex.h"
#include "text/tokenizer.h"

namespace temper {
TEST_CASE("oracle driver" * doctest::skip()) {
  const char* folder = std::getenv("TEMPER_TOKENIZER");
  REQUIRE(folder != nullptr);
  const auto tokenizer = Tokenizer::load(folder);
  std::ifstream in(std::getenv("TEMPER_INPUT"));
  std::ofstream out(std::getenv("TEMPER_OUTPUT"));
  for (std::string line; std::getline(in, line);) {
    const std::string text = from_hex(line);
    Json row = Json::array();
    for (const bool add : {false, true}) {
      for (const bool parse : {false, true}) {
        const auto ids = tokenizer->encode(text, {.add_special = add, .parse_special = parse});
        row.push_back(Json::array({ids, tokenizer->decode(ids, true), tokenizer->decode(ids, false)}));
      }
    }
    out << row.dump() << "\n";
  }
}

}  // namespace temper
