#include "report/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "report/parts.h"

namespace temper {
namespace {

struct Compared {
  std::string name;  // path below the folder that was asked for
  std::map<std::string, Json> config;
  std::vector<MetricsRow> train, eval;
  int64_t of = 0;
  bool finished = false;
};

// The fields of a config by their dotted paths.
void flatten_config(const Json& config, const std::string& at, std::map<std::string, Json>& out) {
  if (!config.is_object()) {
    out[at] = config;
    return;
  }
  for (const auto& [key, value] : config.items())
    flatten_config(value, at.empty() ? key : at + "." + key, out);
}

bool is_run(const fs::path& folder) {
  return fs::exists(folder / "config.json") && fs::exists(folder / MetricsLog::kMetricsFile);
}

void find_runs(const fs::path& folder, std::vector<fs::path>& out) {
  if (is_run(folder)) {
    out.push_back(folder);
    return;  // what is below belongs to it
  }
  std::vector<fs::path> below;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory()) below.push_back(entry.path());
  std::sort(below.begin(), below.end());
  for (const fs::path& path : below) find_runs(path, out);
}

std::vector<Compared> read_runs(const std::string& folder) {
  if (!fs::is_directory(folder)) user_error("{}: is not a folder; give one that holds runs", folder);
  std::vector<fs::path> paths;
  find_runs(folder, paths);
  if (paths.empty())
    user_error("{}: there is no run in it, which would be a folder with config.json and {}", folder,
               MetricsLog::kMetricsFile);
  std::vector<Compared> out;
  for (const fs::path& path : paths) {
    Compared& run = out.emplace_back();
    run.name = path == fs::path(folder) ? path.filename().string() : fs::relative(path, folder).string();
    const Json config = read_json_file((path / "config.json").string());
    flatten_config(config, "", run.config);
    if (const auto steps = run.config.find("train.steps"); steps != run.config.end()) run.of = steps->second;
    run.finished = fs::exists(path / "final");
    for (MetricsRow& row : read_metrics((path / MetricsLog::kMetricsFile).string()))
      (row.split == "eval" ? run.eval : run.train).push_back(std::move(row));
  }
  return out;
}

std::vector<std::string> differing_fields(const std::vector<Compared>& runs) {
  std::set<std::string> all;
  for (const Compared& run : runs)
    for (const auto& [field, value] : run.config) all.insert(field);
  std::vector<std::string> out;
  const auto value = [](const Compared& run, const std::string& field) {
    const auto it = run.config.find(field);
    return it == run.config.end() ? Json() : it->second;
  };
  for (const std::string& field : all) {
    const bool same = std::all_of(runs.begin(), runs.end(), [&](const Compared& run) {
      return value(run, field) == value(runs.front(), field);
    });
    if (!same) out.push_back(field);
  }
  return out;
}

// What the runs are compared by.
struct Figure {
  std::string key;
  bool held_out = false;
  const std::vector<MetricsRow>& rows(const Compared& run) const { return held_out ? run.eval : run.train; }
  std::string name() const { return (held_out ? "held-out " : "training ") + key; }
  // Larger is better; nothing: not measured.
  std::optional<double> score(double value) const {
    if (!std::isfinite(value)) return std::nullopt;
    return direction_of(key) < 0 ? -value : value;
  }
  // The best row; null: none.
  const MetricsRow* best(const Compared& run) const {
    const MetricsRow* out = nullptr;
    std::optional<double> most;
    for (const MetricsRow& row : rows(run)) {
      const auto s = score(row.find(key).value_or(std::nan("")));
      if (s && (!most || *s > *most)) most = s, out = &row;
    }
    return out;
  }
};

Figure figure_of(const std::vector<Compared>& runs) {
  for (const bool held_out : {true, false}) {
    for (const Compared& run : runs) {
      const std::string key = main_key(held_out ? run.eval : run.train);
      if (!key.empty()) return {key, held_out};
    }
  }
  return {"loss", false};
}

// Those with the better last figure first; what has none comes last.
void sort_by(const Figure& figure, std::vector<Compared>& runs) {
  const auto score = [&](const Compared& run) -> std::optional<double> {
    const auto& rows = figure.rows(run);
    return rows.empty() ? std::nullopt : figure.score(rows.back().find(figure.key).value_or(std::nan("")));
  };
  std::stable_sort(runs.begin(), runs.end(),
                   [&](const Compared& a, const Compared& b) { return score(a) > score(b); });
}

double seconds_of(const Compared& run) {
  double out = 0;
  for (const auto* rows : {&run.train, &run.eval})
    for (const MetricsRow& row : *rows) out += row.find("seconds").value_or(0);
  return out;
}

Json numbers_of(const std::vector<MetricsRow>& rows) {
  if (rows.empty()) return nullptr;
  Json out = {{"step", rows.back().step}};
  for (const auto& [name, value] : rows.back().values) out[name] = number_or_null(value);
  return out;
}

Json json_of(const Compared& run, const std::vector<std::string>& differing, const Figure& figure) {
  Json config = Json::object();
  for (const std::string& field : differing) {
    const auto it = run.config.find(field);
    config[field] = it == run.config.end() ? Json() : it->second;
  }
  Json best;
  if (const MetricsRow* row = figure.best(run))
    best = {{"step", row->step}, {"value", *row->find(figure.key)}};
  return {{"run", run.name},
          {"config", config},
          {"step", run.train.empty() ? 0 : run.train.back().step},
          {"of", run.of},
          {"finished", run.finished},
          {"seconds", seconds_of(run)},
          {"train", numbers_of(run.train)},
          {"eval", numbers_of(run.eval)},
          {"best", best}};
}

Chart chart_of(const std::vector<Compared>& runs, const std::string& key, bool held_out) {
  constexpr size_t kColours = 6;
  Chart chart{.title = (held_out ? "Held-out " : "Training ") + key, .wide = true};
  if (runs.size() > kColours) chart.help = fmt::format("Of the first {} of {} runs.", kColours, runs.size());
  for (size_t i = 0; i < std::min(kColours, runs.size()); ++i) {
    Series series = series_of(held_out ? runs[i].eval : runs[i].train, key);
    series.name = runs[i].name;
    series.colour = static_cast<int>(i);
    series.points = held_out;
    series.smooth = !held_out;
    chart.series.push_back(std::move(series));
  }
  return chart;
}

std::string table_of(const std::vector<Compared>& runs, const std::vector<std::string>& differing,
                     const Figure& figure) {
  std::string out = "<div class=\"scroll\"><table><thead><tr><th>run</th>";
  for (const std::string& field : differing) out += fmt::format("<th>{}</th>", escape_html(field));
  out +=
      fmt::format("<th>{}</th><th>best</th><th>at step</th><th>steps</th><th>time</th></tr></thead><tbody>",
                  escape_html(figure.name()));
  for (const Compared& run : runs) {
    out += fmt::format("<tr><td>{}{}</td>", escape_html(run.name), run.finished ? "" : " (not finished)");
    for (const std::string& field : differing) {
      const auto it = run.config.find(field);
      const Json value = it == run.config.end() ? Json() : it->second;
      out += fmt::format("<td>{}</td>",
                         escape_html(value.is_string() ? value.get<std::string>() : dump_line(value)));
    }
    const auto& rows = figure.rows(run);
    const auto last = rows.empty() ? std::nullopt : rows.back().find(figure.key);
    const MetricsRow* best = figure.best(run);
    out += fmt::format("<td>{}</td><td>{}</td><td>{}</td><td>{} of {}</td><td>{}</td></tr>",
                       last ? format_value(*last) : "", best ? format_value(*best->find(figure.key)) : "",
                       best ? std::to_string(best->step) : "", run.train.empty() ? 0 : run.train.back().step,
                       run.of, format_duration(seconds_of(run)));
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

Json compare_runs(const std::string& folder) {
  std::vector<Compared> runs = read_runs(folder);
  const std::vector<std::string> differing = differing_fields(runs);
  const Figure figure = figure_of(runs);
  sort_by(figure, runs);
  Json out = {{"figure", figure.name()}, {"differing", differing}, {"runs", Json::array()}};
  for (const Compared& run : runs) out["runs"].push_back(json_of(run, differing, figure));
  return out;
}

std::string runs_html(const std::string& folder) {
  std::vector<Compared> runs = read_runs(folder);
  const std::vector<std::string> differing = differing_fields(runs);
  const Figure figure = figure_of(runs);
  sort_by(figure, runs);
  const std::string title = fs::absolute(folder).lexically_normal().filename().string();
  std::string charts = render_chart(chart_of(runs, figure.key, figure.held_out));
  std::set<std::string> keys;
  for (const Compared& run : runs) keys.insert(main_key(run.train));
  for (const std::string& key : keys)
    if (!key.empty() && (figure.held_out || key != figure.key))
      charts += render_chart(chart_of(runs, key, false));
  return page_start(title) +
         fmt::format("<header><div class=\"over\">Temper · runs</div><h1>{}</h1></header>\n<main>\n",
                     escape_html(title)) +
         "<section class=\"charts\" aria-label=\"Curves\">\n" + charts + "</section>\n" +
         table_of(runs, differing, figure) +
         "</main>\n<footer>Written by Temper from the runs' metrics.jsonl.</footer>\n</body>\n</html>\n";
}

}  // namespace temper
