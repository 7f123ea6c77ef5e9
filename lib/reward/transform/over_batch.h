// Transforms that place a number among all of its batch: the completions that are scored for a step, or for
// an evaluation, whatever their prompts. Nulls are no part of it.
#pragma once

#include "reward/transform/transform.h"

namespace temper {

// (r - mean) / (std + eps). std: "population" divides by n, "sample" by n - 1 (0 for one value).
struct ZScoreOptions : TransformOptions {
  std::string std = "population";
  double eps = 1e-6;
  void fields(FieldVisitor& v) override;
  Transform make() const override;
};

// (the number of smaller values + half of the equal ones, itself included) / n, which is within (0, 1) and
// has the mean 1/2: the average rank less 1/2, over n.
struct QuantileOptions : TransformOptions {
  void fields(FieldVisitor&) override {}
  Transform make() const override;
};

}  // namespace temper
