// Transforms of each number by itself.
#pragma once

#include "reward/transform/transform.h"

namespace temper {

// min(max(r, low), high).
struct ClipOptions : TransformOptions {
  std::optional<double> low, high;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool of_each_number() const override { return true; }
  Transform make() const override;
};

// factor r + offset.
struct ScaleOptions : TransformOptions {
  double factor = 1.0, offset = 0.0;
  void fields(FieldVisitor& v) override;
  bool of_each_number() const override { return true; }
  Transform make() const override;
};

// sign(t) e^(t r): of a calibrated reward, InfAlign's for the best (t > 0) or the worst (t < 0) of several
// samples.
struct ExpOptions : TransformOptions {
  double t = 10.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool of_each_number() const override { return true; }
  Transform make() const override;
};

}  // namespace temper
