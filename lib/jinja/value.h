// Values of the template language: Python's None, bool, int, float, str, list, tuple and dict as far as
// templates see them, and Jinja's undefined, namespaces, loops and callables.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/json_fwd.h"
#include "jinja/text.h"

namespace temper::jinja {

class Value;
class Evaluator;

inline constexpr size_t kItemBytes = 64;  // what an item of a container counts against the budget

struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};

// Immutable sequences. A group is groupby's pair of key and list. Containers count their nesting, so that
// neither printing nor freeing them runs out of stack.
struct Sequence {
  enum class Kind { kList, kTuple, kGroup, kView, kRange };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  std::string label;  // views: "dict_items" ...; ranges: as printed
  int depth = 1;
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string, size_t> names;  // where a string key stands
  int depth = 1;
  const Value* find(const Value& key, Budget& budget) const;
  void set(const Value& key, const Value& value, Budget& budget);
};

// What map, select, items and their like give: always true, read once.
struct Iterator {
  std::vector<Value> items;
  size_t next = 0;
  int depth = 1;
};

// Owned by the rendering (they may form cycles); values hold plain pointers.
struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable {
  std::string name;
  std::function<Value(Evaluator&, CallArgs&)> call;
  int depth = 1;
};

struct Loop {
  std::vector<Value> items;
  size_t index = 0;
  int64_t depth0 = 0;                                      // of loops that call themselves
  std::function<Value(Evaluator&, const Value&)> recurse;  // loop(items) of those; empty for all others
  int depth = 1;
  std::vector<Value> last_changed;
};

class Value {
 public:
  using Variant =
      std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
                   std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Iterator>,
                   Namespace*, std::shared_ptr<const Callable>, std::shared_ptr<Loop>>;

  Value() : v_(None{}) {}
  Value(Variant v) : v_(std::move(v)) {}
  Value(bool b) : v_(b) {}
  Value(int64_t i) : v_(i) {}
  Value(double d) : v_(d) {}
  Value(Text text) : v_(std::make_shared<const Text>(std::move(text))) {}
  Value(const char*) = delete;
  static Value undefined(std::string why);
  static Value sequence(std::vector<Value> items, Sequence::Kind kind = Sequence::Kind::kList,
                        std::string label = "");
  static Value dict(Dict dict);
  static Value iterator(std::vector<Value> items);
  static Value callable(std::string name, std::function<Value(Evaluator&, CallArgs&)> call, int depth = 1);

  const Variant& variant() const { return v_; }
  template <class T>
  const T* get() const {
    return std::get_if<T>(&v_);
  }
  const Text* text() const { return pointee<const Text>(); }
  const Sequence* sequence() const { return pointee<const Sequence>(); }
  const Dict* dict() const { return pointee<const Dict>(); }
  Iterator* iterator() const { return pointee<Iterator>(); }
  const Callable* callable() const { return pointee<const Callable>(); }
  Loop* loop() const { return pointee<Loop>(); }
  Namespace* name_space() const { return get<Namespace*>() ? *get<Namespace*>() : nullptr; }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  bool is_list() const { return sequence() != nullptr && sequence()->kind == Sequence::Kind::kList; }
  bool is_tuple() const {
    return sequence() != nullptr &&
           (sequence()->kind == Sequence::Kind::kTuple || sequence()->kind == Sequence::Kind::kGroup);
  }

  bool truthy() const;
  int depth() const;              // of nested containers; 0 for plain values
  std::string type_name() const;  // Python's: 'str', 'dict' ...

 private:
  template <class T>
  T* pointee() const {
    const auto* p = std::get_if<std::shared_ptr<T>>(&v_);
    return p == nullptr ? nullptr : p->get();
  }
  Variant v_;
};

// bool counts as int, as in Python. Null pointers / false when it is no number.
bool as_int(const Value& value, int64_t& out);
bool as_number(const Value& value, double& out);

Text to_text(const Value& value, Budget& budget);    // str(value)
Text soft_text(const Value& value, Budget& budget);  // the same, but markup stays markup
Text repr(const Value& value, Budget& budget);
std::string repr(const std::string& text);
std::string repr(double number);

bool equals(const Value& a, const Value& b, Budget& budget);
bool identical(const Value& a, const Value& b);  // Python's `is`; numbers are identical where they are equal
bool hashable(const Value& value);               // whether it can be a key
// a < b: -1, equal: 0, a > b: 1. Throws Error on types that have no order.
int compare(const Value& a, const Value& b, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

// What a for loop goes through; iterators are used up. Throws Error for what cannot be iterated.
std::vector<Value> iterate(const Value& value, Budget& budget);

Value from_json(const Json& json, Tag tag);

struct JsonStyle {
  bool ascii = false, sort_keys = false;
  bool pretty = false;  // indent given
  Text indent = {};
  Text item_separator{", "}, key_separator{": "};
};
Text to_json(const Value& value, const JsonStyle& style, Budget& budget);  // json.dumps

}  // namespace temper::jinja
