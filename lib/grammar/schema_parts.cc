#include "grammar/schema_parts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace temper {
namespace {

const std::vector<std::string> kAllTypes = {"object", "array", "string", "number", "boolean", "null"};
constexpr const char* kNotes[] = {"title",    "description", "$comment", "default",
                                  "examples", "deprecated",  "readOnly", "writeOnly",
                                  "$schema",  "$id",         "$defs",    "definitions"};
constexpr int64_t kMostMultipleOf = 100;  // an automaton has a state for each remainder
constexpr const char* kCombining[] = {"$ref", "allOf", "anyOf", "oneOf"};
// The type that a keyword is about.
const std::map<std::string, std::string>& subjects() {
  static const std::map<std::string, std::string> map = {
      {"properties", "object"},      {"required", "object"},  {"additionalProperties", "object"},
      {"prefixItems", "array"},      {"items", "array"},      {"minItems", "array"},
      {"maxItems", "array"},         {"minLength", "string"}, {"maxLength", "string"},
      {"pattern", "string"},         {"format", "string"},    {"multipleOf", "number"},
      {"minimum", "number"},         {"maximum", "number"},   {"exclusiveMinimum", "number"},
      {"exclusiveMaximum", "number"}};
  return map;
}

template <size_t n>
bool among(const char* const (&words)[n], const std::string& word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

std::string step(std::string key) {  // RFC 6901
  for (const auto& [from, to] : {std::pair('~', "~0"), std::pair('/', "~1")}) {
    for (size_t at = 0; (at = key.find(from, at)) != std::string::npos; at += 2) key.replace(at, 1, to);
  }
  return "/" + key;
}

// What both say; a value that is not there says nothing.
Json both(const Json& a, const Json& b) {
  if (a.is_null() || a == true || a == b) return b.is_null() ? a : b;
  if (b.is_null() || b == true) return a;
  if (a == false || b == false) return false;
  return {{"allOf", Json::array({a, b})}};
}

Json get(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? Json(nullptr) : *found;
}

// What an object's schema says of a property of this name.
Json property_of(const Json& schema, const std::string& name) {
  const auto properties = schema.find("properties");
  if (properties != schema.end()) {
    const auto own = properties->find(name);
    if (own != properties->end()) return *own;
  }
  const Json more = get(schema, "additionalProperties");
  return more.is_null() ? Json(true) : more;
}

std::optional<std::vector<std::string>> said_types(const Json& schema) {
  const auto type = schema.find("type");
  if (type == schema.end()) return std::nullopt;
  if (type->is_string()) return std::vector<std::string>{*type};
  return type->get<std::vector<std::string>>();
}

// Nothing: no value fits both.
std::optional<Json> merge(const SchemaPlaces& places, const Json& a, const Json& b, const std::string& at) {
  Json out = a;
  for (const auto& [key, value] : b.items()) {
    const auto mine = a.find(key);
    if (mine == a.end() || *mine == value) {
      if (key != "properties" && key != "additionalProperties") out[key] = value;
      continue;
    }
    if (key == "type") {
      std::vector<std::string> types;
      const auto left = *said_types(a), right = *said_types(b);
      for (const auto& [one, other] : {std::pair(&left, &right), std::pair(&right, &left)}) {
        for (const std::string& t : *one) {
          const bool there =
              std::find(other->begin(), other->end(), t) != other->end() ||
              (t == "integer" && std::find(other->begin(), other->end(), "number") != other->end());
          if (there && std::find(types.begin(), types.end(), t) == types.end()) types.push_back(t);
        }
      }
      if (types.empty()) return std::nullopt;
      out[key] = types;
    } else if (key == "enum") {
      Json values = Json::array();
      for (const Json& v : *mine)
        if (std::find(value.begin(), value.end(), v) != value.end()) values.push_back(v);
      if (values.empty()) return std::nullopt;
      out[key] = values;
    } else if (key == "required") {
      for (const Json& name : value)
        if (std::find(mine->begin(), mine->end(), name) == mine->end()) out[key].push_back(name);
    } else if (key == "multipleOf") {
      const int64_t common = std::lcm(mine->get<int64_t>(), value.get<int64_t>());
      if (common > kMostMultipleOf)
        places.refuse(at,
                      "\"multipleOf\" is said twice here, and {}, of which both are multiples, is above {}",
                      common, kMostMultipleOf);
      out[key] = common;
    } else if (key == "items") {
      out[key] = both(*mine, value);
    } else if (key == "minItems" || key == "minLength" || key == "minimum" || key == "exclusiveMinimum") {
      if (value.get<double>() > mine->get<double>()) out[key] = value;
    } else if (key == "maxItems" || key == "maxLength" || key == "maximum" || key == "exclusiveMaximum") {
      if (value.get<double>() < mine->get<double>()) out[key] = value;
    } else if (key != "properties" && key != "additionalProperties") {
      places.refuse(at, "\"{}\" is said twice here, as {} and as {}, and the two cannot be joined", key,
                    dump_line(*mine).substr(0, 60), dump_line(value).substr(0, 60));
    }
  }
  if (a.contains("prefixItems") != b.contains("prefixItems") && (a.contains("items") || b.contains("items")))
    places.refuse(at, "\"prefixItems\" of one schema with \"items\" of another one cannot be joined");
  if (a.contains("properties") || b.contains("properties")) {
    Json properties = Json::object();
    for (const Json* from : {&a, &b}) {
      const Json own = get(*from, "properties");
      for (const auto& [name, schema] : own.items())
        properties[name] = both(property_of(a, name), property_of(b, name));
    }
    out["properties"] = properties;
  }
  const Json more = both(get(a, "additionalProperties"), get(b, "additionalProperties"));
  if (!more.is_null()) out["additionalProperties"] = more;
  return out;
}

}  // namespace

const Json& SchemaPlaces::resolve(const Json& ref, const std::string& at) const {
  if (!ref.is_string()) expected(at, "a place in the schema, such as \"#/$defs/name\"", ref);
  const std::string text = ref;
  if (text.empty() || text[0] != '#')
    refuse(at, "\"{}\" is outside the schema; only places in itself can be read, such as \"#/$defs/name\"",
           text);
  try {
    return root_.at(Json::json_pointer(text.substr(1)));
  } catch (const Json::exception&) {
    refuse(at, "\"{}\" is no place in the schema", text);
  }
}

void SchemaPlaces::check(const Json& schema, const std::string& at) const {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : schema.items()) {
    const std::string here = at + step(key);
    const auto schemas = [&, &value = value] {
      if (!value.is_array() || value.empty()) expected(here, "an array of at least one schema", value);
    };
    const auto names = [&, &value = value](bool strings) {
      if (!value.is_array() ||
          (strings && !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); })))
        expected(here, strings ? "an array of names" : "an array", value);
    };
    if (among(kNotes, key) || key == "$ref" || key == "const") continue;
    if (key == "type") {
      const Json list = value.is_array() ? value : Json::array({value});
      for (const Json& t : list) {
        if (t != "integer" && std::find(kAllTypes.begin(), kAllTypes.end(), t) == kAllTypes.end())
          expected(here, "null, boolean, object, array, number, integer, string, or an array of these",
                   value);
      }
    } else if (key == "enum") {
      names(false);
    } else if (key == "required") {
      names(true);
    } else if (key == "properties") {
      if (!value.is_object()) expected(here, "an object of schemas", value);
    } else if (key == "allOf" || key == "anyOf" || key == "oneOf" || key == "prefixItems") {
      schemas();
    } else if (key == "additionalProperties" || key == "items") {
      if (!value.is_object() && !value.is_boolean())
        expected(here, "a schema (an object, true or false)", value);
    } else if (key == "pattern" || key == "format") {
      if (!value.is_string()) expected(here, "a text", value);
    } else if (key == "minimum" || key == "maximum" || key == "exclusiveMinimum" ||
               key == "exclusiveMaximum") {
      if (!value.is_number()) expected(here, "a number", value);
    } else if (key == "multipleOf") {
      if (!value.is_number() || value.get<double>() < 1 || value.get<double>() > kMostMultipleOf ||
          std::floor(value.get<double>()) != value.get<double>())
        expected(here, "a whole number from 1 to 100, whose multiples are whole numbers", value);
    } else if (subjects().count(key) > 0) {  // counts
      if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > 1'000'000 ||
          std::floor(value.get<double>()) != value.get<double>())
        expected(here, "a whole number from 0 to 1000000", value);
    } else if (key != "uniqueItems" || value != false) {
      unknown.push_back("\"" + key + "\"");
    }
  }
  if (!unknown.empty()) {
    refuse(at, "{} {} not offered in a schema that constrains texts, so {} may not stand here",
           fmt::join(unknown, ", "), unknown.size() == 1 ? "is" : "are", unknown.size() == 1 ? "it" : "they");
  }
}

