// Files of records: arrays, tables, and what gzip and zstd made smaller.
#include <zlib.h>
#include <zstd.h>

#include "data/records.h"
#include "data/source/csv.h"
#include "data/source/decompress.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::string gzipped(const std::string& text) {
  z_stream stream = {};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd_of(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  REQUIRE_FALSE(ZSTD_isError(size));
  out.resize(size);
  return out;
}

struct Files {
  TempFolder folder;
  std::vector<Record> read(const std::string& content, const std::string& name = "f.json") const {
    return read_records({folder.write(name, content)});
  }
  // The message without the folder's name.
  std::string told(const std::string& content, const std::string& name = "f.json") const {
    const std::string message = problem([&] { read(content, name); });
    CHECK(message.find('\n') == std::string::npos);
    const std::string prefix = folder.text() + "/";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  }
};

}  // namespace

TEST_CASE("a JSON array is read with the lines its objects begin on") {
  const Files files;
  for (const char* name : {"f.json", "f.jsonl", "anything"}) {
    const auto records = files.read(
        "\xEF\xBB\xBF\n [\n  {\"text\": \"a, ]\\\"\"},\r\n  {\n    \"text\": \"b\"\n  }, {\"text\": "
        "\"c\"}\n]\n",
        name);
    REQUIRE(records.size() == 3);
    CHECK(records[0].json["text"] == "a, ]\"");
    CHECK(records[0].line == 3);
    CHECK(records[1].line == 4);
    CHECK(records[2].line == 6);
  }
  CHECK(files.read("[{\"a\":[1,[2]]},{\"a\":{}}]").size() == 2);

  CHECK(files.told("[]") == "f.json: no records in this file");
  CHECK(files.told("[\n{\"a\":1},\n3]") ==
        "f.json:3: element 2 of the JSON array is a number, or no JSON, expected an object such as "
        "{\"prompt\": ..., \"completion\": ...}");
  CHECK(has(files.told("[[1]]"), "f.json:1: element 1 of the JSON array is a list"));
  CHECK(has(files.told("[\"a\"]"), "is a string, expected an object"));
  CHECK(has(files.told("[\n{\"a\":1},\n{\"a\":\n"),
            "f.json:3: element 2 of the JSON array does not end: the file is cut short"));
  CHECK(has(files.told("[\n{\"a\":1}\n"),
            "f.json:3: the JSON array does not end behind its element 1: the file is cut short"));
  CHECK(has(files.told("[\n{\"a\":1},\n"),
            "element 2 of the JSON array is missing behind a comma: the file is cut short"));
  CHECK(has(files.told("[{\"a\":1},]"), "take the last comma out"));
  CHECK(has(files.told("["), "is missing"));
  CHECK(has(files.told("[{\"a\":1} {\"a\":1}]"),
            "f.json:1: expected a comma or ] behind element 1 of the JSON array, found \"{\""));
  CHECK(has(files.told("[{\"a\":1}]\n[]"), "f.json:2: text behind the end of the JSON array"));
  // Lines are the file's, columns are where it is one line.
  CHECK(has(files.told("[\n{\n\"a\":1,\n\"b\":}\n]"), "f.json: not valid JSON at line 4, column 5"));
  CHECK(has(files.told("[{\"a\":1},{\"b\":}]"),
            "f.json:1: element 2 of the JSON array: not valid JSON at column 6"));
  CHECK(has(files.told("[{\"a\":1,\"a\":2}]"), "the key \"a\" stands twice"));
  CHECK(has(files.told("[{\"a\":\"\xff\"}]"), "not valid JSON"));
}

TEST_CASE("tables are read as Hugging Face datasets reads them, every cell as text") {
  const Files files;
  const Json golden = read_json_file(test_file("data/golden/formats.json"));
  for (const Json& table : golden["tables"]) {
    const auto records = files.read(table["text"], table["name"]);
    Json rows = Json::array();
    for (const Record& record : records) rows.push_back(record.json);
    CHECK(rows == table["rows"]);
  }
  const auto lines = files.read("a,b\n\"x\ny\",1\n\n2,3\n", "t.csv");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].line == 2);
  CHECK(lines[1].line == 5);
  const auto chats = files.read(
      ",messages,note\n0,\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"a\"\"}]\",[1]\n", "t.csv");
  CHECK(chats[0].json == Json{{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"note", "[1]"}});
  CHECK(number_column({{{"r", "0.5"}}, "f", 1}, "r", "x") == 0.5);
  CHECK(has(problem([] { number_column({{{"r", "0.5x"}}, "f", 1}, "r", "x"); }), "must be a finite number"));
  CHECK(has(problem([] { number_column({{{"r", "inf"}}, "f", 1}, "r", "x"); }), "must be a finite number"));

  CHECK(files.told("a,b\n1,2\n3\n", "t.csv") ==
        "t.csv:3: a row of 1 cells, the first row names 2 columns (a, b)");
  CHECK(files.told("a,b\n1,2,3\n", "t.csv") ==
        "t.csv:2: a row of 3 cells, the first row names 2 columns (a, b)");
  CHECK(has(files.told("a,a\n1,2\n", "t.csv"), "t.csv:1: the column \"a\" stands twice"));
  CHECK(has(files.told("a,b\n1,\"2\n", "t.csv"), "t.csv:2: a quote that does not close"));
  CHECK(has(files.told("a,b\n1,\xff\n", "t.csv"), "t.csv:2: invalid UTF-8 in the column \"b\""));
  CHECK(has(files.told("a,b\n", "t.csv"), "no records"));
}

TEST_CASE("gzip and zstd are read, whatever the file is called") {
  const Files files;
  const std::string lines = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n",
                    array = "[{\"text\":\"a\"},\n{\"text\":\"b\"}]";
  for (const auto& pack : {gzipped, zstd_of}) {
    for (const std::string& text : {lines, array}) {
      const auto records = files.read(pack(text), "x");
      REQUIRE(records.size() == 2);
      CHECK(records[1].json["text"] == "b");
      CHECK(records[1].line == 2);
    }
    CHECK(files.read(pack("text,n\na,1\n"), "x.csv.gz").at(0).json["n"] == "1");
    CHECK(files.read(pack("{\"text\":\"a\"}\n") + pack("{\"text\":\"b\"}\n"), "x").size() ==
          2);  // members, frames

    const std::string whole = pack(lines + std::string(100000, ' '));
    for (const size_t size : {size_t{12}, whole.size() / 2, whole.size() - 1})
      CHECK(has(files.told(whole.substr(0, size), "x"), "that is cut short: fetch or copy the file again"));
    std::string damaged = whole;
    for (size_t i = damaged.size() / 2; i < damaged.size(); ++i) damaged[i] = static_cast<char>(~damaged[i]);
    CHECK(has(files.told(damaged, "x"), "damaged"));
    CHECK(has(files.told(whole + "more", "x"), "damaged"));
    CHECK(has(files.told(pack(pack(lines)), "x"), "unpack it first"));
    CHECK(has(files.told(pack(""), "x"), "no records"));
  }
}

TEST_CASE("a small file does not fill the memory") {
  const std::string bomb(kUnpackedAlways + (1 << 20), ' ');
  const Files files;
  for (const auto& pack : {gzipped, zstd_of}) {
    const std::string packed = pack(bomb);
    REQUIRE(packed.size() * kUnpackedRatio < kUnpackedAlways);
    CHECK(has(files.told(packed, "x"), "unpack to more than 64 MiB"));
  }
}
