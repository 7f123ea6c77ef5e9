// Filters of lists and mappings.
#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

// x.a.b or x.0 of an attribute argument; `otherwise` stands in for each step that is undefined.
Value dotted(Evaluator& e, const Value& item, const Value& path, const Value* otherwise = nullptr) {
  auto step = [&](const Value& from, const Value& key) {
    Value value = e.subscript(from, key);
    return value.is_undefined() && otherwise != nullptr ? *otherwise : value;
  };
  if (path.text() == nullptr) return path.is_none() ? item : step(item, path);
  const std::string dot = ".";
  Value at = item;
  for (const Text& part : split(*path.text(), &dot, -1, false, e.budget())) {
    int64_t index = 0;
    const std::string& s = part.str();
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), index);
    const bool number = error == std::errc() && end == s.data() + s.size() && s[0] != '-';
    at = step(at, number ? Value(index) : Value(part));
  }
  return at;
}

Value folded(const Value& value, bool case_sensitive) {
  if (case_sensitive || value.text() == nullptr) return value;
  return Value(map_code_points(*value.text(), [](char32_t c, bool) { return to_lower(c); }));
}

Value length(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("length", args).done();
  if (const Text* text = input.text()) {
    e.budget().work(text->size());
    return Value(static_cast<int64_t>(count_code_points(text->str())));
  }
  if (const Sequence* s = input.sequence()) return Value(static_cast<int64_t>(s->items.size()));
  if (const Dict* dict = input.dict()) return Value(static_cast<int64_t>(dict->items.size()));
  if (const Loop* loop = input.loop()) return Value(static_cast<int64_t>(loop->items.size()));
  if (input.is_undefined()) return Value(int64_t{0});
  throw Error(fmt::format("object of type '{}' has no length", input.type_name()));
}

Value join_filter(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("join", args);
  const Value* separator = reader.optional("d");
  const Value* attribute = reader.optional("attribute");
  reader.done();
  std::vector<Text> parts;
  for (const Value& item : iterate(input, e.budget())) {
    parts.push_back(to_text(attribute != nullptr ? dotted(e, item, *attribute) : item, e.budget()));
    e.budget().alloc(kItemBytes + parts.back().size());
  }
  return Value(join(separator != nullptr ? to_text(*separator, e.budget()) : Text(), parts, e.budget()));
}

Value first(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("first", args).done();
  if (Iterator* it = input.iterator()) {
    if (it->next < it->items.size()) return it->items[it->next++];
  } else {
    const auto items = iterate(input, e.budget());
    if (!items.empty()) return items.front();
  }
  return Value::undefined("No first item, sequence was empty.");
}

Value last(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("last", args).done();
  if (input.iterator()) throw Error("'generator' object is not reversible");
  const auto items = iterate(input, e.budget());
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("list", args).done();
  return Value::sequence(iterate(input, e.budget()));
}

Value items(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("items", args).done();
  if (input.is_undefined()) return Value::iterator({});
  if (input.dict() == nullptr) throw Error("Can only get item pairs from a mapping.");
  std::vector<Value> out;
  e.budget().alloc(input.dict()->items.size() * kItemBytes);
  for (const auto& [key, value] : input.dict()->items) {
    out.push_back(Value::sequence({key, value}, Sequence::Kind::kTuple));
  }
  return Value::iterator(std::move(out));
}

Value dictsort(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("dictsort", args);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* by = reader.optional("by");
  const bool reverse = reader.flag("reverse", false);
  reader.done();
  const std::string by_name = by != nullptr ? need_text(*by, "dictsort's by").str() : "key";
  if (by_name != "key" && by_name != "value") throw Error("dictsort sorts by \"key\" or \"value\"");
  if (input.dict() == nullptr) throw Error("dictsort needs a mapping");
  auto pairs = input.dict()->items;
  auto key = [&](const auto& pair) {
    return folded(by_name == "key" ? pair.first : pair.second, case_sensitive);
  };
  std::stable_sort(pairs.begin(), pairs.end(), [&](const auto& a, const auto& b) {
    const int order = compare(key(a), key(b), e.budget());
    return reverse ? order > 0 : order < 0;
  });
  std::vector<Value> out;
  for (const auto& [k, v] : pairs) out.push_back(Value::sequence({k, v}, Sequence::Kind::kTuple));
  return Value::sequence(std::move(out));
}

