// Learning-rate schedules: pure functions of the step. formulas/optimizers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fields.h"

namespace temper {

struct ScheduleOptions : Fields {
  double warmup = 0.0;   // below 1: share of the steps; else steps
  void fields(FieldVisitor& v) override;
  // Factor on the learning rate for step in [0, total): linear warm-up to 1 (step 0 has 1/warmup), then the kind's shape.
  double factor(int64_t step, int64_t total) const;

 protected:
  virtual double shape(double progress) const = 0;  // progress in [0, 1] after warm-up
};
const Registry<ScheduleOptions>& schedule_registry();  // constant, linear, cosine, wsd, inverse_sqrt, polynomial

}  // namespace temper
