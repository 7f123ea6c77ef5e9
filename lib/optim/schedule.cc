#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "optim/kinds.h"

namespace temper {

void ScheduleOptions::fields(FieldVisitor& v) {
  v.field("warmup", warmup,
          {.help = "linear warm-up: below 1 a share of the steps, else steps",
           .unit = "share or steps",
           .min = 0});
}

namespace {

// Below 1 a share of `total`, else steps; never more than there are.
double steps_of(double value, double total) {
  return std::min(value < 1.0 ? std::ceil(value * total) : value, total);
}

}  // namespace

double ScheduleOptions::factor(int64_t step, int64_t total) const {
  const double all = static_cast<double>(std::max<int64_t>(total, 1));
  const double warmup_steps = std::floor(steps_of(warmup, all));
  const double at = static_cast<double>(step);
  if (at < warmup_steps) return start() + (1 - start()) * (at + 1) / warmup_steps;
  const double steps = std::max(all - warmup_steps, 1.0);
  return shape(std::min(at - warmup_steps, steps), steps, warmup_steps, all);
}

namespace {

struct Constant : ScheduleOptions {
  double shape(double, double, double, double) const override { return 1.0; }
};

struct WithFloor : ScheduleOptions {
  double floor = 0.0;
  void fields(FieldVisitor& v) override {
    ScheduleOptions::fields(v);
    v.field("floor", floor, {.help = "where the factor ends, as a share of the peak", .min = 0, .max = 1});
  }
  double above_floor(double factor) const { return floor + (1.0 - floor) * factor; }
};

struct Linear : WithFloor {
  double shape(double step, double steps, double, double) const override {
    return above_floor(1.0 - step / steps);
  }
};

double half_cosine(double progress) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

struct Cosine : WithFloor {
  double shape(double step, double steps, double, double) const override {
    return above_floor(half_cosine(step / steps));
  }
};

// Gupta et al., arXiv 2308.04014: from the floor, where the earlier run ended, up to the peak and down again.
struct Rewarm : Cosine {
  Rewarm() {
    warmup = 0.01;
    floor = 0.1;
  }
  double start() const override { return floor; }
};

struct Wsd : WithFloor {
  double decay = 0.1;
  std::string decay_shape = "linear";
  void fields(FieldVisitor& v) override {
    WithFloor::fields(v);
    v.field("decay", decay,
            {.help = "length of the decay at the end: below 1 a share of all steps, else steps",
             .unit = "share or steps",
             .min = 0});
    v.field("decay_shape", decay_shape,
            {.help = "shape of the decay", .choices = {"linear", "cosine", "1-sqrt"}});
  }
  double shape(double step, double steps, double, double total) const override {
    const double length = std::min(steps_of(decay, total), steps);
    const double into = step - (steps - length);
    if (into <= 0 || length <= 0) return 1.0;
    const double progress = into / length;
    if (decay_shape == "cosine") return above_floor(half_cosine(progress));
    if (decay_shape == "1-sqrt") return above_floor(1.0 - std::sqrt(progress));
    return above_floor(1.0 - progress);
  }
};

struct InverseSqrt : ScheduleOptions {
  double timescale = 0;
  void fields(FieldVisitor& v) override {
    ScheduleOptions::fields(v);
    v.field(
        "timescale", timescale,
        {.help = "steps after which the factor has fallen to 1/sqrt(2); 0: the warm-up, or 10000 without one",
         .unit = "steps",
         .min = 0});
  }
  double shape(double step, double, double warmup_steps, double) const override {
    const double scale = timescale > 0 ? timescale : warmup_steps > 0 ? warmup_steps : 10000.0;
    return 1.0 / std::sqrt((step + scale) / scale);
  }
};

struct Polynomial : WithFloor {
  double power = 1.0;
  void fields(FieldVisitor& v) override {
    WithFloor::fields(v);
    v.field("power", power, {.help = "exponent of (1 - progress)", .min = 0});
  }
  double shape(double step, double steps, double, double) const override {
    return above_floor(std::pow(1.0 - step / steps, power));
  }
};

}  // namespace

std::unique_ptr<ScheduleOptions> constant_schedule() {
  return std::make_unique<Constant>();
}
std::unique_ptr<ScheduleOptions> linear_schedule() {
  return std::make_unique<Linear>();
}
std::unique_ptr<ScheduleOptions> cosine_schedule() {
  return std::make_unique<Cosine>();
}
std::unique_ptr<ScheduleOptions> rewarm_schedule() {
  return std::make_unique<Rewarm>();
}
std::unique_ptr<ScheduleOptions> wsd_schedule() {
  return std::make_unique<Wsd>();
}
std::unique_ptr<ScheduleOptions> inverse_sqrt_schedule() {
  return std::make_unique<InverseSqrt>();
}
std::unique_ptr<ScheduleOptions> polynomial_schedule() {
  return std::make_unique<Polynomial>();
}

}  // namespace temper
