#include "jinja/functions.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"

namespace temper::jinja {

const Value* ArgReader::optional(std::string_view name) {
  if (next_ < args_.positional.size()) return &args_.positional[next_++];
  ++next_;
  for (const auto& [key, value] : args_.named) {
    if (key == name) {
      ++named_taken_;
      return &value;
    }
  }
  return nullptr;
}

const Value& ArgReader::required(std::string_view name) {
  const Value* value = optional(name);
  if (value == nullptr) throw Error(fmt::format("{}() needs '{}'", function_, name));
  return *value;
}

bool ArgReader::flag(std::string_view name, bool otherwise) {
  const Value* value = optional(name);
  return value == nullptr ? otherwise : value->truthy();
}

int64_t ArgReader::integer(std::string_view name, int64_t otherwise) {
  const Value* value = optional(name);
  int64_t out = otherwise;
  if (value != nullptr && !value->is_none() && !as_int(*value, out)) {
    throw Error(fmt::format("{}() needs an integer as '{}', not '{}'", function_, name, value->type_name()));
  }
  return out;
}

void ArgReader::done() const {
  if (args_.positional.size() > next_) throw Error(fmt::format("{}() got too many arguments", function_));
  if (named_taken_ < args_.named.size()) {
    throw Error(fmt::format("{}() got arguments it does not know, or twice", function_));
  }
}

const Text& need_text(const Value& value, std::string_view what) {
  if (value.text()) return *value.text();
  if (value.is_undefined()) throw Error(*value.get<Undefined>()->why);
  throw Error(fmt::format("{} must be text, not '{}'", what, value.type_name()));
}

std::vector<Value> to_values(std::vector<Text> parts) {
  std::vector<Value> out;
  for (Text& part : parts) out.emplace_back(std::move(part));
  return out;
}

// The filter starts words after white space and -({[<, the method after anything that is no letter.
Text title_case(const Text& text, bool words_start_after_any_non_letter) {
  bool start = true;
  return map_code_points(text, [&](char32_t c, bool after_cased) {
    if (words_start_after_any_non_letter) start = !after_cased;
    std::string out = !start ? to_lower(c) : words_start_after_any_non_letter ? to_title(c) : to_upper(c);
    start = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    return out;
  });
}

Text capitalized(const Text& text) {
  bool first = true;
  return map_code_points(
      text, [&](char32_t c, bool) { return std::exchange(first, false) ? to_title(c) : to_lower(c); });
}

bool all_cased(const Text& text, bool upper) {
  bool some = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = decode_at(text.str(), at);
    if (upper ? is_lower(c) : is_upper(c)) return false;
    some |= upper ? is_upper(c) : is_lower(c);
  }
  return some;
}

namespace {

Value range(Evaluator& e, CallArgs& args) {
  if (!args.named.empty() || args.positional.empty() || args.positional.size() > 3) {
    throw Error("range() takes one to three integers");
  }
  int64_t at[3] = {0, 0, 1};
  const size_t n = args.positional.size();
  for (size_t i = 0; i < n; ++i) {
    if (!as_int(args.positional[i], at[n == 1 ? 1 : i])) {
      throw Error(fmt::format("range() needs integers, not '{}'", args.positional[i].type_name()));
    }
  }
  const auto [start, stop, step] = at;
  if (step == 0) throw Error("range()'s step is zero");
  constexpr int64_t kMaxRange = 100000;  // Jinja's own limit
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) throw Error("range() of more than 100000 numbers");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  e.budget().alloc(items.size() * sizeof(Value));
  const std::string label = step == 1 ? fmt::format("range({}, {})", start, stop)
                                      : fmt::format("range({}, {}, {})", start, stop, step);
  return Value::sequence(std::move(items), Sequence::Kind::kRange, label);
}

