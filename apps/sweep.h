// Many runs of one config: every combination of some fields' values.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace temper {

// One field of a sweep and its values, as --set takes them.
struct SweptField {
  std::string field;
  std::vector<std::string> values;
};

// "optimizer.lr=1e-4,1e-3": values are parted by commas that stand in no brackets, braces or quotes. Throws
// UserError.
inline SweptField swept_field(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    user_error("--sweep {}: expected field=value,value,...", text);
  SweptField out{text.substr(0, equals), {""}};
  int depth = 0;
  bool quoted = false;
  for (size_t i = equals + 1; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\' && i + 1 < text.size()) {
      out.values.back() += c;
      out.values.back() += text[++i];
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (!quoted && (c == '[' || c == '{')) ++depth;
    if (!quoted && (c == ']' || c == '}')) --depth;
    if (c == ',' && depth == 0 && !quoted)
      out.values.emplace_back();
    else
      out.values.back() += c;
  }
  std::set<std::string> seen;
  for (const std::string& value : out.values) {
    if (value.empty()) user_error("--sweep {}: a value is empty; expected field=value,value,...", text);
    if (!seen.insert(value).second) user_error("--sweep {}: the value {} is there twice", text, value);
  }
  return out;
}

// One run of a sweep: its overrides, and its folder below the sweep's.
struct SweptRun {
  std::vector<std::string> sets;
  std::string name;
};

// All combinations, the last field's values changing fastest. A run is called after the fields' last names
// and their values, "lr=1e-4,rank=8"; whole paths where two fields end alike.
inline std::vector<SweptRun> swept_runs(const std::vector<SweptField>& fields) {
  std::multiset<std::string> short_names;
  const auto last_name = [](const std::string& field) { return field.substr(field.rfind('.') + 1); };
  for (const SweptField& f : fields) short_names.insert(last_name(f.field));
  std::vector<SweptRun> out = {{}};
  for (const SweptField& f : fields) {
    const std::string name = short_names.count(last_name(f.field)) > 1 ? f.field : last_name(f.field);
    std::vector<SweptRun> more;
    for (const SweptRun& run : out) {
      for (const std::string& value : f.values) {
        SweptRun& next = more.emplace_back(run);
        next.sets.push_back(f.field + "=" + value);
        std::string shown = value;
        for (char& c : shown)
          if (c == '/' || c == '"' || c == ' ') c = '_';
        next.name += (next.name.empty() ? "" : ",") + name + "=" + shown;
      }
    }
    out = std::move(more);
  }
  std::set<std::string> names;
  for (const SweptRun& run : out)
    if (!names.insert(run.name).second) user_error("--sweep: two runs would be called {}", run.name);
  return out;
}

}  // namespace temper
