#include "run/metrics.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "run/tensorboard.h"

namespace temper {
namespace {

constexpr const char* kReserved[] = {"step", "split", "nonfinite", "time"};

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Counts are written without a point; -0.0 and everything else as the shortest text that reads back the same.
Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  const bool integral = value == std::trunc(value) && std::abs(value) < 9007199254740992.0;
  if (integral && !(value == 0 && std::signbit(value))) return static_cast<int64_t>(value);
  return value;
}

Json number(const std::optional<double>& value) {
  return value ? number(*value) : Json(nullptr);
}

double as_double(const Json& json, const std::string& key, const std::string& where) {
  if (json.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!json.is_number())
    user_error("{}: \"{}\": expected a number or null, found {}", where, key, json.type_name());
  return json.get<double>();
}

NamedValues as_values(const Json& json, const std::string& where) {
  if (!json.is_object()) user_error("{}: \"time\": expected an object, found {}", where, json.type_name());
  NamedValues out;
  for (const auto& [key, value] : json.items()) out.emplace_back(key, as_double(value, key, where));
  return out;
}

int64_t as_integer(const Json& json, const std::string& key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer())
    user_error("{}: expected a whole number as \"{}\"", where, key);
  return found->get<int64_t>();
}

std::string as_text(const Json& json, const std::string& key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) user_error("{}: expected a string as \"{}\"", where, key);
  return found->get<std::string>();
}

std::optional<double> as_optional(const Json& json, const std::string& key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return std::nullopt;
  return as_double(*found, key, where);
}

Json sample_json(int64_t step, const std::string& split, const SampleRow& row) {
  Json rewards = Json::object();
  for (const auto& [name, value] : row.rewards) rewards[name] = number(value);
  Json out = {{"step", step}, {"split", split}, {"prompt", row.prompt}, {"completion", row.completion}};
  out["rewards"] = std::move(rewards);
  for (const auto& [name, value] : row.transformed) out["reward_transformed"][name] = number(value);
  for (const auto& [name, text] : row.reward_texts) out["reward_texts"][name] = text;
  for (const auto& [name, outcome] : row.reward_outcomes) out["reward_outcomes"][name] = outcome;
  out["reward"] = number(row.reward);
  if (row.advantage) out["advantage"] = number(row.advantage);
  out["finish"] = row.finish;
  out["tokens"] = row.tokens;
  if (row.logp_mean) out["logp_mean"] = number(row.logp_mean);
  if (row.logp_min) out["logp_min"] = number(row.logp_min);
  if (!row.messages.is_null()) out["messages"] = row.messages;
  return out;
}

// Calls on_line(json, where) for each line that `wanted` lets through. A process that was killed can leave
// the last line torn: it is passed over when it has no line end or does not parse.
void read_lines(const std::string& path, const std::function<bool(const std::string&)>& wanted,
                const std::function<void(const Json&, const std::string&)>& on_line) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (fs::exists(path)) user_error("{}: cannot open", path);
    return;
  }
  std::string line, next;
  bool more = static_cast<bool>(std::getline(file, line));
  for (int64_t count = 1; more; ++count) {
    const bool torn = file.eof();
    more = static_cast<bool>(std::getline(file, next));
    if (torn) return;
    const std::string where = fmt::format("{}:{}", path, count);
    if (wanted(line)) {
      Json json;
      try {
        json = parse_json(line, where);
      } catch (const UserError&) {
        if (!more) return;
        throw;
      }
      if (!json.is_object()) user_error("{}: expected an object, found {}", where, json.type_name());
      on_line(json, where);
    }
    std::swap(line, next);
  }
  if (file.bad()) user_error("{}: cannot read", path);
}

// The bytes of the whole lines at the start of a file that are of steps up to `step`.
uint64_t rows_until(const std::string& path, int64_t step) {
  const std::string text = read_file(path);
  uint64_t kept = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', kept)) {
    const Json row = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(kept),
                                 text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer() || row["step"] > step)
      break;
    kept = end + 1;
  }
  return kept;
}

}  // namespace

