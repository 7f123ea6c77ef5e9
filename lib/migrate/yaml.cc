#include "migrate/yaml.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

constexpr int kDeepest = 64;
constexpr int64_t kMostValues = 100'000;

class Converter {
 public:
  explicit Converter(const std::string& where) : where_(where) {}
  Json value(const YAML::Node& node, int depth);

  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& why) const {
    if (mark.is_null()) user_error("{}: not valid YAML: {}", where_, why);
    user_error("{}: not valid YAML at line {}, column {}: {}", where_, mark.line + 1, mark.column + 1, why);
  }

 private:
  Json scalar(const YAML::Node& node) const;
  Json mapping(const YAML::Node& node, int depth);
  const std::string& where_;
  int64_t values_ = 0;
};

bool one_of(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words)
    if (text == word) return true;
  return false;
}

bool is_digits(const std::string& text, size_t& at) {
  const size_t begin = at;
  while (at < text.size() && (text[at] == '_' || (text[at] >= '0' && text[at] <= '9'))) ++at;
  return at > begin && text[begin] != '_';
}

// Digits with a fraction or an exponent or neither; the sign may stand before.
bool is_number(const std::string& text, bool& whole) {
  size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  bool digits = is_digits(text, at);
  whole = digits && at == text.size();
  if (at < text.size() && text[at] == '.') {
    ++at;
    digits |= is_digits(text, at);
  }
  if (!digits) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (!is_digits(text, at)) return false;
  }
  return at == text.size();
}

Json Converter::scalar(const YAML::Node& node) const {
  const std::string& text = node.Scalar();
  const std::string& tag = node.Tag();
  if (tag == "!" || tag == "tag:yaml.org,2002:str") return text;
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (one_of(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})) return true;
  if (one_of(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})) return false;
  bool whole = false;
  if (!is_number(text, whole)) return text;
  std::string digits = text;
  std::erase(digits, '_');
  if (digits[0] == '+') digits.erase(0, 1);
  int64_t integer = 0;
  const char* end = digits.data() + digits.size();
  if (whole && std::from_chars(digits.data(), end, integer).ptr == end && std::to_string(integer) == digits)
    return integer;
  double number = 0;
  if (std::from_chars(digits.data(), end, number).ec != std::errc() || !std::isfinite(number))
    fail(node.Mark(), fmt::format("\"{}\" is out of range", text.substr(0, 100)));
  return number;
}

Json Converter::mapping(const YAML::Node& node, int depth) {
  Json out = Json::object();
  std::set<std::string> seen;
  Json merged = Json::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) fail(entry.first.Mark(), "expected a name before \":\"");
    const std::string key = entry.first.Scalar();
    if (!seen.insert(key).second)
      fail(entry.first.Mark(), fmt::format("\"{}\" is there twice", key.substr(0, 100)));
    Json value = this->value(entry.second, depth + 1);
    if (key != "<<") {
      out[key] = std::move(value);
      continue;
    }
    const Json parts = value.is_array() ? value : Json::array({value});
    for (const Json& part : parts) {
      if (!part.is_object()) fail(entry.second.Mark(), "\"<<\" takes mappings");
      for (const auto& [name, inner] : part.items())
        if (!merged.contains(name)) merged[name] = inner;
    }
  }
  for (const auto& [name, value] : merged.items())
    if (!out.contains(name)) out[name] = value;
  return out;
}

Json Converter::value(const YAML::Node& node, int depth) {
  if (depth > kDeepest)
    fail(node.Mark(), fmt::format("nested deeper than {} levels, or an alias of itself", kDeepest));
  if (++values_ > kMostValues)
    fail(node.Mark(),
         fmt::format("more than {} values, aliases followed; no config has so many", kMostValues));
  const std::string& tag = node.Tag();
  const std::string own = "tag:yaml.org,2002:";
  const bool plain = tag.empty() || tag == "?" || tag == "!" ||
                     (tag.starts_with(own) &&
                      one_of(tag.substr(own.size()), {"str", "int", "float", "bool", "null", "map", "seq"}));
  if (!plain) fail(node.Mark(), fmt::format("tag \"{}\": expected plain values", tag.substr(0, 100)));
  if (node.IsScalar()) return scalar(node);
  if (node.IsMap()) return mapping(node, depth);
  if (!node.IsSequence()) return nullptr;
  Json out = Json::array();
  for (const auto& item : node) out.push_back(value(item, depth + 1));
  return out;
}

}  // namespace

Json parse_yaml(const std::string& text, const std::string& where) {
  Converter converter(where);
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(text);
  } catch (const YAML::Exception& e) {
    converter.fail(e.mark, e.msg);
  }
  if (documents.size() != 1 || !documents[0].IsMap()) {
    user_error("{}: expected one YAML document of \"key: value\" lines, found {}", where,
               documents.size() > 1                         ? fmt::format("{} documents", documents.size())
               : documents.empty() || documents[0].IsNull() ? "nothing"
               : documents[0].IsSequence()                  ? "a list"
                                                            : "a text");
  }
  Json out = converter.value(documents[0], 0);
  const std::string bytes = out.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (bytes.find("\xef\xbf\xbd") != std::string::npos && text.find("\xef\xbf\xbd") == std::string::npos)
    user_error("{}: not UTF-8", where);
  return out;
}

}  // namespace temper
