#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "report/parts.h"

namespace temper {
namespace {

constexpr size_t kMaxSamples = 12;
constexpr size_t kMaxSampleBytes = 20000;

// The value at a dotted path as text, or "".
std::string config_text(const Json& config, const std::string& path) {
  const Json* at = &config;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    if (!at->is_object()) return "";
    const auto found = at->find(path.substr(begin, end - begin));
    if (found == at->end()) return "";
    at = &*found;
    begin = end + 1;
  }
  return at->is_string() ? at->get<std::string>() : at->is_primitive() && !at->is_null() ? at->dump() : "";
}

bool is_share(const std::string& key) {
  return key == "accuracy" || key == "truncated";
}

std::string shown_value(const std::string& key, double value) {
  if (is_share(key)) return fmt::format("{:.1f}%", 100 * value);
  return std::abs(value) < 1000 ? fmt::format("{:.3g}", value) : format_value(value);
}

// ---- headline --------------------------------------------------------------------------------------------

std::string header(const ReportRun& run) {
  const Json& config = run.config;
  std::string over = "Temper";
  for (const char* path : {"task", "algorithm.name"}) {
    if (const std::string text = config_text(config, path); !text.empty()) over += " · " + text;
  }
  std::string out = fmt::format(
      "<header><div class=\"over\">{}</div><h1>{} <span class=\"pill {}\">{}</span></h1>", escape_html(over),
      escape_html(run.name), escape_html(run.status.state), escape_html(run.status.state));
  if (!run.status.note.empty()) out += fmt::format("<p>{}</p>", escape_html(run.status.note));
  const int64_t step = run.train.empty() ? 0 : run.train.back().step;
  const std::string total = config_text(config, "train.steps");
  double seconds = 0;
  for (const auto* rows : {&run.train, &run.eval}) {
    for (const MetricsRow& row : *rows) {
      if (const double s = row.find("seconds").value_or(0); std::isfinite(s)) seconds += s;
    }
  }
  const double tokens = run.train.empty() ? 0 : run.train.back().find("tokens").value_or(0);
  const int64_t all = total.empty() ? 0 : std::strtoll(total.c_str(), nullptr, 10);
  std::vector<std::pair<std::string, std::string>> facts = {
      {"Steps", format_count(step) + (all > 0 ? " of " + format_count(all) : "")}};
  if (seconds > 0) facts.emplace_back("Time", format_duration(seconds));
  if (tokens > 0) facts.emplace_back("Tokens", format_count(std::llround(std::min(tokens, 9e15))));
  for (const auto& [name, path] : {std::pair{"Model", "model.path"},
                                   {"Adapter", "adapter.kind"},
                                   {"Rank", "adapter.rank"},
                                   {"Optimizer", "optimizer.name"},
                                   {"Learning rate", "optimizer.lr"},
                                   {"Seed", "seed"},
                                   {"Device", "device"}}) {
    if (const std::string text = config_text(config, path); !text.empty()) facts.emplace_back(name, text);
  }
  out += "<dl class=\"facts\">";
  for (const auto& [name, text] : facts) {
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name, escape_html(text));
  }
  out += "</dl>";
  if (run.status.state == "running" && all > 0) {
    out += fmt::format("<progress max=\"{}\" value=\"{}\" aria-label=\"steps done\"></progress>", all,
                       std::min(step, all));
  }
  return out + "</header>\n";
}

std::string interval_of(const std::string& key, const MetricsRow& row) {
  const auto low = row.find("low"), high = row.find("high");
  if (!low || !high) return "";
  return fmt::format("{} to {}", shown_value(key, *low), shown_value(key, *high));
}

// was: NaN when there is nothing to compare with.
// was: NaN when there is nothing to compare with.
std::string tile(const std::string& title, const std::string& key, double was, double now,
                 const std::vector<std::string>& notes) {
  std::string out = fmt::format("<div class=\"tile\"><h3>{}</h3><div class=\"now\">", escape_html(title));
  if (std::isfinite(was)) out += fmt::format("<span class=\"was\">{} → </span>", shown_value(key, was));
  out += shown_value(key, now) + "</div>";
  if (std::isfinite(was) && std::isfinite(now) && was != now) {
    const double gain = direction_of(key) * (now - was);
    const double change = std::abs(now - was);
    out += fmt::format("<p class=\"{}\">{}{}</p>",
                       gain > 0   ? "up"
                       : gain < 0 ? "down"
                                  : "",
                       now > was ? "+" : "−",
                       is_share(key) ? fmt::format("{:.1f} points", 100 * change) : shown_value(key, change));
  }
  for (const std::string& note : notes) out += fmt::format("<p>{}</p>", escape_html(note));
  return out + "</div>";
}