Json without_notes(const Json& schema) {
  Json out = Json::object();
  for (const auto& [key, value] : schema.items())
    if (!among(kNotes, key) && key != "uniqueItems") out[key] = value;
  return out;
}

std::vector<FlatSchema> flatten(const SchemaPlaces& places, const Json& schema, const std::string& at,
                                int depth) {
  constexpr int kDepth = 64;
  constexpr size_t kAlternatives = 256;
  if (schema == true) return {Json::object()};
  if (schema == false) return {};
  if (!schema.is_object()) places.expected(at, "a schema (an object, true or false)", schema);
  if (depth > kDepth)
    places.refuse(at, "schemas of one value more than {} inside each other, or in a circle", kDepth);
  places.check(schema, at);
  Json base = without_notes(schema);
  for (const char* key : kCombining) base.erase(key);
  if (base.contains("const")) {
    const Json value = Json::array({base["const"]});
    const bool fits = !base.contains("enum") ||
                      std::find(base["enum"].begin(), base["enum"].end(), value[0]) != base["enum"].end();
    base.erase("const");
    base["enum"] = fits ? value : Json::array();
  }
  std::vector<FlatSchema> out{base};
  const auto join = [&](const std::vector<FlatSchema>& more) {
    std::vector<FlatSchema> joined;
    for (const FlatSchema& a : out) {
      for (const FlatSchema& b : more) {
        if (auto one = merge(places, a, b, at)) joined.push_back(std::move(*one));
        if (joined.size() > kAlternatives) places.refuse(at, "more than {} alternatives", kAlternatives);
      }
    }
    out = std::move(joined);
  };
  if (schema.contains("$ref"))
    join(flatten(places, places.resolve(schema["$ref"], at + "/$ref"), at + "/$ref", depth + 1));
  for (const char* key : {"allOf", "anyOf", "oneOf"}) {
    const auto list = schema.find(key);
    if (list == schema.end()) continue;
    std::vector<FlatSchema> any;
    for (size_t i = 0; i < list->size(); ++i) {
      auto part = flatten(places, (*list)[i], fmt::format("{}/{}/{}", at, key, i), depth + 1);
      if (std::string(key) == "allOf") {
        join(part);
      } else {
        any.insert(any.end(), part.begin(), part.end());
      }
    }
    if (std::string(key) != "allOf") join(any);
  }
  return out;
}

std::vector<std::string> types_of(const FlatSchema& schema) {
  if (const auto types = said_types(schema)) return *types;
  std::vector<std::string> about;
  for (const auto& [key, value] : schema.items()) {
    const auto subject = subjects().find(key);
    if (subject != subjects().end() && std::find(about.begin(), about.end(), subject->second) == about.end())
      about.push_back(subject->second);
  }
  return about.size() == 1 ? about : kAllTypes;
}

}  // namespace temper
