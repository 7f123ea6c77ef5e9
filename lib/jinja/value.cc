#include "jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "base/json.h"

namespace temper::jinja {
namespace {

// A little above what parse_json lets through.
constexpr int kMaxValueDepth = 600;

template <class Items>
int nested_depth(const Items& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  if (++depth > kMaxValueDepth)
    throw Error(fmt::format("values nested deeper than {} levels", kMaxValueDepth));
  return depth;
}

}  // namespace

Value Value::undefined(std::string why) {
  return Value(Variant(Undefined{std::make_shared<const std::string>(std::move(why))}));
}

Value Value::sequence(std::vector<Value> items, Sequence::Kind kind, std::string label) {
  Sequence out;
  out.kind = kind;
  out.depth = nested_depth(items);
  out.items = std::move(items);
  out.label = std::move(label);
  return Value(Variant(std::make_shared<const Sequence>(std::move(out))));
}

Value Value::dict(Dict dict) {
  int depth = 0;
  for (const auto& [key, value] : dict.items) depth = std::max({depth, key.depth(), value.depth()});
  if (++depth > kMaxValueDepth)
    throw Error(fmt::format("values nested deeper than {} levels", kMaxValueDepth));
  dict.depth = depth;
  return Value(Variant(std::make_shared<const Dict>(std::move(dict))));
}

Value Value::iterator(std::vector<Value> items) {
  auto out = std::make_shared<Iterator>();
  out->depth = nested_depth(items);
  out->items = std::move(items);
  return Value(Variant(std::move(out)));
}

Value Value::callable(std::string name, std::function<Value(Evaluator&, CallArgs&)> call, int depth) {
  if (depth > kMaxValueDepth) throw Error(fmt::format("values nested deeper than {} levels", kMaxValueDepth));
  return Value(Variant(std::make_shared<const Callable>(Callable{std::move(name), std::move(call), depth})));
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  if (const Text* text = key.text()) {
    const auto at = names.find(text->str());
    return at == names.end() ? nullptr : &items[at->second].second;
  }
  if (!hashable(key)) throw Error("unhashable type: '" + key.type_name() + "'");
  for (const auto& [k, v] : items) {
    if (k.text() == nullptr && equals(k, key, budget)) return &v;
  }
  return nullptr;
}

void Dict::set(const Value& key, const Value& value, Budget& budget) {
  budget.alloc(kItemBytes);
  if (const Value* old = find(key, budget)) {
    *const_cast<Value*>(old) = value;
    return;
  }
  if (const Text* text = key.text()) names.emplace(text->str(), items.size());
  items.emplace_back(key, value);
}

bool Value::truthy() const {
  if (const bool* b = get<bool>()) return *b;
  if (const int64_t* i = get<int64_t>()) return *i != 0;
  if (const double* d = get<double>()) return *d != 0;
  if (const Text* t = text()) return !t->empty();
  if (const Sequence* s = sequence()) return !s->items.empty();
  if (const Dict* d = dict()) return !d->items.empty();
  return !is_undefined() && !is_none();
}

int Value::depth() const {
  if (const Sequence* s = sequence()) return s->depth;
  if (const Dict* d = dict()) return d->depth;
  if (const Iterator* i = iterator()) return i->depth;
  if (const Callable* c = callable()) return c->depth;
  if (const Loop* l = loop()) return l->depth;
  return 0;
}

std::string Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (get<bool>()) return "bool";
  if (get<int64_t>()) return "int";
  if (get<double>()) return "float";
  if (text()) return text()->is_markup() ? "Markup" : "str";
  if (dict()) return "dict";
  if (iterator()) return "generator";
  if (name_space()) return "Namespace";
  if (loop()) return "LoopContext";
  if (const Sequence* s = sequence()) {
    if (is_tuple()) return "tuple";
    if (s->kind == Sequence::Kind::kRange) return "range";
    return s->kind == Sequence::Kind::kView ? s->label : "list";
  }
  return "function";
}

bool as_int(const Value& value, int64_t& out) {
  if (const bool* b = value.get<bool>()) return out = *b, true;
  if (const int64_t* i = value.get<int64_t>()) return out = *i, true;
  return false;
}

bool as_number(const Value& value, double& out) {
  int64_t i;
  if (as_int(value, i)) return out = static_cast<double>(i), true;
  if (const double* d = value.get<double>()) return out = *d, true;
  return false;
}

std::string repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  int exponent = 0;
  const char* exponent_text = shortest.data() + e + (shortest[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_text, end, exponent);
  const std::string sign = std::signbit(number) ? "-" : "";
  std::string digits;
  for (char c : shortest.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    const std::string fraction = count > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], fraction, exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return sign + digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
         digits.substr(static_cast<size_t>(exponent) + 1);
}

