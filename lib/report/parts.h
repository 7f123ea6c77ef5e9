// What the parts of report.html share.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "report/report.h"
#include "report/svg.h"
#include "run/metrics.h"

namespace temper {

// Everything the page is made of.
struct ReportRun {
  std::string name;
  Json config;  // null when there is none
  std::vector<MetricsRow> train, eval;
  std::vector<SampleRow> before, after;  // of the first and the last evaluation
  ReportStatus status;
};

// The values that rows have under a name, over their steps.
Series series_of(const std::vector<MetricsRow>& rows, const std::string& key);

// The number that the task is about: accuracy, reward or loss, else the first there is; "" without rows.
std::string main_key(const std::vector<MetricsRow>& rows);

// 1: more of it is better, -1: less is, 0: neither.
int direction_of(const std::string& key);

// A page up to its body, in which nothing may run or load anything: samples are hostile text.
std::string page_start(const std::string& title);

// The section of the curves.
std::string report_curves(const ReportRun& run);

// The section of where the time went; "" for runs that do not say.
std::string report_times(const ReportRun& run);

// Of a reward model: calibration and accuracy by margin; "" without such figures.
std::string report_calibration(const ReportRun& run);
// Whether a figure of an evaluation belongs there and not among the others.
bool is_calibration_figure(const std::string& key);

// Of a run in rounds: a table of its phases; "" for others.
std::string report_rounds(const std::string& run_folder);

extern const char* const kReportStyle;  // CSS

}  // namespace temper