Value sort(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("sort", args);
  const bool reverse = reader.flag("reverse", false);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.done();
  std::vector<std::pair<std::vector<Value>, Value>> keyed;
  for (const Value& item : iterate(input, e.budget())) {
    std::vector<Value> keys;
    if (attribute != nullptr && attribute->text()) {
      const std::string comma = ",";
      for (const Text& path : split(*attribute->text(), &comma, -1, false, e.budget())) {
        keys.push_back(folded(dotted(e, item, Value(path)), case_sensitive));
      }
    } else {
      keys.push_back(folded(attribute != nullptr ? dotted(e, item, *attribute) : item, case_sensitive));
    }
    e.budget().alloc(kItemBytes);
    keyed.emplace_back(std::move(keys), item);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    for (size_t i = 0; i < a.first.size(); ++i) {
      if (equals(a.first[i], b.first[i], e.budget())) continue;
      const int order = compare(a.first[i], b.first[i], e.budget());
      return reverse ? order > 0 : order < 0;
    }
    return false;
  });
  std::vector<Value> out;
  for (auto& [key, value] : keyed) out.push_back(std::move(value));
  return Value::sequence(std::move(out));
}

Value unique(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("unique", args);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.done();
  Dict seen;
  std::vector<Value> out;
  for (const Value& item : iterate(input, e.budget())) {
    const Value key = folded(attribute != nullptr ? dotted(e, item, *attribute) : item, case_sensitive);
    if (seen.find(key, e.budget()) != nullptr) continue;
    seen.set(key, Value(), e.budget());
    out.push_back(item);
  }
  return Value::iterator(std::move(out));
}

Value extreme(Evaluator& e, const Value& input, CallArgs& args, int sign) {
  ArgReader reader(sign < 0 ? "min" : "max", args);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.done();
  Value best = Value::undefined("No aggregated item, sequence was empty."), best_key;
  for (const Value& item : iterate(input, e.budget())) {
    const Value key = folded(attribute != nullptr ? dotted(e, item, *attribute) : item, case_sensitive);
    if (best.is_undefined() || compare(key, best_key, e.budget()) == sign) {
      best = item;
      best_key = key;
    }
  }
  return best;
}

Value min_filter(Evaluator& e, const Value& input, CallArgs& args) {
  return extreme(e, input, args, -1);
}
Value max_filter(Evaluator& e, const Value& input, CallArgs& args) {
  return extreme(e, input, args, 1);
}

Value sum(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("sum", args);
  const Value* attribute = reader.optional("attribute");
  const Value* start = reader.optional("start");
  reader.done();
  Value total = start != nullptr ? *start : Value(int64_t{0});
  if (total.text() != nullptr) throw Error("sum adds no text; use join");
  for (const Value& item : iterate(input, e.budget()))
    total = e.add(total, attribute != nullptr ? dotted(e, item, *attribute) : item);
  return total;
}

int64_t whole(const Value& value) {
  int64_t out = 0;
  if (!as_int(value, out)) throw Error(fmt::format("a count is an integer, not '{}'", value.type_name()));
  return out;
}

// Lists of `count` items each; the last one filled up.
Value batch(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("batch", args);
  const int64_t count = whole(reader.required("linecount"));
  const Value* fill = reader.optional("fill_with");
  reader.done();
  std::vector<Value> out, row;
  auto close = [&] {
    e.budget().alloc(kItemBytes);
    out.push_back(Value::sequence(std::move(row)));
    row.clear();
  };
  for (const Value& item : iterate(input, e.budget())) {
    if (static_cast<int64_t>(row.size()) == count) close();
    row.push_back(item);
  }
  if (!row.empty()) {
    while (fill != nullptr && !fill->is_none() && static_cast<int64_t>(row.size()) < count) {
      e.budget().alloc(kItemBytes);
      row.push_back(*fill);
    }
    close();
  }
  return Value::iterator(std::move(out));
}

// `count` lists of nearly equal length.
Value slice(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("slice", args);
  const int64_t count = whole(reader.required("slices"));
  const Value* fill = reader.optional("fill_with");
  reader.done();
  const auto items = iterate(input, e.budget());
  if (count == 0) throw Error("division by zero");
  std::vector<Value> out;
  auto at = items.begin();
  for (int64_t i = 0; i < count; ++i) {
    const auto size = static_cast<int64_t>(items.size());
    const bool longer = i < size % count;
    const auto end = at + size / count + (longer ? 1 : 0);
    std::vector<Value> part(at, end);
    at = end;
    if (fill != nullptr && !fill->is_none() && !longer) part.push_back(*fill);
    e.budget().alloc(kItemBytes);
    out.push_back(Value::sequence(std::move(part)));
  }
  return Value::iterator(std::move(out));
}