std::optional<double> MetricsRow::find(const std::string& name) const {
  for (const NamedValues* list : {&values, &time}) {
    for (const auto& [key, value] : *list) {
      if (key == name) return value;
    }
  }
  return std::nullopt;
}

void SampleRow::add_words(const std::string& part, const std::string& text, const std::string& outcome) {
  if (!text.empty()) reward_texts.emplace_back(part, text);
  if (!outcome.empty()) reward_outcomes.emplace_back(part, outcome);
}

Json to_json(const MetricsRow& row) {
  Json out = {{"step", row.step}, {"split", row.split}};
  Json nonfinite = Json::array();
  for (const auto& [name, value] : row.values) {
    const bool reserved = std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
    if (reserved || out.contains(name))
      bug("metrics of step {}: \"{}\" stands twice or is reserved", row.step, name);
    out[name] = number(value);
    if (!std::isfinite(value)) nonfinite.push_back(name);
  }
  if (!nonfinite.empty()) out["nonfinite"] = std::move(nonfinite);
  Json time = Json::object();
  for (const auto& [name, value] : row.time) {
    if (time.contains(name)) bug("metrics of step {}: the time \"{}\" stands twice", row.step, name);
    time[name] = number(value);
  }
  if (!time.empty()) out["time"] = std::move(time);
  return out;
}

Json LogPosition::to_json() const {
  return {{"metrics_bytes", metrics_bytes}, {"samples_bytes", samples_bytes}, {"events_bytes", events_bytes}};
}

LogPosition LogPosition::from_json(const Json& json, const std::string& where) {
  if (!json.is_object()) user_error("{}: expected an object, found {}", where, json.type_name());
  LogPosition out;
  for (auto [key, value] : {std::pair{"metrics_bytes", &out.metrics_bytes},
                            {"samples_bytes", &out.samples_bytes},
                            {"events_bytes", &out.events_bytes}}) {
    const int64_t bytes = as_integer(json, key, where);
    if (bytes < 0) user_error("{}: \"{}\": expected a size, found {}", where, key, bytes);
    *value = static_cast<uint64_t>(bytes);
  }
  return out;
}

struct MetricsLog::Files {
  explicit Files(const fs::path& folder)
      : metrics((folder / kMetricsFile).string()),
        samples((folder / kSamplesFile).string()),
        events((folder / kEventsFile).string()) {}
  LineWriter metrics, samples;
  EventWriter events;
};

MetricsLog::MetricsLog() = default;

MetricsLog::MetricsLog(const std::string& run_folder, const LogPosition& from, int64_t samples_per_step,
                       int64_t step)
    : files_(std::make_unique<Files>(run_folder)), samples_per_step_(samples_per_step) {
  const auto file = [&](const char* name) { return (fs::path(run_folder) / name).string(); };
  const auto say = [&](const char* name, const char* what) {
    log_warning("{}: shorter than it was when the checkpoint was written: {}", file(name), what);
  };
  for (auto [name, lines, bytes] : {std::tuple{kMetricsFile, &files_->metrics, from.metrics_bytes},
                                    {kSamplesFile, &files_->samples, from.samples_bytes}}) {
    if (lines->bytes() < bytes) {
      say(name, "earlier rows are missing from now on");
      bytes = rows_until(file(name), step);
    }
    lines->truncate_to(bytes);
  }
  EventWriter& events = files_->events;
  if (events.bytes() < from.events_bytes) say(kEventsFile, "begun anew");
  events.truncate_to(events.bytes() < from.events_bytes ? 0 : from.events_bytes);
}

MetricsLog::~MetricsLog() = default;

void MetricsLog::write(const MetricsRow& row) {
  if (files_ == nullptr) return;
  files_->metrics.write(dump_line(to_json(row)));
  NamedValues scalars;
  for (const auto& [name, value] : row.values) scalars.emplace_back(row.split + "/" + name, value);
  for (const auto& [name, value] : row.time) scalars.emplace_back(row.split + "_time/" + name, value);
  files_->events.scalars(row.step, scalars, wall_time());
}

