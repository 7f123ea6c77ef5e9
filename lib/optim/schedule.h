// Learning-rate schedules: pure functions of the step. formulas/optimizers.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fields.h"

namespace temper {

// Factor on the learning rate for step in [0, total): linear warm-up to 1, then the kind's own shape. With w
// warm-up steps, step 0 has 1/w and step w - 1 has 1, so no step is spent on a rate of zero (transformers
// starts at 0; from step w on the factors are the same as there). Beyond the last step the factor stays where
// it ended.
struct ScheduleOptions : Fields {
  double warmup = 0.0;  // below 1: share of the steps; else steps
  void fields(FieldVisitor& v) override;
  // Before factor(), once the whole config is known: reads what the kind needs. Throws UserError.
  virtual void prepare(int64_t total) {}
  double factor(int64_t step, int64_t total) const;

 protected:
  virtual double start() const { return 0.0; }  // what the warm-up begins from
  // step in [0, steps], counted from the end of the warm-up; total: with the warm-up.
  virtual double shape(double step, double steps, double warmup_steps, double total) const = 0;
};
const Registry<ScheduleOptions>& schedule_registry();

}  // namespace temper
