// What a distillation's config has beyond the other tasks'.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "objective/distill/distill.h"
#include "rollout/sampler.h"

namespace temper {

struct TeacherEntry : Fields {
  std::string path;
  std::string dtype = "auto";  // auto: the student's compute dtype
  void fields(FieldVisitor& v) override;
};

// Its fields stand among those of the whole config.
struct DistillConfig {
  std::vector<TeacherEntry> teachers;
  std::string cache;             // a file of temper-generate --teacher-cache
  double on_policy_share = 0.0;  // lambda of GKD
  std::string algorithm_name = "gjsd";
  std::unique_ptr<objective::DistillOptions> algorithm;

  void fields(FieldVisitor& v);
  void check(std::vector<std::string>& problems, const SamplingOptions& sampling) const;
  // "auto" becomes the student's dtype.
  void resolve(const std::string& dtype);
};

}  // namespace temper
