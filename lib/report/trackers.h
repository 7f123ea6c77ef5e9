// A run's metrics for other programs that show runs: Weights & Biases, MLflow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "run/metrics.h"

namespace temper {

// What a run folder holds for a tracker.
struct TrackedRun {
  std::string id;    // eight characters, the same for the same folder and config
  std::string name;  // the folder's
  Json config;
  double started = 0;  // seconds since 1970
  std::vector<MetricsRow> rows;
  bool done = false;  // final/ is there
};

// Reads config.json and metrics.jsonl. Throws UserError.
TrackedRun read_tracked_run(const std::string& run_folder);

// The numbers of a row by the names that trackers show: "<split>/<name>" and "<split>_time/<name>".
NamedValues tracked_values(const MetricsRow& row);

// Rows of one step are one step of W&B, whose steps only rise. Returns the folder that it makes in `to`:
// offline-run-DATE-ID, as the wandb package leaves one without a network and `wandb sync` sends it. Throws
// UserError when it is there.
std::string write_wandb_run(const TrackedRun& run, const std::string& project, const std::string& to);

// The bytes of its run-ID.wandb: LevelDB's log format (blocks of 32 KiB; crc32, length and kind before each
// piece) of Record protocol buffers (wandb 0.31: wandb_internal.proto).
std::string wandb_file(const TrackedRun& run, const std::string& project);

// Sends it to an MLflow server by its REST API (2.0): finds or makes the experiment, makes a run, logs
// parameters and metrics, ends the run. Returns the run's id. Throws UserError for what the server says.
std::string send_to_mlflow(const TrackedRun& run, const std::string& experiment, const std::string& url);

}  // namespace temper
