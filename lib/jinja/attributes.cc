// Attributes and methods of values other than text's own, and what object.name finds.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

Value view(std::vector<Value> items, const char* label) {
  return Value::sequence(std::move(items), Sequence::Kind::kView, label);
}
Value method_keys(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader("keys", args).done();
  return view(iterate(self, e.budget()), "dict_keys");
}
Value method_values(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader("values", args).done();
  std::vector<Value> out;
  e.budget().alloc(self.dict()->items.size() * sizeof(Value));
  for (const auto& [key, value] : self.dict()->items) out.push_back(value);
  return view(std::move(out), "dict_values");
}
Value method_items(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader("items", args).done();
  std::vector<Value> out;
  e.budget().alloc(self.dict()->items.size() * sizeof(Sequence));
  for (const auto& [key, value] : self.dict()->items) {
    out.push_back(Value::sequence({key, value}, Sequence::Kind::kTuple));
  }
  return view(std::move(out), "dict_items");
}
Value method_get(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("get", args);
  const Value& key = reader.required("key");
  const Value* otherwise = reader.optional("default");
  reader.done();
  if (const Value* value = self.dict()->find(key, e.budget())) return *value;
  return otherwise != nullptr ? *otherwise : Value();
}
Value method_copy(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader("copy", args).done();
  const Dict* dict = self.dict();
  e.budget().alloc((dict != nullptr ? dict->items.size() : self.sequence()->items.size()) * sizeof(Sequence));
  return dict != nullptr ? Value::dict(*dict) : Value::sequence(self.sequence()->items);
}
Value dict_from_keys(Evaluator& e, CallArgs& args) {
  ArgReader reader("fromkeys", args);
  const Value keys = reader.required("iterable");
  const Value* value = reader.optional("value");
  reader.done();
  Dict out;
  for (const Value& key : iterate(keys, e.budget()))
    out.set(key, value != nullptr ? *value : Value(), e.budget());
  return Value::dict(std::move(out));
}
Value method_list_count(Evaluator& e, const Value& self, CallArgs& args) {
  const Value wanted = ArgReader("count", args).required("value");
  const auto& items = self.sequence()->items;
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& v) { return equals(v, wanted, e.budget()); })));
}
Value method_list_index(Evaluator& e, const Value& self, CallArgs& args) {
  const Value wanted = ArgReader("index", args).required("value");
  const auto& items = self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equals(items[i], wanted, e.budget())) return Value(static_cast<int64_t>(i));
  }
  throw Error("the value is not in the list");
}

Method find_in(const std::map<std::string, Method>& methods, const std::string& name) {
  const auto at = methods.find(name);
  return at == methods.end() ? nullptr : at->second;
}

// What a method of markup gives is markup, too.
Value as_markup(const Value& value) {
  if (value.text()) return Value(Text(*value.text()).set_markup());
  if (value.sequence() == nullptr) return value;
  std::vector<Value> items;
  for (const Value& item : value.sequence()->items) items.push_back(as_markup(item));
  return Value::sequence(std::move(items), value.sequence()->kind);
}

bool bind(Method method, const Value& self, const std::string& name, Value& out) {
  if (method == nullptr) return false;
  out = Value::callable(
      name,
      [self, method](Evaluator& e, CallArgs& args) {
        if (self.text()) e.budget().work(self.text()->size());
        Value result = method(e, self, args);
        if (result.text()) e.budget().alloc(result.text()->size() + sizeof(Text));
        return self.text() && self.text()->is_markup() ? as_markup(result) : result;
      },
      self.depth() + 1);
  return true;
}

// A method that would change its list or dict: using it is an error.
bool refuse(std::initializer_list<const char*> names, const Value& object, const std::string& name,
            Value& out) {
  if (std::find(names.begin(), names.end(), name) == names.end()) return false;
  out = Value::undefined(
      fmt::format("'{}' of a {} would change it, which templates may not do", name, object.type_name()));
  return true;
}

bool loop_attribute(const std::shared_ptr<Loop>& loop, const std::string& name, Value& out) {
  const auto length = static_cast<int64_t>(loop->items.size());
  const auto index = static_cast<int64_t>(loop->index);
  auto neighbour = [&](int64_t at) {
    return at >= 0 && at < length ? loop->items[static_cast<size_t>(at)]
                                  : Value::undefined("there is no " + name + " here");
  };
  if (name == "index") return out = Value(index + 1), true;
  if (name == "index0") return out = Value(index), true;
  if (name == "revindex") return out = Value(length - index), true;
  if (name == "revindex0") return out = Value(length - index - 1), true;
  if (name == "first") return out = Value(index == 0), true;
  if (name == "last") return out = Value(index + 1 == length), true;
  if (name == "length") return out = Value(length), true;
  if (name == "depth") return out = Value(loop->depth0 + 1), true;
  if (name == "depth0") return out = Value(loop->depth0), true;
  if (name == "previtem") return out = neighbour(index - 1), true;
  if (name == "nextitem") return out = neighbour(index + 1), true;
  if (name == "cycle") {
    out = Value::callable(
        name,
        [loop](Evaluator&, CallArgs& args) {
          if (args.positional.empty()) throw Error("no items for cycling given");
          return args.positional[loop->index % args.positional.size()];
        },
        loop->depth + 1);
    return true;
  }
  if (name == "changed") {
    out = Value::callable(
        name,
        [loop](Evaluator& e, CallArgs& args) {
          bool same = loop->last_changed.size() == args.positional.size();
          for (size_t i = 0; same && i < args.positional.size(); ++i) {
            same = equals(loop->last_changed[i], args.positional[i], e.budget());
          }
          for (const Value& value : args.positional) {
            if (value.depth() >= loop->depth)
              throw Error("loop.changed() compares items and plain values only");
          }
          loop->last_changed = args.positional;
          return Value(!same);
        },
        loop->depth + 1);
    return true;
  }
  return false;
}

}  // namespace

bool find_attribute(Evaluator&, const Value& object, const std::string& name, Value& out) {
  static const std::map<std::string, Method> kDictMethods = {{"keys", method_keys},
                                                             {"values", method_values},
                                                             {"items", method_items},
                                                             {"get", method_get},
                                                             {"copy", method_copy}};
  static const std::map<std::string, Method> kListMethods = {
      {"count", method_list_count}, {"index", method_list_index}, {"copy", method_copy}};
  if (object.text()) return bind(find_text_method(name), object, name, out);
  if (object.dict()) {
    return bind(find_in(kDictMethods, name), object, name, out) ||
           refuse({"clear", "pop", "popitem", "setdefault", "update"}, object, name, out);
  }
  if (object.is_list() || object.is_tuple()) {
    if (object.is_tuple() && name == "copy") return false;
    const Sequence& s = *object.sequence();
    if (s.kind == Sequence::Kind::kGroup && (name == "grouper" || name == "list"))
      return out = s.items[name == "list" ? 1 : 0], true;
    return bind(find_in(kListMethods, name), object, name, out) ||
           (object.is_list() &&
            refuse({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}, object, name,
                   out));
  }
  if (const Namespace* space = object.name_space()) {
    for (const auto& [key, value] : space->items) {
      if (key == name) return out = value, true;
    }
  }
  if (object.loop()) return loop_attribute(*object.get<std::shared_ptr<Loop>>(), name, out);
  if (object.callable() && object.callable()->name == "dict" && name == "fromkeys")
    return out = Value::callable(name, dict_from_keys), true;
  return false;
}

}  // namespace temper::jinja
