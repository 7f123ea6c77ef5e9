// Where a run's time went, of the phases that its rows tell.
#include <fmt/format.h>

#include "base/progress.h"
#include "report/parts.h"
#include "run/phases.h"

namespace temper {

std::string report_times(const ReportRun& run) {
  std::vector<MetricsRow> rows = run.train;
  rows.insert(rows.end(), run.eval.begin(), run.eval.end());
  std::vector<Share> shares;
  for (const auto& [phase, seconds] : phase_seconds(rows))
    shares.push_back({phase_name(phase), seconds,
                      seconds < 10 ? fmt::format("{:.2g}s", seconds) : format_duration(seconds)});
  const std::string bar = render_shares(
      "Where the time went",
      "Seconds of the host. Scores, checkpoints: what the steps waited for. Evaluation: with all that it "
      "decodes and computes. What came after the last row, such as the last checkpoint, is not in it.",
      shares);
  if (bar.empty()) return "";
  return "<h2>Time</h2>\n<section class=\"charts\" aria-label=\"Time\">\n" + bar + "</section>\n";
}

}  // namespace temper
