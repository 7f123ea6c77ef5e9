// Transforms that compare a completion's reward with those of a reference model's answers to the same prompt.
// The answers are sampled and scored once for each record, in a run (train/reference_scores.h); or a column
// of the record has their rewards. A completion whose prompt has none of them is null.
#pragma once

#include "reward/transform/transform.h"

namespace temper {

// log sigma(r - r_ref), whose sum over several rewards is a logical AND: none can make up for a bad one
// (Transforming and Combining Rewards for Aligning Large Language Models, "LSC"). r_ref: `constant`, or the
// mean + deviations x standard deviation (population) of the reference rewards: at 1.0364 the 85th percentile
// of a normal distribution. A column may also have r_ref itself, a number.
struct LogSigmoidOptions : TransformOptions {
  std::string reference = "samples", column = "reference_scores";
  int64_t samples = 8;
  double deviations = 1.0364, constant = 0.0;
  void fields(FieldVisitor& v) override;
  int64_t reference_samples() const override { return reference == "samples" ? samples : 0; }
  Transform make() const override;
};

// The share of the reference rewards z with z <= r, in [0, 1]: the win rate over the reference model
// (InfAlign, calibration). The transform "exp" behind it makes the reward of the best or worst of several
// samples.
struct CalibrateOptions : TransformOptions {
  std::string reference = "samples", column = "reference_scores";
  int64_t samples = 16;
  void fields(FieldVisitor& v) override;
  int64_t reference_samples() const override { return reference == "samples" ? samples : 0; }
  Transform make() const override;
};

}  // namespace temper