// dict(a=1), dict(mapping), dict(pairs): what dict and namespace start from.
Dict make_dict(Evaluator& e, CallArgs& args) {
  Dict out;
  if (args.positional.size() > 1) throw Error("dict() takes at most one value by position");
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.is_undefined()) throw Error(*from.get<Undefined>()->why);
    if (from.dict()) {
      for (const auto& [key, value] : from.dict()->items) out.set(key, value, e.budget());
    } else {
      for (const Value& pair : iterate(from, e.budget())) {
        const auto two = iterate(pair, e.budget());
        if (two.size() != 2) throw Error("dict() needs pairs");
        out.set(two[0], two[1], e.budget());
      }
    }
  }
  for (const auto& [name, value] : args.named) out.set(Value(Text(name)), value, e.budget());
  return out;
}

Value dict(Evaluator& e, CallArgs& args) {
  return Value::dict(make_dict(e, args));
}

Value name_space(Evaluator& e, CallArgs& args) {
  Namespace* out = e.new_namespace();
  for (auto& [key, value] : make_dict(e, args).items) {
    const std::string& name = need_text(key, "a name in a namespace").str();
    if (name.starts_with('_')) throw Error("names in a namespace cannot start with an underscore");
    out->items.emplace_back(name, value);
  }
  return Value(Value::Variant(out));
}

Value raise_exception(Evaluator& e, CallArgs& args) {
  ArgReader reader("raise_exception", args);
  const Value& message = reader.required("message");
  reader.done();
  throw Error("the template refuses: " + to_text(message, e.budget()).str());
}

Value strftime_now(Evaluator&, CallArgs& args) {
  ArgReader reader("strftime_now", args);
  const std::string format = need_text(reader.required("format"), "strftime_now's format").str();
  reader.done();
  if (format.size() > 256) throw Error("strftime_now's format is longer than 256 bytes");
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  localtime_r(&now, &parts);
  char buffer[4096];
  const size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &parts);
  const std::string_view out(buffer, size);
  if (!valid_utf8(out)) throw Error("strftime_now gives text that is not UTF-8");
  return Value(Text(out));
}

// joiner(separator): "" at the first call, the separator at every other.
Value joiner(Evaluator&, CallArgs& args) {
  ArgReader reader("joiner", args);
  const Value* given = reader.optional("sep");
  const Value separator = given != nullptr ? *given : Value(Text(", "));
  reader.done();
  return Value::callable(
      "joiner",
      [separator, used = std::make_shared<bool>(false)](Evaluator&, CallArgs& none) {
        ArgReader("joiner", none).done();
        return std::exchange(*used, true) ? separator : Value(Text());
      },
      separator.depth() + 1);
}

// cycler(items): an object with next(), reset() and current.
Value cycler(Evaluator& e, CallArgs& args) {
  if (!args.named.empty() || args.positional.empty()) throw Error("cycler() takes one item at least");
  Namespace* out = e.new_namespace();
  const auto items = std::make_shared<const std::vector<Value>>(args.positional);
  const auto at = std::make_shared<size_t>(0);
  int depth = 0;
  for (const Value& item : *items) depth = std::max(depth, item.depth());
  auto method = [&](const char* name, bool reset) {
    return Value::callable(
        name,
        [out, items, at, reset](Evaluator&, CallArgs& none) {
          ArgReader("cycler", none).done();
          const Value before = (*items)[*at];
          *at = reset ? 0 : (*at + 1) % items->size();
          out->items[0].second = (*items)[*at];
          return reset ? Value() : before;
        },
        depth + 1);
  };
  out->items = {
      {"current", items->front()}, {"next", method("next", false)}, {"reset", method("reset", true)}};
  return Value(Value::Variant(out));
}

}  // namespace

bool find_global(const std::string& name, Value& out) {
  static const std::map<std::string, Value (*)(Evaluator&, CallArgs&)> kGlobals = {
      {"range", range},
      {"dict", dict},
      {"joiner", joiner},
      {"cycler", cycler},
      {"namespace", name_space},
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
  };
  const auto at = kGlobals.find(name);
  if (at == kGlobals.end()) return false;
  out = Value::callable(name, at->second);
  return true;
}

}  // namespace temper::jinja