// The mean of the first and of the last tenth of the steps, between 1 and 10 of them.
std::pair<double, double> ends(const Series& series) {
  std::vector<double> y;
  for (double value : series.y) {
    if (std::isfinite(value)) y.push_back(value);
  }
  if (y.empty()) return {kNan, kNan};
  const size_t n = std::clamp<size_t>(y.size() / 10, 1, 10);
  double first = 0, last = 0;
  for (size_t i = 0; i < n; ++i) {
    first += y[i] / static_cast<double>(n);
    last += y[y.size() - 1 - i] / static_cast<double>(n);
  }
  return {first, last};
}

std::string headline(const ReportRun& run) {
  std::string tiles;
  if (!run.eval.empty()) {
    const MetricsRow &first = run.eval.front(), &last = run.eval.back();
    const std::string key = main_key(run.eval);
    const bool several = first.step != last.step;
    const auto was = [&](const std::string& name) {
      return several ? first.find(name).value_or(kNan) : kNan;
    };
    std::vector<std::string> notes = {several ? fmt::format("step {} → step {}", first.step, last.step)
                                              : fmt::format("step {}", last.step)};
    if (const auto n = last.find("n")) notes.back() += fmt::format(", n = {}", format_value(*n));
    if (const std::string now = interval_of(key, last); !now.empty()) {
      const std::string before = several ? interval_of(key, first) : "";
      notes.push_back(fmt::format("95% interval {}{}{}", before, before.empty() ? "" : " → ", now));
    }
    tiles += tile("Held-out " + key, key, was(key), last.find(key).value_or(kNan), notes);
    int others = 0;
    for (const auto& [name, value] : last.values) {
      if (name == key || name == "low" || name == "high" || name == "n" || is_calibration_figure(name) ||
          ++others > 2)
        continue;
      tiles += tile("Held-out " + name, name, was(name), value, {});
    }
  }
  const std::string key = main_key(run.train);
  const auto [was, now] = ends(series_of(run.train, key));
  if (run.train.size() > 1 && std::isfinite(now)) {
    tiles += tile("Training " + key, key, was, now, {"means over the first and the last steps"});
  }
  if (tiles.empty()) return "<p>Nothing has been measured yet.</p>\n";
  return "<section class=\"tiles\" aria-label=\"Results\">" + tiles + "</section>\n";
}

// ---- samples ---------------------------------------------------------------------------------------------

std::string pre(const std::string& text, const std::string& label) {
  const bool cut = text.size() > kMaxSampleBytes;
  return fmt::format(
      "<pre dir=\"auto\" tabindex=\"0\" aria-label=\"{}\">{}{}</pre>", label,
      escape_html(std::string_view(text).substr(0, kMaxSampleBytes)),
      cut ? fmt::format("\n[... {} more bytes in samples.jsonl]", text.size() - kMaxSampleBytes) : "");
}

// Turn by turn, what each side wrote.
std::string conversation(const Json& messages, const std::string& when) {
  std::string out;
  for (const Json& message : messages) {
    const std::string role = message.value("role", ""), who = role == "assistant" ? "policy" : role;
    const Json content = message.value("content", Json(""));
    out += fmt::format(
        "<div class=\"turn {}\"><b>{}</b>{}</div>", role == "assistant" ? "policy" : "other",
        escape_html(who),
        pre(content.is_string() ? content.get<std::string>() : dump_line(content), when + ", " + who));
  }
  return out;
}

// Rewards are coloured by where they lie between the lowest and the highest on the page.
std::string side(const SampleRow* row, const std::string& when, double low, double high) {
  std::string out = fmt::format("<div class=\"side\"><header><b>{}</b>", when);
  if (row == nullptr) return out + "</header><p>not sampled</p></div>";
  if (row->reward && std::isfinite(*row->reward)) {
    const double share = high > low ? (*row->reward - low) / (high - low) : 0.5;
    out += fmt::format("<span class=\"badge {}\">reward {}</span>",
                       share > 2.0 / 3   ? "good"
                       : share < 1.0 / 3 ? "bad"
                                         : "mid",
                       format_value(*row->reward));
  }
  if (row->rewards.size() > 1) {
    for (const auto& [name, value] : row->rewards) {
      out += fmt::format("<span>{} {}</span>", escape_html(name), value ? format_value(*value) : "–");
    }
  }
  out += fmt::format("<span>{} tokens</span>", format_count(row->tokens));
  if (row->finish == "length") out += "<span class=\"badge bad\">cut off</span>";
  out += "</header>";
  if (!row->messages.is_array()) return out + pre(row->completion, when + " answer") + "</div>";
  return out + conversation(row->messages, when) + "</div>";
}

