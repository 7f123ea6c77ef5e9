// The whole config of a run: what runs of every task share, and one task. DESIGN 8.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "base/fields.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "reward/reward.h"
#include "run/health.h"
#include "train/sections.h"
#include "train/task.h"

namespace temper {

struct RunConfig : Fields {
  // tasks: those that "task" may name, as task_registry() of task/registry.h. Must outlive the config.
  explicit RunConfig(const Registry<Task>& tasks) : tasks(&tasks) {}

  const Registry<Task>* tasks;
  std::string task_name;
  std::unique_ptr<Task> task;  // its own sections stand among these
  int64_t seed = 1, threads = 0;
  std::string device = "cpu";
  ModelSection model;
  std::string adapter_kind = "full";
  std::unique_ptr<AdapterOptions> adapter;
  DataSection data;
  std::vector<RewardEntry> rewards;
  std::string combine = "sum";
  std::string optimizer_name = "adamw";
  std::unique_ptr<OptimizerOptions> optimizer;
  std::string schedule_name = "cosine";
  std::unique_ptr<ScheduleOptions> schedule;
  TrainSection train;
  EvalSection eval;
  CheckpointSection checkpoint;
  DistSection dist;
  HealthOptions health;
  int64_t samples_logged = 16;  // rows of samples.jsonl a step
  std::string run;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  int64_t updates() const { return task->updates(*this); }  // optimizer updates of the whole run
};

// The config of a file with its layers and --set overrides; threads, "auto" dtype and batch size resolved.
// Throws UserError with every problem.
// processes: of this run on this machine; threads 0 are the processors by them.
void load_run_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets,
                     int64_t processes = 1);
// The second half of it, of a config that was read. run: where the run's folder is left out. Throws
// UserError.
void resolve_run_config(RunConfig& config, const std::string& run, int64_t processes = 1);

// A resolved config that an earlier version wrote, with the fields that are new since at their defaults; as
// it is where it cannot be read.
Json completed_config(const Json& before, const Registry<Task>& tasks);

}  // namespace temper
