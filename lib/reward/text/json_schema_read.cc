// Schemas read: JsonSchema's constructor.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "reward/text/json_schema_node.h"

namespace temper {
namespace {

constexpr const char* kNotes[] = {"title",    "description", "$comment", "default",
                                  "examples", "deprecated",  "readOnly", "writeOnly"};
constexpr const char* kKeywords[] = {
    "type",          "enum",          "const",     "properties",  "required",    "additionalProperties",
    "minProperties", "maxProperties", "items",     "prefixItems", "minItems",    "maxItems",
    "uniqueItems",   "minLength",     "maxLength", "pattern",     "minimum",     "maximum",
    "multipleOf",    "allOf",         "anyOf",     "oneOf",       "not",         "exclusiveMinimum",
    "$defs",         "$ref",          "$schema",   "title",       "description", "exclusiveMaximum",
    "$comment",      "default",       "examples",  "deprecated",  "readOnly",    "writeOnly"};

// A step of a JSON pointer (RFC 6901).
std::string step(std::string key) {
  for (const auto& [from, to] : {std::pair('~', "~0"), std::pair('/', "~1")}) {
    for (size_t at = 0; (at = key.find(from, at)) != std::string::npos; at += 2) key.replace(at, 1, to);
  }
  return "/" + key;
}

// A URI's %41 are characters. Nothing where the digits are none.
std::optional<std::string> without_percents(const std::string& text) {
  std::string out;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
    out += static_cast<char>(16 * digit(text[i + 1]) + digit(text[i + 2]));
    i += 2;
  }
  return out;
}

std::optional<unsigned> type_of_name(const Json& name) {
  static const std::map<std::string, unsigned> types = {
      {"null", kJsonNull},     {"boolean", kJsonBoolean}, {"object", kJsonObject},  {"array", kJsonArray},
      {"number", kJsonNumber}, {"string", kJsonString},   {"integer", kJsonInteger}};
  if (!name.is_string()) return std::nullopt;
  const auto found = types.find(name.get<std::string>());
  return found == types.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

struct JsonSchema::Compiler {
  std::vector<std::unique_ptr<Node>>& nodes;
  const std::string& where;
  std::map<std::string, size_t> places;  // JSON pointer -> node
  struct Reference {
    size_t node;
    std::string at, target;
  };
  std::vector<Reference> references = {};

  template <class... Args>
  [[noreturn]] void refuse(const std::string& at, fmt::format_string<Args...> format, Args&&... args) const {
    user_error("{}: {}: {}", where, at.empty() ? "/" : at, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void expected(const std::string& at, const char* what, const Json& found) const {
    refuse(at, "expected {}, found {}", what, dump_line(found).substr(0, 60));
  }

  size_t compile(const Json& schema, const std::string& at) {
    const size_t index = nodes.size();
    nodes.push_back(std::make_unique<Node>());
    places[at] = index;
    Node& node = *nodes.back();  // stays where it is while `nodes` grows
    if (schema.is_boolean()) {
      node.nothing_fits = !schema.get<bool>();
      return index;
    }
    if (!schema.is_object()) expected(at, "a schema (an object, true or false)", schema);
    for (const auto& [key, value] : schema.items()) read(index, node, key, value, at, at + step(key));
    return index;
  }

  void read(size_t index, Node& node, const std::string& key, const Json& value, const std::string& at,
            const std::string& here) {
    const auto counted = [&](const std::string& least, const std::string& most, Node::Count& count) {
      if (key == least) count.least = whole_number(value, here);
      if (key == most) count.most = whole_number(value, here);
      return key == least || key == most;
    };
    const auto number = [&](const char* name, std::optional<nlohmann::json>& bound) {
      if (key != name) return false;
      if (!value.is_number()) expected(here, "a number", value);
      bound = nlohmann::json(value);
      return true;
    };
    if (counted("minProperties", "maxProperties", node.property_count) ||
        counted("minItems", "maxItems", node.item_count) || counted("minLength", "maxLength", node.length) ||
        number("minimum", node.minimum) || number("maximum", node.maximum) ||
        number("exclusiveMinimum", node.above) || number("exclusiveMaximum", node.below)) {
      return;
    }
    if (number("multipleOf", node.multiple_of)) {
      if (!(value.get<double>() > 0)) expected(here, "a number above 0", value);
    } else if (key == "type") {
      node.types = types(value, here);
    } else if (key == "enum") {
      if (!value.is_array()) expected(here, "an array", value);
      node.values.emplace();
      for (const Json& one : value) node.values->emplace_back(one);
    } else if (key == "const") {
      node.constant = nlohmann::json(value);
    } else if (key == "properties" || key == "$defs") {
      if (!value.is_object()) expected(here, "an object of schemas", value);
      for (const auto& [name, schema] : value.items()) {
        const size_t of = compile(schema, here + step(name));
        if (key == "properties") node.properties[name] = of;
      }
    } else if (key == "required") {
      if (!value.is_array()) expected(here, "an array of names", value);
      for (const Json& name : value) {
        if (!name.is_string()) expected(here, "an array of names", value);
        node.required.push_back(name.get<std::string>());
      }
    } else if (key == "additionalProperties") {
      node.additional = compile(value, here);
    } else if (key == "items") {
      node.items = compile(value, here);
    } else if (key == "not") {
      node.not_this = compile(value, here);
    } else if (key == "prefixItems" || key == "allOf" || key == "anyOf" || key == "oneOf") {
      auto& list = key == "prefixItems" ? node.prefix_items
                   : key == "allOf"     ? node.all_of
                   : key == "anyOf"     ? node.any_of
                                        : node.one_of;
      if (!value.is_array() || value.empty()) expected(here, "an array of at least one schema", value);
      for (size_t i = 0; i < value.size(); ++i)
        list.push_back(compile(value[i], here + "/" + std::to_string(i)));
    } else if (key == "uniqueItems") {
      if (!value.is_boolean()) expected(here, "true or false", value);
      node.unique_items = value.get<bool>();
    } else if (key == "pattern") {
      if (!value.is_string()) expected(here, "a regular expression", value);
      node.pattern = std::make_unique<Pattern>(value.get<std::string>(),
                                               Pattern::Options{.dot_is_newline = false, .lines = false},
                                               where + ": " + here);
    } else if (key == "$ref") {
      if (!value.is_string()) expected(here, "a place in the schema, such as \"#/$defs/name\"", value);
      references.push_back({index, here, value.get<std::string>()});
    } else if (key == "$schema") {
      if (value != "https://json-schema.org/draft/2020-12/schema")
        expected(here, "draft 2020-12 (\"https://json-schema.org/draft/2020-12/schema\")", value);
    } else if (std::find(std::begin(kNotes), std::end(kNotes), key) == std::end(kNotes)) {
      refuse(at, "the keyword \"{}\" is not checked here, so it may not stand in the schema (known: {})", key,
             fmt::join(kKeywords, ", "));
    }
  }

  uint64_t whole_number(const Json& value, const std::string& here) const {
    if (value.is_number_unsigned()) return value.get<uint64_t>();
    if (value.is_number_float()) {
      const double number = value.get<double>();
      if (number >= 0 && number < 1e15 && number == std::floor(number)) return static_cast<uint64_t>(number);
    }
    expected(here, "a whole number, 0 or more", value);
  }

  unsigned types(const Json& value, const std::string& here) const {
    unsigned out = 0;
    for (const Json& name : value.is_array() ? value : Json::array({value})) {
      const auto type = type_of_name(name);
      if (!type)
        expected(here, "null, boolean, object, array, number, integer, string, or an array of these", value);
      out |= *type;
    }
    return out;
  }

  void resolve() {
    for (const auto& [node, at, target] : references) {
      if (target.empty() || target[0] != '#')
        refuse(at,
               "\"{}\" is outside the schema; only places in itself can be read, such as \"#/$defs/name\"",
               target);
      const auto pointer = without_percents(target.substr(1));
      const auto found = pointer ? places.find(*pointer) : places.end();
      if (found == places.end()) refuse(at, "\"{}\" is no schema in this one", target);
      nodes[node]->ref = found->second;
    }
    heights.assign(nodes.size(), kUnknown);
    for (size_t i = 0; i < nodes.size(); ++i) follow(i, 1);
  }

  // What is held beside one value must end: no circles, and no chains that would be too deep to follow.
  // Returns how many schemas are inside each other, this one among them.
  int follow(size_t index, int depth) {
    if (heights[index] > 0) return heights[index];
    if (heights[index] == kInside)
      refuse(place_of(index),
             "its $ref leads back to itself without going into the value, so nothing is decided");
    heights[index] = kInside;
    int height = 1;
    for (const size_t next : nodes[index]->beside()) {
      if (depth < kChain) height = std::max(height, 1 + follow(next, depth + 1));
      if (depth >= kChain || height > kChain)
        refuse(place_of(index), "a chain of more than {} schemas of one value", kChain);
    }
    return heights[index] = height;
  }

  std::string place_of(size_t index) const {
    for (const auto& [at, node] : places) {
      if (node == index) return at;
    }
    return "";
  }

  static constexpr int kUnknown = 0, kInside = -1, kChain = 512;
  std::vector<int> heights = {};
};

JsonSchema::JsonSchema(const Json& schema, const std::string& where) {
  Compiler compiler{nodes_, where, {}};
  compiler.compile(schema, "");
  compiler.resolve();
}

JsonSchema::~JsonSchema() = default;

}  // namespace temper
