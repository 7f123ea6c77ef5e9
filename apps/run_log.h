// temper-convert log: a run's metrics for other programs that show runs.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/error.h"
#include "common.h"
#include "report/trackers.h"

namespace temper {

struct RunLog {
  std::string run, wandb, mlflow, project = "temper";
};

inline const CLI::App* add_run_log(CLI::App& app, RunLog& a) {
  CLI::App* log = app.add_subcommand("log", "a run's metrics for Weights & Biases or MLflow");
  log->add_option("RUN", a.run, "a run folder, of a run that goes on or is done")->required();
  log->add_option("--wandb", a.wandb, "writes an offline run into this folder, for \"wandb sync\"");
  log->add_option("--mlflow", a.mlflow, "sends it to this server, such as http://localhost:5000");
  log->add_option("--project", a.project, "W&B's project, MLflow's experiment [temper]");
  return log;
}

inline int convert_log(const RunLog& a) {
  if (a.wandb.empty() && a.mlflow.empty()) user_error("log: give --wandb FOLDER, --mlflow URL, or both");
  const TrackedRun run = read_tracked_run(a.run);
  if (!a.wandb.empty()) {
    const std::string folder = write_wandb_run(run, a.project, a.wandb);
    std::fprintf(stderr, "wrote %s\nsend it: wandb sync %s\n", folder.c_str(), folder.c_str());
  }
  if (!a.mlflow.empty()) {
    const std::string id = send_to_mlflow(run, a.project, a.mlflow);
    std::fprintf(stderr, "sent to %s: run %s\n", a.mlflow.c_str(), id.c_str());
  }
  return kExitDone;
}

}  // namespace temper
