#include "migrate/yaml.h"

#include "base/error.h"
#include "base/json.h"
#include "migrate/migrate_told.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::string parse_problem(const std::string& text) {
  try {
    parse_yaml(text, "f.yaml");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("YAML scalars are read as PyYAML reads them, and 1e-5 as the number that it is") {
  const Json json = parse_yaml(R"(lr: 1e-5
rate: 2.0e-5
count: 1_000
negative: -3
zeros: 007
half: .5
on_: on
off_: No
empty:
tilde: ~
text: a b
quoted: "12"
single: 'yes'
version: 1.2.3
date: 2024-01-01
list: [1, two, 3.0]
map: {a: {b: 1}}
tagged: !!str 5
)",
                               "f.yaml");
  CHECK(json["lr"] == 1e-5);
  CHECK(json["rate"] == 2e-5);
  CHECK(json["count"].is_number_integer());
  CHECK(json["count"] == 1000);
  CHECK(json["negative"] == -3);
  CHECK(json["zeros"] == 7);
  CHECK(json["half"] == 0.5);
  CHECK(json["on_"] == true);
  CHECK(json["off_"] == false);
  CHECK(json["empty"].is_null());
  CHECK(json["tilde"].is_null());
  CHECK(json["text"] == "a b");
  CHECK(json["quoted"] == "12");
  CHECK(json["single"] == "yes");
  CHECK(json["version"] == "1.2.3");
  CHECK(json["date"] == "2024-01-01");
  CHECK(json["list"] == Json::array({1, "two", 3.0}));
  CHECK(json["map"]["a"]["b"] == 1);
  CHECK(json["tagged"] == "5");
}

TEST_CASE("YAML aliases and merges are followed") {
  const Json json = parse_yaml("base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\nagain: *b\n", "f.yaml");
  CHECK(same(json["mine"], Json({{"y", 3}, {"x", 1}})));
  CHECK(json["again"] == json["base"]);
}

TEST_CASE("what is no YAML config is refused in one line that says where") {
  CHECK(has(parse_problem("a: 1\nb: [1, 2\n"), "f.yaml: not valid YAML at line"));
  CHECK(has(parse_problem("a: 1\na: 2\n"), "line 2, column 1: \"a\" is there twice"));
  CHECK(has(parse_problem("a: !!python/object:os.system x\n"), "line 1"));
  CHECK(has(parse_problem("a: 1\n---\nb: 2\n"), "2 documents"));
  CHECK(has(parse_problem("- a\n- b\n"), "a list"));
  CHECK(has(parse_problem("just words"), "a text"));
  CHECK(has(parse_problem(""), "nothing"));
  CHECK(has(parse_problem("a: 1e999\n"), "out of range"));
  CHECK(has(parse_problem("a: &a [*a]\n"), "alias of itself"));
  CHECK(has(parse_problem("a: \"\xff\"\n"), "f.yaml"));
  CHECK(has(parse_problem("a: " + std::string(2000, '[')), "f.yaml: not valid YAML"));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += fmt::format("a{0}: &a{0} [", i);
    for (int k = 0; k < 10; ++k) bomb += fmt::format("{}*a{}", k == 0 ? "" : ", ", i - 1);
    bomb += "]\n";
  }
  CHECK(has(parse_problem(bomb), "more than 100000 values"));
  for (const std::string& text : {parse_problem(bomb), parse_problem("a: 1\nb: [1, 2\n")})
    CHECK(!has(text, "\n"));
}
