// report.html of a run folder: one file, inline SVG, no script, opens offline.
#pragma once

#include <string>

namespace temper {

struct ReportStatus {
  std::string state = "running";  // "running", "finished", "stopped", "failed"
  std::string note = {};          // one line, e.g. why it stopped
};

// Reads config.json, metrics.jsonl and samples.jsonl of the folder (each may be missing) and writes
// report.html atomically. The same files give the same bytes. Throws UserError when a file is broken or the
// disk is full.
void write_report(const std::string& run_folder, const ReportStatus& status = {});

// The page itself.
std::string report_html(const std::string& run_folder, const ReportStatus& status = {});

}  // namespace temper
