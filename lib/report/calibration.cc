// The part of report.html about a reward model's held-out predictions. The figures' names: reward_figures.h.
#include <fmt/format.h>

#include <cmath>

#include "base/progress.h"
#include "base/statistics.h"
#include "report/parts.h"

namespace temper {
namespace {

// The bins of one evaluation with the Beta intervals of their shares.
Series bins_of(const MetricsRow& row, int colour) {
  Series out{.name = row.step == 0 ? "before training" : fmt::format("step {}", row.step)};
  out.points = true;
  out.colour = colour;
  for (int i = 0;; ++i) {
    const std::string bin = fmt::format("calibration/{}/", i);
    const auto x = row.find(bin + "predicted"), y = row.find(bin + "observed"), n = row.find(bin + "n");
    if (!x || !y || !n) return out;
    const Interval interval = beta_interval(*y * *n, *n - *y * *n);
    out.x.push_back(*x);
    out.y.push_back(*y);
    out.low.push_back(interval.low);
    out.high.push_back(interval.high);
  }
}

std::string table(const MetricsRow& row, const std::string& prefix, const std::string& title) {
  std::string rows;
  for (const auto& [key, share] : row.values) {
    if (key.rfind(prefix + "/", 0) != 0) continue;
    const std::string name = key.substr(prefix.size() + 1);
    const double n = row.find(prefix + "_n/" + name).value_or(0);
    const Interval interval = beta_interval(share * n, n - share * n);
    rows +=
        fmt::format("<tr><td>{}</td><td>{:.1f}%</td><td>{:.1f} to {:.1f}%</td><td>{}</td></tr>",
                    escape_html(name), 100 * share, 100 * interval.low, 100 * interval.high, format_value(n));
  }
  if (rows.empty()) return "";
  return fmt::format(
      "<div class=\"scroll\"><table><thead><tr><th>{}</th><th>right</th><th>95% interval</th><th>n</th>"
      "</tr></thead><tbody>{}</tbody></table></div>\n",
      title, rows);
}

}  // namespace

bool is_calibration_figure(const std::string& key) {
  for (const char* prefix :
       {"calibration/", "by_margin/", "by_margin_n/", "by_strength/", "by_strength_n/"}) {
    if (key.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

std::string report_calibration(const ReportRun& run) {
  if (run.eval.empty()) return "";
  const MetricsRow &first = run.eval.front(), &last = run.eval.back();
  Series now = bins_of(last, 1);
  if (now.x.empty()) return "";
  const double low = now.x.front() < 0.5 ? 0.0 : 0.5;  // of steps, or of comparisons
  Series perfect{.name = "perfect"};
  perfect.x = perfect.y = {low, 1.0};
  perfect.colour = 0;
  Chart chart{.title = "Calibration",
              .unit = "share that came true",
              .help =
                  "Predictions in bins: how often what was predicted with this probability came true, with "
                  "95% intervals.",
              .share = true,
              .wide = true};
  chart.series = {std::move(perfect), std::move(now)};
  if (first.step != last.step) chart.series.push_back(bins_of(first, 2));
  chart.x_low = low;
  chart.x_high = 1.0;
  chart.x_name = "predicted probability";
  chart.x_share = true;
  return "<h2>Held-out predictions</h2>\n<section class=\"charts\" aria-label=\"Calibration\">\n" +
         render_chart(chart) + "</section>\n" + table(last, "by_margin", "difference of scores") +
         table(last, "by_strength", "strength");
}

}  // namespace temper