// Pairs (key, items) in the keys' order; a pair's key is that of its first item.
Value groupby(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("groupby", args);
  const Value attribute = reader.required("attribute");
  const Value* otherwise = reader.optional("default");
  if (otherwise != nullptr && otherwise->is_none()) otherwise = nullptr;
  const bool case_sensitive = reader.flag("case_sensitive", false);
  reader.done();
  struct Keyed {
    Value folded, key, item;
  };
  std::vector<Keyed> keyed;
  for (const Value& item : iterate(input, e.budget())) {
    const Value key = dotted(e, item, attribute, otherwise);
    e.budget().alloc(kItemBytes);
    keyed.push_back({folded(key, case_sensitive), key, item});
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    return compare(a.folded, b.folded, e.budget()) < 0;
  });
  std::vector<Value> out;
  for (size_t i = 0; i < keyed.size();) {
    std::vector<Value> group;
    const size_t first = i;
    for (; i < keyed.size() && equals(keyed[i].folded, keyed[first].folded, e.budget()); ++i)
      group.push_back(keyed[i].item);
    out.push_back(
        Value::sequence({keyed[first].key, Value::sequence(std::move(group))}, Sequence::Kind::kGroup));
  }
  return Value::sequence(std::move(out));
}

Value reverse(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("reverse", args).done();
  auto items = iterate(input, e.budget());
  std::reverse(items.begin(), items.end());
  if (input.text() == nullptr) return Value::iterator(std::move(items));
  Text out;
  for (const Value& item : items) out.append(*item.text());
  return Value(std::move(out.set_markup(input.text()->is_markup())));
}

Value map_filter(Evaluator& e, const Value& input, CallArgs& args) {
  std::vector<Value> out;
  if (!input.truthy()) return Value::iterator({});
  if (args.positional.empty()) {
    ArgReader reader("map", args);
    const Value attribute = reader.required("attribute");
    const Value* otherwise = reader.optional("default");
    reader.done();
    for (const Value& item : iterate(input, e.budget())) {
      out.push_back(dotted(e, item, attribute, otherwise));
    }
    return Value::iterator(std::move(out));
  }
  const std::string name = need_text(args.positional[0], "map's filter").str();
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) throw Error(fmt::format("no filter named '{}'", name));
  for (const Value& item : iterate(input, e.budget())) {
    CallArgs rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
    out.push_back(filter(e, item, rest));
  }
  return Value::iterator(std::move(out));
}

Value select_if(Evaluator& e, const Value& input, CallArgs& args, bool by_attribute, bool wanted) {
  std::vector<Value> out;
  if (!input.truthy()) return Value::iterator({});
  const size_t skip = by_attribute ? 1 : 0;
  if (args.positional.size() < skip) throw Error("selectattr and rejectattr need the name of an attribute");
  TestFunction test = nullptr;
  if (args.positional.size() > skip) {
    const std::string name = need_text(args.positional[skip], "a test's name").str();
    test = find_test(name);
    if (test == nullptr) throw Error(fmt::format("no test named '{}'", name));
  }
  for (const Value& item : iterate(input, e.budget())) {
    const Value seen = by_attribute ? dotted(e, item, args.positional[0]) : item;
    bool good = seen.truthy();
    if (test != nullptr) {
      CallArgs rest{{args.positional.begin() + static_cast<std::ptrdiff_t>(skip) + 1, args.positional.end()},
                    args.named};
      good = test(e, seen, rest);
    }
    if (good == wanted) out.push_back(item);
  }
  return Value::iterator(std::move(out));
}

Value select(Evaluator& e, const Value& in, CallArgs& args) {
  return select_if(e, in, args, false, true);
}
Value reject(Evaluator& e, const Value& in, CallArgs& args) {
  return select_if(e, in, args, false, false);
}
Value selectattr(Evaluator& e, const Value& in, CallArgs& args) {
  return select_if(e, in, args, true, true);
}
Value rejectattr(Evaluator& e, const Value& in, CallArgs& args) {
  return select_if(e, in, args, true, false);
}

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> kFilters = {
      {"batch", batch},      {"count", length},    {"dictsort", dictsort},
      {"first", first},      {"groupby", groupby}, {"items", items},
      {"join", join_filter}, {"last", last},       {"length", length},
      {"list", list},        {"map", map_filter},  {"max", max_filter},
      {"min", min_filter},   {"reject", reject},   {"rejectattr", rejectattr},
      {"reverse", reverse},  {"select", select},   {"selectattr", selectattr},
      {"slice", slice},      {"sort", sort},       {"sum", sum},
      {"unique", unique},
  };
  const auto at = kFilters.find(name);
  return at == kFilters.end() ? nullptr : at->second;
}

}  // namespace temper::jinja