std::string samples(const ReportRun& run) {
  if (run.after.empty()) return "";
  double low = kNan, high = kNan;
  for (const auto* rows : {&run.before, &run.after}) {
    for (const SampleRow& row : *rows) {
      if (row.reward) low = std::fmin(low, *row.reward), high = std::fmax(high, *row.reward);
    }
  }
  // The n-th sample of a prompt before stands beside the n-th after.
  std::map<std::string, std::vector<const SampleRow*>> earlier;
  for (const SampleRow& row : run.before) earlier[row.prompt].push_back(&row);
  std::map<std::string, size_t> used;
  std::string out;
  size_t shown = 0;
  for (const SampleRow& row : run.after) {
    if (++shown > kMaxSamples) break;
    const auto& same = earlier[row.prompt];
    const size_t n = used[row.prompt]++;
    out += "<article class=\"sample\">" + pre(row.prompt, "prompt") + "<div class=\"sides\">";
    if (!run.before.empty()) {
      out += side(n < same.size() ? same[n] : nullptr, fmt::format("Step {}", run.before.front().step), low,
                  high);
    }
    out += side(&row, fmt::format("Step {}", row.step), low, high) + "</div></article>\n";
  }
  const std::string title = run.after.front().split == "eval" ? "Held-out samples" : "Training samples";
  return fmt::format("<h2>{}{}</h2>\n<section>\n{}</section>\n", title,
                     run.before.empty() ? "" : ", before and after", out);
}

// ---- the rest --------------------------------------------------------------------------------------------

std::string evaluations(const ReportRun& run) {
  if (run.eval.empty()) return "";
  std::vector<std::string> keys;
  for (const MetricsRow& row : run.eval) {
    for (const auto& [key, value] : row.values) {
      if (!is_calibration_figure(key) && std::find(keys.begin(), keys.end(), key) == keys.end())
        keys.push_back(key);
    }
  }
  std::string out =
      "<details><summary>Evaluations</summary><div class=\"scroll\"><table><thead><tr><th>step</th>";
  for (const std::string& key : keys) out += fmt::format("<th>{}</th>", escape_html(key));
  out += "</tr></thead><tbody>";
  for (const MetricsRow& row : run.eval) {
    out += fmt::format("<tr><td>{}</td>", row.step);
    for (const std::string& key : keys) {
      const auto value = row.find(key);
      out += fmt::format("<td>{}</td>", value ? format_value(*value) : "");
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div></details>\n";
}

// The samples of the first and the last step that has some; `before` stays empty when there is only one.
void pick_samples(ReportRun& run, const std::string& path) {
  std::vector<SampleRow> rows = read_samples(path, "eval");
  if (rows.empty()) rows = read_samples(path);
  for (const SampleRow& row : rows) {
    if (row.step == rows.back().step)
      run.after.push_back(row);
    else if (row.step == rows.front().step)
      run.before.push_back(row);
  }
}

}  // namespace

int direction_of(const std::string& key) {
  if (key == "loss" || key == "perplexity" || key == "truncated") return -1;
  return key == "accuracy" || key.rfind("reward", 0) == 0 ? 1 : 0;
}

std::string page_start(const std::string& title) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'\">\n" +
         fmt::format("<title>{} – Temper</title>\n<style>{}</style>\n</head>\n<body>\n", escape_html(title),
                     kReportStyle);
}

std::string report_html(const std::string& run_folder, const ReportStatus& status) {
  const fs::path folder(run_folder);
  ReportRun run{.name = fs::absolute(folder).lexically_normal().filename().string(), .status = status};
  if (run.name.empty()) run.name = fs::absolute(folder).lexically_normal().parent_path().filename().string();
  if (fs::exists(folder / "config.json")) run.config = read_json_file((folder / "config.json").string());
  for (MetricsRow& row : read_metrics((folder / MetricsLog::kMetricsFile).string())) {
    (row.split == "eval" ? run.eval : run.train).push_back(std::move(row));
  }
  pick_samples(run, (folder / MetricsLog::kSamplesFile).string());

  std::string out = page_start(run.name) + header(run) + "<main>\n" + headline(run) + report_curves(run) +
                    report_times(run) + report_calibration(run) + report_rounds(run_folder) + samples(run) +
                    evaluations(run);
  if (!run.config.is_null()) {
    out += fmt::format("<details><summary>Configuration</summary><pre>{}</pre></details>\n",
                       escape_html(run.config.dump(2, ' ', false, Json::error_handler_t::replace)));
  }
  return out +
         "</main>\n<footer>Written by Temper from the run folder's metrics.jsonl and "
         "samples.jsonl.</footer>\n</body>\n</html>\n";
}

void write_report(const std::string& run_folder, const ReportStatus& status) {
  write_file_atomic((fs::path(run_folder) / "report.html").string(), report_html(run_folder, status));
}

}  // namespace temper
