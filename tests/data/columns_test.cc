// Parquet and Arrow files, as pyarrow and datasets write them.
#include "data/columns/columns.h"

#include <filesystem>

#include "data/records.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

const bool kBuilt = std::filesystem::exists(TEMPER_BINARY_DIR "/lib/libtemper_columns.so");

std::string golden(const std::string& name) {
  return test_file("data/golden/columns/" + name);
}

std::string bytes_of(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("columns: rows are what pyarrow reads, or it is said that they cannot be read") {
  const Json files = read_json_file(test_file("data/golden/formats.json"))["columns"];
  REQUIRE(files.size() >= 9);
  for (const Json& file : files) {
    CAPTURE(file["name"]);
    const std::string path = golden(file["name"]);
    if (!kBuilt) {
      CHECK(has(problem([&] { read_records({path}); }),
                "which this build cannot read (libtemper_columns.so is not there)"));
      continue;
    }
    Json rows = Json::array();
    for (const Record& record : read_records({path})) rows.push_back(record.json);
    CHECK(rows == file["rows"]);
  }
}

TEST_CASE("columns: what a file cannot say") {
  const TempFolder folder;
  CHECK(has(problem([&] { read_records({folder.text()}); }),
            "a folder, expected a file, or a folder that datasets' save_to_disk wrote"));
  folder.write("state.json", "{}");
  CHECK(has(problem([&] { read_records({folder.text()}); }), "state.json: names no files"));
  folder.write("dataset_dict.json", R"({"splits": ["train", "test"]})");
  CHECK(has(problem([&] { read_records({folder.text()}); }),
            "a folder of the splits train, test; name one of them"));
  CHECK(columns_kind("PAR1...") == std::string("Parquet"));
  CHECK(columns_kind("{}") == nullptr);
}

// Every byte of a file is the file's own word: a wrong one gives other rows or a line that says so.
TEST_CASE("columns: files that are cut short or damaged") {
  if (!kBuilt) return;
  const TempFolder folder;
  for (const char* name : {"none.parquet", "zstd.parquet", "file.arrow", "odd.arrow"}) {
    CAPTURE(name);
    const std::string whole = bytes_of(golden(name));
    for (const size_t size : {size_t{8}, whole.size() / 2, whole.size() - 9}) {
      const std::string file = folder.write("cut", whole.substr(0, size));
      CHECK(has(problem([&] { read_records({file}); }), "cut"));
    }
    size_t told = 0;
    for (size_t i = 8; i < whole.size(); i += 7) {
      for (const char flip : {'\x01', '\x80', '\xff'}) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        const std::string file = folder.write("damaged", damaged);
        const std::string message = problem([&] { read_records({file}); });
        CHECK(message.find('\n') == std::string::npos);
        if (!message.empty()) ++told;
      }
    }
    CHECK(told > 10);
  }
}
