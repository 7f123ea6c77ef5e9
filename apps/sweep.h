// Many runs of one config: every combination of some fields' values.
#pragma once

#include <ATen/Parallel.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "report/runs.h"
#include "task/registry.h"
#include "train/config_paths.h"
#include "train/run.h"

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

struct SweepOptions {
  std::string config_file, run, resume;
  std::vector<std::string> sets, sweep;
  bool accept_changed_data = false;
};

// Every combination one after the other, each a run of its own in a folder below the sweep's. What has ended
// is passed over quickly, so a sweep that was stopped is continued by the same command.
inline void train_sweep(const SweepOptions& options, const StopSignal& stop, Console& console) {
  std::vector<SweptField> fields;
  for (const std::string& text : options.sweep) fields.push_back(swept_field(text));
  const std::vector<SweptRun> runs = swept_runs(fields);
  std::vector<std::unique_ptr<RunConfig>> configs;  // all are read before the first begins
  std::string folder;
  for (const SweptRun& run : runs) {
    std::vector<std::string> sets = options.sets;
    sets.insert(sets.end(), run.sets.begin(), run.sets.end());
    configs.push_back(std::make_unique<RunConfig>(task_registry()));
    load_startable_config(*configs.back(), options.config_file, sets, 1);
    folder = options.run.empty() ? configs.back()->run : options.run;
    configs.back()->run = folder + "/" + run.name;
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    console.line(fmt::format("run {} of {}: {}", i + 1, runs.size(), runs[i].name));
    at::set_num_threads(static_cast<int>(configs[i]->threads));
    run_training(*configs[i], {options.resume, &stop, &console, options.accept_changed_data});
    write_file_atomic(folder + "/runs.html", runs_html(folder));
  }
  const Json all = compare_runs(folder);
  for (const Json& run : all["runs"]) {
    const Json& figures = run["eval"].is_null() ? run["train"] : run["eval"];
    const std::string figure = all["figure"].get<std::string>(), key = figure.substr(figure.find(' ') + 1);
    console.line(fmt::format("{}  {} {}", run["run"].get<std::string>(), figure,
                             figures.contains(key) ? dump_line(figures[key]) : "not measured"));
  }
  console.line("done: " + folder + "/runs.html");
}

}  // namespace temper
