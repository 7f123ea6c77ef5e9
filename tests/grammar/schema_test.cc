#include "grammar/schema.h"

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "test.h"

using namespace temper;

namespace {

std::string schema_refused(const std::string& schema) {
  try {
    schema_automaton(parse_json(schema, "schema"), "schema");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("schema: the texts that jsonschema takes, but for those that are left out") {
  const Json cases = read_json_file(test_file("grammar/golden/schemas.json"));
  REQUIRE(cases.size() >= 140);
  for (const Json& c : cases) {
    const Automaton automaton = schema_automaton(c["schema"], "schema");
    const std::string schema = dump_line(c["schema"]);
    CAPTURE(schema);
    for (const std::string text : c["fits"]) CHECK_MESSAGE(automaton.matches(text), text);
    for (const std::string text : c["fails"]) CHECK_MESSAGE(!automaton.matches(text), text);
    for (const std::string text : c["left_out"]) CHECK_MESSAGE(!automaton.matches(text), text);
  }
}

// Whatever bytes are chosen, the text can be completed, and is JSON.
TEST_CASE("schema: every way through an automaton ends in JSON") {
  const Json cases = read_json_file(test_file("grammar/golden/schemas.json"));
  RandomStream random(1, "ways");
  int ended = 0;
  for (const Json& c : cases) {
    const Automaton automaton = schema_automaton(c["schema"], "schema");
    for (int i = 0; i < 3; ++i) {
      std::string text;
      Branches branches = automaton.begin();
      for (int n = 0; n < 600; ++n) {
        const std::string next = automaton.next_bytes(branches);
        const bool may_end = automaton.accepts(branches);
        REQUIRE((may_end || !next.empty()));
        CHECK(automaton.goes_on(branches) == !next.empty());
        if (may_end && (next.empty() || random.below(3) == 0)) {
          CAPTURE(text);
          CHECK_NOTHROW(Json::parse(text));
          ++ended;
          break;
        }
        // Ends of strings, arrays and objects more often than the rest, or few texts would end.
        std::string ends;
        for (const char b : next)
          if (b == '"' || b == ']' || b == '}') ends += b;
        const std::string& from = !ends.empty() && random.below(2) == 0 ? ends : next;
        text += from[random.below(from.size())];
        REQUIRE(automaton.advance(branches, text.substr(text.size() - 1)));
      }
    }
  }
  CHECK(ended > 300);
}

TEST_CASE("schema: alternatives that begin alike do not multiply") {
  // Each level may be read in two ways: 2^200 readings, and a handful of branches.
  const Automaton automaton = schema_automaton(
      parse_json(
          R"({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"},
                     "maxItems": 1}, {"type": "null"}]})",
          "schema"),
      "schema");
  Branches branches = automaton.begin();
  for (int i = 0; i < 200; ++i) {
    REQUIRE(automaton.advance(branches, "["));
    CHECK(branches.size() < 20);
  }
  CHECK(automaton.matches(std::string(200, '[') + "null" + std::string(200, ']')));
  CHECK_FALSE(automaton.matches(std::string(200, '[') + std::string(199, ']')));
  CHECK(automaton.matches(std::string(200'000, '[') + "null" + std::string(200'000, ']')));
}

TEST_CASE(
    "schema: multiples of a number have a state for each remainder and place, in numbers of any length") {
  const auto states = [](const char* schema) {
    return schema_automaton(parse_json(schema, "schema"), "schema").states();
  };
  // 18 places of 97 remainders, each with and without a minus.
  CHECK(states(R"({"type": "integer", "multipleOf": 97})") < 2 * 18 * 97 + 100);
  CHECK(states(R"({"type": "integer", "minimum": 0, "maximum": 999999999999})") < 100);
}

TEST_CASE("schema: what is not offered says what and where") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"not": {}, "if": {}})", R"(schema: /: "not", "if" are not offered)"},
      {R"({"properties": {"a": {"patternProperties": {"b": {}}}}})",
       R"(schema: /properties/a: "patternProperties" is not offered)"},
      {R"({"multipleOf": 0.01})", R"(schema: /multipleOf: expected a whole number from 1 to 100)"},
      {R"({"type": "integer", "multipleOf": 101})", R"(schema: /multipleOf: expected a whole number from 1)"},
      {R"({"multipleOf": "2"})", R"(schema: /multipleOf: expected a whole number from 1 to 100)"},
      {R"({"allOf": [{"multipleOf": 11}, {"multipleOf": 10}]})",
       R"(schema: /: "multipleOf" is said twice here, and 110)"},
      {R"({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6})",
       "schema: no value fits the schema"},
      {R"({"type": "array", "items": {"uniqueItems": true}})",
       R"(schema: /items: "uniqueItems" is not offered)"},
      {R"({"type": "text"})", R"(schema: /type: expected null, boolean, object)"},
      {R"({"items": [{}]})", R"(schema: /items: expected a schema)"},
      {R"({"minLength": -1})", R"(schema: /minLength: expected a whole number)"},
      {R"({"minimum": "1"})", R"(schema: /minimum: expected a number)"},
      {R"({"exclusiveMinimum": true})", R"(schema: /exclusiveMinimum: expected a number)"},
      {R"({"anyOf": []})", R"(schema: /anyOf: expected an array of at least one schema)"},
      {R"({"required": "a"})", R"(schema: /required: expected an array of names)"},
      {R"({"$ref": "other.json"})", R"("other.json" is outside the schema)"},
      {R"({"$ref": "#/$defs/a"})", R"("#/$defs/a" is no place in the schema)"},
      {R"({"type": "string", "format": "uri"})", R"(the format "uri" is not offered (date,)"},
      {R"_({"type": "string", "pattern": "(?=a)"})_",
       R"_(schema: /pattern: the regular expression "(?=a)", at byte 3)_"},
      {R"({"type": "string", "pattern": "a", "maxLength": 3})", R"(one at a time is offered)"},
      {R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}]})", R"("pattern" is said twice here)"},
      {R"({"minimum": 1e-30})", R"(more than 18 digits on a side of the point)"},
      {"false", "schema: no value fits the schema"},
      {R"({"enum": []})", "schema: no value fits the schema"},
      {R"({"enum": [1, 2], "type": "string"})", "schema: no value fits the schema"},
      {R"({"type": "integer", "minimum": 3, "maximum": 2})", "schema: no value fits the schema"},
      {R"({"type": "object", "required": ["a"], "additionalProperties": false})",
       "schema: no value fits the schema"},
      {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
       "no value fits the schema"},
      {R"({"allOf": [{"type": "string"}, {"type": "null"}]})", "schema: no value fits the schema"},
      {R"({"$ref": "#"})", "no value fits the schema"},
      {R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", "leads back to itself before any text"},
      {R"({"allOf": [{"$ref": "#"}, {"type": "null"}]})", "or in a circle"},
      {R"({"type": "array", "items": {"type": "string", "maxLength": 100000}, "maxItems": 1})", "too large"},
      {R"([])", "expected a schema (an object, true or false)"},
  };
  for (const auto& [schema, message] : cases) {
    CAPTURE(schema);
    const std::string found = schema_refused(schema);
    CHECK_MESSAGE(found.find(message) != std::string::npos, found);
    CHECK(found.starts_with("schema: "));
    CHECK(found.find('\n') == std::string::npos);
  }
}
