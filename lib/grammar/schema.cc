#include "grammar/schema.h"

#include <algorithm>
#include <map>

#include "grammar/builder.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"
#include "grammar/schema_parts.h"

namespace temper {
namespace {

using State = GrammarBuilder::State;

const std::map<std::string, std::string>& formats() {
  static const std::string day =
      "(0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8])";
  static const std::string date = "[12]\\d{3}-(" + day + ")";
  static const std::string time =
      "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
  static const std::string byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  static const std::map<std::string, std::string> map = {
      {"date", date},
      {"time", time},
      {"date-time", "(" + date + ")T" + time},
      {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
      {"email",
       "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*)+"},
      {"ipv4", byte + "(\\." + byte + "){3}"}};
  return map;
}

class SchemaWriter {
 public:
  explicit SchemaWriter(const SchemaPlaces& places) : places_(places), b_(places.where()), text_(b_) {}

  Automaton write(const Json& schema) {
    const int32_t root = b_.declare("the schema");
    b_.define(root, [&](State from) { return value(schema, from, ""); });
    while (!open_.empty()) {
      const Open next = std::move(open_.back());
      open_.pop_back();
      b_.define(next.rule, [&](State from) { return value(next.schema, from, next.at); });
    }
    return b_.build(root);
  }

 private:
  struct Open {
    int32_t rule;
    Json schema;
    std::string at;
  };

  // A call of the rule of a schema, which is written later.
  State call(const Json& schema, State from, const std::string& at) {
    const auto [entry, fresh] = rules_.emplace(dump_line(schema), 0);
    if (fresh) {
      entry->second = b_.declare(at.empty() ? "the schema" : at);
      open_.push_back({entry->second, schema, at});
    }
    return b_.call(from, entry->second);
  }

  State value(const Json& schema, State from, const std::string& at) {
    if (schema == true) return any_value(from);
    if (schema == false) return b_.nothing();
    if (!schema.is_object()) places_.expected(at, "a schema (an object, true or false)", schema);
    places_.check(schema, at);
    const Json said = without_notes(schema);
    if (said.size() == 1 && said.contains("$ref")) {
      const Json& target = places_.resolve(said["$ref"], at + "/$ref");
      return call(target, from, said["$ref"].get<std::string>().substr(1));
    }
    std::vector<GrammarBuilder::Part> parts;
    for (const char* key : {"anyOf", "oneOf"}) {
      if (said.size() != 1 || !said.contains(key)) continue;
      for (size_t i = 0; i < said[key].size(); ++i) {
        parts.emplace_back(
            [&, key, i](State s) { return value(said[key][i], s, fmt::format("{}/{}/{}", at, key, i)); });
      }
      return b_.either(from, parts);
    }
    const std::vector<FlatSchema> all = flatten(places_, schema, at);
    for (const FlatSchema& one : all) parts.emplace_back([&](State s) { return flat(one, s, at); });
    return b_.either(from, parts);
  }

  State flat(const FlatSchema& schema, State from, const std::string& at) {
    if (schema.contains("enum")) return enumerated(schema, from, at);
    if (schema.empty()) return any_value(from);
    std::vector<GrammarBuilder::Part> parts;
    for (const std::string& type : types_of(schema))
      parts.emplace_back([&, type](State s) { return of_type(type, schema, s, at); });
    return b_.either(from, parts);
  }

  // The values that the rest of the schema has nothing against.
  State enumerated(const FlatSchema& schema, State from, const std::string& at) {
    FlatSchema rest = schema;
    rest.erase("enum");
    std::optional<Automaton> fits;
    if (!rest.empty()) fits = SchemaWriter(places_).write(rest);
    std::vector<GrammarBuilder::Part> parts;
    for (const Json& v : schema["enum"]) {
      if (!fits || fits->matches(dump_line(v)))
        parts.emplace_back([&](State s) { return text_.literal(s, v); });
    }
    return b_.either(from, parts);
  }

  State of_type(const std::string& type, const FlatSchema& schema, State from, const std::string& at) {
    if (type == "null") return b_.bytes(from, "null");
    if (type == "boolean") {
      return b_.either(from, {[&](State s) { return b_.bytes(s, "true"); },
                              [&](State s) { return b_.bytes(s, "false"); }});
    }
    if (type == "string") return string(schema, from, at);
    if (type == "array") return array(schema, from, at);
    if (type == "object") return object(schema, from, at);
    return number(schema, type == "integer", from, at);
  }

  State number(const FlatSchema& schema, bool integer, State from, const std::string& at) {
    NumberRange range;
    range.integer = integer || schema.contains("multipleOf");  // of a whole number, so they are whole
    range.multiple_of = schema.value<int64_t>("multipleOf", 1);
    const auto tighten = [&](const char* key, bool exclusive, bool lower,
                             std::optional<DecimalBound>& bound) {
      if (!schema.contains(key)) return;
      const Json& other = schema.value(lower ? "minimum" : "maximum", Json(nullptr));
      const double mine = schema[key];
      // Of two bounds on one side the nearer one counts.
      if (exclusive && other.is_number() && (lower ? other.get<double>() > mine : other.get<double>() < mine))
        return;
      bound = decimal_bound(schema[key], exclusive, fmt::format("{}: {}/{}", places_.where(), at, key));
    };
    tighten("minimum", false, true, range.least);
    tighten("exclusiveMinimum", true, true, range.least);
    tighten("maximum", false, false, range.most);
    tighten("exclusiveMaximum", true, false, range.most);
    return text_.number(from, range);
  }

  State string(const FlatSchema& schema, State from, const std::string& at) {
    const bool counted = schema.contains("minLength") || schema.contains("maxLength");
    const bool pattern = schema.contains("pattern"), format = schema.contains("format");
    if (counted + pattern + format > 1)
      places_.refuse(at, "of pattern, format and minLength or maxLength, one at a time is offered");
    if (counted) {
      const int64_t least = schema.value("minLength", 0), most = schema.value("maxLength", -1);
      if (most >= 0 && most < least) return b_.nothing();
      return b_.bytes(
          b_.repeat(b_.bytes(from, "\""), least, most, [&](State s) { return text_.any_character(s); }),
          "\"");
    }
    const auto spelling = [&](State s, const CharSet& set) { return text_.character(s, set); };
    if (pattern) {
      const RegexTree tree(schema["pattern"], fmt::format("{}: {}/pattern", places_.where(), at));
      return b_.bytes(tree.anywhere(b_, b_.bytes(from, "\""), spelling), "\"");
    }
    if (format) {
      const auto known = formats().find(schema["format"]);
      if (known == formats().end()) {
        places_.refuse(at, "the format {} is not offered (date, time, date-time, uuid, email, ipv4 are)",
                       dump_line(schema["format"]));
      }
      const RegexTree tree(known->second, "format");
      return b_.bytes(tree.whole(b_, b_.bytes(from, "\""), spelling), "\"");
    }
    return any_string(from);
  }

  State array(const FlatSchema& schema, State from, const std::string& at) {
    const Json& prefix = schema.value("prefixItems", Json::array());
    const Json items = schema.value("items", Json(true));
    const auto least = schema.value<int64_t>("minItems", 0);
    int64_t most = schema.value<int64_t>("maxItems", -1);
    const auto named = static_cast<int64_t>(prefix.size());
    if (items == false && (most < 0 || most > named)) most = named;
    if (most >= 0 && most < least) return b_.nothing();
    const auto item = [&](State s, int64_t i) {
      if (i < named) return value(prefix[static_cast<size_t>(i)], s, fmt::format("{}/prefixItems/{}", at, i));
      return items == true ? any_value(s) : call(items, s, at + "/items");
    };
    const auto comma = [&](State s) { return text_.space(b_.bytes(s, ",")); };
    const State close = b_.state();
    State now = text_.space(b_.bytes(from, "["));
    int64_t i = 0;
    for (; i < std::max(least, named) || (most >= 0 && i < most); ++i) {
      if (most >= 0 && i >= most) break;
      if (i >= least) b_.skip(now, close);
      now = item(i == 0 ? now : comma(now), i);
    }
    b_.skip(now, close);
    if (most < 0) {  // and so many more
      const State entry = b_.state(), behind = b_.state();
      b_.skip(i == 0 ? now : comma(now), entry);
      b_.skip(item(entry, i), behind);
      b_.skip(comma(behind), entry);
      b_.skip(behind, close);
    }
    return b_.bytes(text_.space(close), "]");
  }

  State object(const FlatSchema& schema, State from, const std::string& at) {
    const auto& properties = schema.value("properties", Json::object());
    const Json required = schema.value("required", Json::array());
    const Json more = schema.value("additionalProperties", Json(!schema.contains("properties")));
    struct Property {
      std::string name;
      Json schema;
      bool required;
    };
    std::vector<Property> all;
    std::vector<std::string> names;
    for (const auto& [name, of] : properties.items()) {
      names.push_back(name);
      all.push_back({name, of, std::find(required.begin(), required.end(), name) != required.end()});
    }
    for (const Json& name : required) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      names.push_back(name);
      all.push_back({name, schema.value("additionalProperties", Json(true)), true});
    }
    const auto colon = [&](State s) { return text_.space(b_.bytes(s, ":")); };
    // Two ways through the properties: with none written so far, and with one, behind which a comma comes.
    State none = text_.space(b_.bytes(from, "{")), some = b_.state();
    const auto entry = [&] {
      const State s = b_.state();
      b_.skip(none, s);
      b_.skip(text_.space(b_.bytes(some, ",")), s);
      return s;
    };
    for (const Property& p : all) {
      const State behind = b_.state(), without = b_.state();
      const State of = colon(text_.literal(entry(), p.name));
      b_.skip(value(p.schema, of, at + "/properties/" + p.name), behind);
      if (!p.required) {
        b_.skip(none, without);
        b_.skip(some, behind);
      }
      none = without;
      some = behind;
    }
    if (more != false) {
      const State behind = b_.state(), again = b_.state();
      b_.skip(entry(), again);
      const State of = colon(names.empty() ? any_string(again) : text_.other_string(again, names));
      b_.skip(more == true ? any_value(of) : call(more, of, at + "/additionalProperties"), behind);
      b_.skip(text_.space(b_.bytes(behind, ",")), again);
      b_.skip(some, behind);
      some = behind;
    }
    const State end = b_.state();
    b_.skip(b_.bytes(none, "}"), end);
    b_.skip(b_.bytes(text_.space(some), "}"), end);
    return end;
  }

  State any_string(State from) {
    if (string_ < 0) {
      string_ = b_.declare("a string");
      b_.define(string_, [&](State s) { return text_.any_string(s); });
    }
    return b_.call(from, string_);
  }

  // Any JSON.
  State any_value(State from) {
    if (value_ < 0) {
      value_ = b_.declare("a value");
      static const Json anything = {{"type", {"object", "array", "string", "number", "boolean", "null"}}};
      b_.define(value_, [&](State s) { return flat(anything, s, ""); });
    }
    return b_.call(from, value_);
  }

  const SchemaPlaces& places_;
  GrammarBuilder b_;
  JsonText text_;
  std::map<std::string, int32_t> rules_;  // by schema
  std::vector<Open> open_;
  int32_t string_ = -1, value_ = -1;
};

}  // namespace

Automaton schema_automaton(const Json& schema, const std::string& where) {
  const SchemaPlaces places(schema, where);
  Automaton automaton = SchemaWriter(places).write(schema);
  if (automaton.accepts_nothing()) user_error("{}: no value fits the schema", where);
  return automaton;
}

}  // namespace temper
