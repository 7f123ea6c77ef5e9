#include "reward/text/json_schema.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "reward/text/json_schema_node.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

using Value = nlohmann::json;  // its objects are sorted by key, so that == does not ask for the order

unsigned type_of(const Value& value) {
  switch (value.type()) {
    case Value::value_t::null:
      return kJsonNull;
    case Value::value_t::boolean:
      return kJsonBoolean;
    case Value::value_t::object:
      return kJsonObject;
    case Value::value_t::array:
      return kJsonArray;
    case Value::value_t::string:
      return kJsonString;
    case Value::value_t::number_float: {  // 1.0 is an integer
      const double number = value.get<double>();
      return number == std::floor(number) ? kJsonNumber | kJsonInteger : kJsonNumber;
    }
    default:
      return kJsonNumber | kJsonInteger;
  }
}

uint64_t characters(const std::string& text) {
  uint64_t n = 0;
  for (size_t at = 0; at < text.size(); ++n) next_char(text, at);
  return n;
}

uint64_t size_of_integer(const Value& value) {
  return value.is_number_unsigned() ? value.get<uint64_t>()
                                    : uint64_t{0} - static_cast<uint64_t>(value.get<int64_t>());
}

// Exact for integers; of others the quotient of doubles is an integer, or, where it is beyond all doubles,
// the remainder is 0: 0.3 is no multiple of 0.1.
bool is_multiple(const Value& value, const Value& of) {
  if (value.is_number_integer() && of.is_number_integer())
    return size_of_integer(value) % size_of_integer(of) == 0;
  const auto a = value.get<double>(), b = of.get<double>();
  if (of.is_number_integer() || std::isinf(a / b)) return std::fmod(a, b) == 0;
  return a / b == std::floor(a / b);
}

// A set and no sort: integers beyond 2^53 among doubles have no consistent order, with which a sort may leave
// its range.
bool all_different(const Value& array) {
  const auto less = [](const Value* a, const Value* b) { return *a < *b; };
  std::set<const Value*, decltype(less)> seen(less);
  for (const Value& one : array) {
    if (!seen.insert(&one).second) return false;
  }
  return true;
}

}  // namespace

// One value held beside the schema. Once it has given up, every answer is worthless and comes soon.
struct JsonSchema::Check {
  static constexpr int64_t kSteps = 10'000'000;
  static constexpr int kDepth = 2048;
  const JsonSchema& schema;
  int64_t steps = kSteps;
  int depth = 0;
  bool gave_up = false;

  bool fits(size_t index, const Value& value) {
    if (gave_up || --steps < 0 || depth >= kDepth) {
      gave_up = true;
      return false;
    }
    ++depth;
    const Node& node = *schema.nodes_[index];
    const bool fit = !node.nothing_fits && fits_any_type(node, value) && fits_its_type(node, value);
    --depth;
    return fit;
  }

  bool fits_any_type(const Node& node, const Value& value) {
    if (node.types && (*node.types & type_of(value)) == 0) return false;
    if (node.constant && value != *node.constant) return false;
    if (node.values && std::find(node.values->begin(), node.values->end(), value) == node.values->end())
      return false;
    if (node.ref && !fits(*node.ref, value)) return false;
    const auto fit = [&](size_t other) { return fits(other, value); };
    const auto& [all, any, one] = std::tie(node.all_of, node.any_of, node.one_of);
    if (!std::all_of(all.begin(), all.end(), fit)) return false;
    if (!any.empty() && std::none_of(any.begin(), any.end(), fit)) return false;
    if (!one.empty() && std::count_if(one.begin(), one.end(), fit) != 1) return false;
    return !node.not_this || !fits(*node.not_this, value);
  }

  bool fits_its_type(const Node& node, const Value& value) {
    if (value.is_object()) return fits_object(node, value);
    if (value.is_array()) return fits_array(node, value);
    if (value.is_string()) return fits_string(node, value.get_ref<const std::string&>());
    return !value.is_number() || fits_number(node, value);
  }

  bool fits_object(const Node& node, const Value& value) {
    if (!node.property_count.holds(value.size())) return false;
    for (const std::string& name : node.required) {
      if (!value.contains(name)) return false;
    }
    if (node.properties.empty() && !node.additional) return true;
    for (const auto& [name, one] : value.items()) {
      const auto found = node.properties.find(name);
      if (found != node.properties.end() ? !fits(found->second, one)
                                         : node.additional && !fits(*node.additional, one))
        return false;
    }
    return true;
  }

  bool fits_array(const Node& node, const Value& value) {
    if (!node.item_count.holds(value.size())) return false;
    const size_t prefix = std::min(node.prefix_items.size(), value.size());
    for (size_t i = 0; i < prefix; ++i) {
      if (!fits(node.prefix_items[i], value[i])) return false;
    }
    for (size_t i = prefix; node.items && i < value.size(); ++i) {
      if (!fits(*node.items, value[i])) return false;
    }
    if (!node.unique_items) return true;
    steps -= static_cast<int64_t>(value.size());
    return all_different(value);
  }

  bool fits_string(const Node& node, const std::string& text) {
    if (!node.length.holds(characters(text))) return false;
    if (!node.pattern) return true;
    const auto match = node.pattern->matches(text);
    gave_up = gave_up || !match;
    return match.value_or(false);
  }

  static bool fits_number(const Node& node, const Value& value) {
    return !(node.minimum && value < *node.minimum) && !(node.maximum && value > *node.maximum) &&
           !(node.above && value <= *node.above) && !(node.below && value >= *node.below) &&
           !(node.multiple_of && !is_multiple(value, *node.multiple_of));
  }
};

std::optional<bool> JsonSchema::fits(const nlohmann::json& value) const {
  Check check{*this};
  const bool fit = check.fits(0, value);
  return check.gave_up ? std::nullopt : std::optional(fit);
}

}  // namespace temper