bool equals(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  int64_t i, j;
  if (as_int(a, i) && as_int(b, j)) return i == j;
  double x, y;
  if (as_number(a, x) && as_number(b, y)) return x == y;
  if (a.text() && b.text()) return a.text()->str() == b.text()->str();
  if (a.sequence() && b.sequence()) {
    const Sequence &s = *a.sequence(), &t = *b.sequence();
    if ((s.kind != t.kind && !(a.is_tuple() && b.is_tuple())) || s.items.size() != t.items.size())
      return false;
    for (size_t k = 0; k < s.items.size(); ++k) {
      if (!equals(s.items[k], t.items[k], budget)) return false;
    }
    return true;
  }
  if (a.dict() && b.dict()) {
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    for (const auto& [key, value] : a.dict()->items) {
      const Value* other = b.dict()->find(key, budget);
      if (other == nullptr || !equals(value, *other, budget)) return false;
    }
    return true;
  }
  if (a.iterator() || a.loop() || a.callable() || a.name_space()) {
    return a.iterator() == b.iterator() && a.loop() == b.loop() && a.callable() == b.callable() &&
           a.name_space() == b.name_space();
  }
  return false;
}

bool identical(const Value& a, const Value& b) {
  if (a.text() != nullptr && b.text() != nullptr && a.text()->size() <= 1) {  // Python keeps one of each
    return a.text()->str() == b.text()->str() && a.text()->is_markup() == b.text()->is_markup();
  }
  return std::visit(
      [](const auto& x, const auto& y) {
        using X = std::decay_t<decltype(x)>;
        if constexpr (!std::is_same_v<X, std::decay_t<decltype(y)>>) {
          return false;
        } else if constexpr (std::is_same_v<X, Undefined>) {
          return x.why == y.why;
        } else if constexpr (std::is_same_v<X, None>) {
          return true;
        } else {
          return x == y;
        }
      },
      a.variant(), b.variant());
}

bool hashable(const Value& value) {
  if (value.dict() != nullptr || value.is_list()) return false;
  const Sequence* s = value.sequence();
  if (s != nullptr && s->kind == Sequence::Kind::kView) return s->label == "dict_values";
  return !value.is_tuple() || std::all_of(s->items.begin(), s->items.end(), hashable);
}

int compare(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_undefined()) throw Error(*a.get<Undefined>()->why);
  if (b.is_undefined()) throw Error(*b.get<Undefined>()->why);
  int64_t i, j;
  if (as_int(a, i) && as_int(b, j)) return (i > j) - (i < j);
  double x, y;
  if (as_number(a, x) && as_number(b, y)) return (x > y) - (x < y);
  if (a.text() && b.text()) {
    const int order = a.text()->str().compare(b.text()->str());
    return (order > 0) - (order < 0);
  }
  if ((a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple())) {
    const auto &s = a.sequence()->items, &t = b.sequence()->items;
    for (size_t k = 0; k < std::min(s.size(), t.size()); ++k) {
      if (!equals(s[k], t[k], budget)) return compare(s[k], t[k], budget);
    }
    return (s.size() > t.size()) - (s.size() < t.size());
  }
  throw Error(fmt::format("'{}' and '{}' cannot be compared by order", a.type_name(), b.type_name()));
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (const Text* text = container.text()) {
    if (item.text() == nullptr) {
      throw Error(fmt::format("'in <string>' requires string as left operand, not {}", item.type_name()));
    }
    budget.work(text->size());
    return find_first(text->str(), item.text()->str()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(item, budget) != nullptr;
  if (const Sequence* s = container.sequence()) {
    return std::any_of(s->items.begin(), s->items.end(),
                       [&](const Value& other) { return equals(other, item, budget); });
  }
  if (Iterator* it = container.iterator()) {
    while (it->next < it->items.size()) {
      if (equals(it->items[it->next++], item, budget)) return true;
    }
    return false;
  }
  if (container.is_undefined()) return false;
  throw Error(fmt::format("argument of type '{}' is not iterable", container.type_name()));
}

std::vector<Value> iterate(const Value& value, Budget& budget) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (const Text* text = value.text()) {
    budget.alloc(text->size() * (2 * kItemBytes));
    const auto starts = code_point_starts(text->str());
    for (size_t i = 0; i + 1 < starts.size(); ++i) out.emplace_back(text->slice(starts[i], starts[i + 1]));
    return out;
  }
  if (const Sequence* s = value.sequence()) {
    budget.alloc(s->items.size() * sizeof(Value));
    return s->items;
  }
  if (const Dict* dict = value.dict()) {
    budget.alloc(dict->items.size() * sizeof(Value));
    for (const auto& [key, item] : dict->items) out.push_back(key);
    return out;
  }
  if (Iterator* it = value.iterator()) {
    out.assign(it->items.begin() + static_cast<std::ptrdiff_t>(it->next), it->items.end());
    it->next = it->items.size();
    return out;
  }
  throw Error(fmt::format("'{}' object is not iterable", value.type_name()));
}

Value from_json(const Json& json, Tag tag) {
  switch (json.type()) {
    case Json::value_t::null:
      return Value();
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        throw Error(fmt::format("the integer {} does not fit 64 bits", json.get<uint64_t>()));
      }
      return Value(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string: {
      const auto& bytes = json.get_ref<const std::string&>();
      if (!valid_utf8(bytes)) throw Error("a value handed in is not valid UTF-8");
      return Value(Text(bytes, tag));
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(item, tag));
      return Value::sequence(std::move(items));
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) {
        if (!valid_utf8(key)) throw Error("a key handed in is not valid UTF-8");
        dict.names.emplace(key, dict.items.size());
        dict.items.emplace_back(Value(Text(key, tag)), from_json(item, tag));
      }
      return Value::dict(std::move(dict));
    }
    default:
      throw Error("a value handed in is neither text, number, list nor object");
  }
}

}  // namespace temper::jinja
