// The sections of a config of rounds: phases that make data, choose from it, train on it and evaluate, again
// and again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/environment.h"
#include "task/rounds/phase.h"
#include "train/task.h"

namespace temper {

struct RoundsTask : Task {
  int64_t rounds = 3;
  int64_t keep_models = 0;
  int64_t max_batch = 64;
  std::vector<PhaseEntry> phases;
  std::string environment_kind;
  std::unique_ptr<EnvironmentOptions> environment_options;

  void fields(FieldVisitor& v) override;
  bool one_training() const override { return false; }
  bool needs_train_data() const override { return false; }
  std::string rewards_help() const override { return "what phases score completions by"; }
  const EnvironmentOptions* environment() const override { return environment_options.get(); }
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override;
  void resolve(RunConfig& config) override;
  Json plan(const RunConfig& config, int64_t ranks) const override;
  std::vector<NamedPath> further_paths(const RunConfig& config) const override;
  void run(const RunConfig& config, const RunOptions& options) const override;  // rounds.cc

  // The nearest phase before `index` that leaves lines; none: there is none.
  std::optional<size_t> lines_before(size_t index) const;
  // A problem unless each name is that of a phase which leaves lines. field: "phases.2.from".
  void check_names(const std::vector<std::string>& names, const std::string& field,
                   std::vector<std::string>& problems) const;
};

}  // namespace temper