void MetricsLog::write_samples(int64_t step, const std::string& split,
                               const std::vector<SampleRow>& samples) {
  if (files_ == nullptr) return;
  const size_t count = std::min(samples.size(), static_cast<size_t>(std::max<int64_t>(samples_per_step_, 0)));
  for (size_t i = 0; i < count; ++i) files_->samples.write(dump_line(sample_json(step, split, samples[i])));
}

void MetricsLog::write_text(int64_t step, const std::string& tag, const std::string& text) {
  if (files_ != nullptr) files_->events.text(step, tag, text, wall_time());
}

LogPosition MetricsLog::sync() {
  if (files_ == nullptr) return {};
  files_->metrics.sync();
  files_->samples.sync();
  files_->events.sync();
  return {.metrics_bytes = files_->metrics.bytes(),
          .samples_bytes = files_->samples.bytes(),
          .events_bytes = files_->events.bytes()};
}

std::vector<MetricsRow> read_metrics(const std::string& path) {
  std::vector<MetricsRow> rows;
  const auto all = [](const std::string&) { return true; };
  read_lines(path, all, [&](const Json& json, const std::string& where) {
    MetricsRow row{.step = as_integer(json, "step", where), .split = as_text(json, "split", where)};
    for (const auto& [key, value] : json.items()) {
      if (key == "time") {
        row.time = as_values(value, where);
      } else if (std::find(std::begin(kReserved), std::end(kReserved), key) == std::end(kReserved)) {
        row.values.emplace_back(key, as_double(value, key, where));
      }
    }
    rows.push_back(std::move(row));
  });
  return rows;
}

std::vector<SampleRow> read_samples(const std::string& path, const std::string& split) {
  std::vector<SampleRow> rows;
  // Most lines of a long run are training samples; the split stands at the start of a line, so they need no
  // parsing.
  const std::string mark = R"("split":)" + Json(split).dump();
  const auto wanted = [&](const std::string& line) {
    return split.empty() || line.substr(0, 40 + mark.size()).find(mark) != std::string::npos;
  };
  read_lines(path, wanted, [&](const Json& json, const std::string& where) {
    SampleRow row{.prompt = as_text(json, "prompt", where), .completion = as_text(json, "completion", where)};
    row.step = as_integer(json, "step", where);
    row.split = as_text(json, "split", where);
    const auto rewards = json.find("rewards");
    if (rewards == json.end() || !rewards->is_object())
      user_error("{}: expected an object as \"rewards\"", where);
    for (const auto& [name, value] : rewards->items())
      row.rewards.emplace_back(name, as_optional(*rewards, name, where));
    if (const auto transformed = json.find("reward_transformed"); transformed != json.end()) {
      if (!transformed->is_object()) user_error("{}: expected an object as \"reward_transformed\"", where);
      for (const auto& [name, value] : transformed->items())
        row.transformed.emplace_back(name, as_optional(*transformed, name, where));
    }
    for (auto [key, list] :
         {std::pair{"reward_texts", &row.reward_texts}, {"reward_outcomes", &row.reward_outcomes}}) {
      const auto words = json.find(key);
      if (words == json.end()) continue;
      if (!words->is_object()) user_error("{}: expected an object as \"{}\"", where, key);
      for (const auto& [name, value] : words->items()) list->emplace_back(name, as_text(*words, name, where));
    }
    row.reward = as_optional(json, "reward", where);
    row.advantage = as_optional(json, "advantage", where);
    row.finish = as_text(json, "finish", where);
    row.tokens = as_integer(json, "tokens", where);
    row.messages = json.value("messages", Json());
    row.logp_mean = as_optional(json, "logp_mean", where);
    row.logp_min = as_optional(json, "logp_min", where);
    rows.push_back(std::move(row));
  });
  return rows;
}

}  // namespace temper
