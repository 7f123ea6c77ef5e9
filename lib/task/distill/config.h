// The sections of a config that distillation has.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "objective/distill/distill.h"
#include "train/task.h"

namespace temper {

// One answer to each prompt.
struct OneAnswer : RolloutSection {
  void fields(FieldVisitor& v) override;
};

struct TeacherEntry : Fields {
  std::string path;
  std::string dtype = "auto";  // auto: the student's compute dtype
  void fields(FieldVisitor& v) override;
};

struct DistillTask : Task {
  std::vector<TeacherEntry> teachers;
  std::string cache;             // a file of temper-generate --teacher-cache
  double on_policy_share = 0.0;  // lambda of GKD
  OneAnswer rollout;
  std::string algorithm_name = "gjsd";
  std::unique_ptr<objective::DistillOptions> algorithm;

  void fields(FieldVisitor& v) override;
  bool learns_completions() const override { return true; }
  const RolloutSection& sampling() const override { return rollout; }
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override;
  void resolve(RunConfig& config) override;
  TaskMemory memory(const RunConfig& config, const PlanShapes& shapes) const override;
  std::string method() const override;
  void train(Session& session) const override;  // distill.cc
};

}  // namespace temper
