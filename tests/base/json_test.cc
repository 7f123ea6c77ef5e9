#include "base/json.h"

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {
std::string parse_problem(const std::string& text) {
  try {
    parse_json(text, "f.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}
}  // namespace

TEST_CASE("json: comments, order of keys, exact numbers") {
  const Json j = parse_json(
      "// top\n{\"z\": 1, /* in */ \"a\": [true, null, \"x\\u00e9\"], \"n\": -9007199254740993}", "f");
  CHECK(j.begin().key() == "z");
  CHECK(j["a"][2] == "x\xc3\xa9");
  CHECK(j["n"].get<int64_t>() == -9007199254740993LL);
  CHECK(dump_line(parse_json("[0.1, 1e-300, 12345678901234567890, 0.30000000000000004]", "f")) ==
        "[0.1,1e-300,12345678901234567890,0.30000000000000004]");
}

TEST_CASE("json: errors say the line and the column") {
  CHECK(has(parse_problem("{\"a\": 1,\n  \"b\": }"), "f.json: not valid JSON at line 2, column 8"));
  CHECK(has(parse_problem("{\"a\": 1,\n  \"b\": 2"), "line 2"));
  CHECK(has(parse_problem(""), "not valid JSON at column 1"));  // of a single line, the caller knows which
  CHECK(has(parse_problem("{\"a\": nan}"), "f.json: not valid JSON at column"));
  CHECK(parse_problem("{\"a\": 1,\n\n}").find('\n') == std::string::npos);
}

TEST_CASE("json: hostile text ends in one line") {
  CHECK(has(parse_problem("{\"a\": 1, \"b\": {\"a\": 2, \"a\": 3}}"),
            "the key \"a\" stands twice in one object"));
  CHECK(parse_problem("{\"a\": 1, \"b\": {\"a\": 2}, \"c\": [{\"a\": 1}, {\"a\": 1}]}").empty());
  const std::string deep(100000, '[');
  CHECK(has(parse_problem(deep), "not valid JSON"));  // never closed
  CHECK(has(parse_problem(deep + std::string(100000, ']')), "nested deeper than 512 levels"));
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  CHECK(has(parse_problem(objects), "not valid JSON"));
  CHECK(parse_problem(std::string(500, '[') + std::string(500, ']')).empty());
  CHECK(has(parse_problem("[\"\xff\xfe\"]"), "not valid JSON"));
  CHECK(has(parse_problem("[\"\\ud800\"]"), "not valid JSON"));
  CHECK(has(parse_problem("[1e999]"), "not valid JSON"));
  CHECK(has(parse_problem("[1] x"), "not valid JSON"));
  CHECK(has(parse_problem(std::string("[1\0]", 4)), "not valid JSON"));
}

TEST_CASE("json: UTF-16 and archives are called by their names") {
  CHECK(has(parse_problem(std::string("\xff\xfe{\0}\0", 6)), "f.json: UTF-16, expected UTF-8"));
  CHECK(has(parse_problem("PK\x03\x04"), "f.json: a zip archive, expected text: unpack it first"));
}

TEST_CASE("json: a file's error names the file") {
  TempFolder folder;
  const std::string path = folder.write("bad.json", "{");
  try {
    read_json_file(path);
    FAIL("read");
  } catch (const UserError& e) {
    CHECK(has(e.what(), path));
  }
  CHECK_THROWS_AS(read_json_file((folder / "none.json").string()), UserError);
}

TEST_CASE("json: invalid UTF-8 is replaced when written") {
  CHECK(dump_line(Json("a\xff"
                       "b")) ==
        "\"a\xef\xbf\xbd"
        "b\"");
}
