#include "reward/transform/each_number.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace temper {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Rule>
Transform of_each(Rule rule) {
  return [rule](TransformBatch& batch) {
    for (std::optional<double>& value : batch.values)
      if (value) value = rule(*value);
    for (std::vector<double>& samples : batch.reference)
      for (double& value : samples) value = rule(value);
  };
}

}  // namespace

void ClipOptions::fields(FieldVisitor& v) {
  v.field("low", low, {.help = "smallest value; null: any"});
  v.field("high", high, {.help = "largest value; null: any"});
}

void ClipOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!low && !high) problems.push_back(where + ": clip: expected \"low\", \"high\" or both");
  if (low && high && *low > *high) problems.push_back(where + ".low: is above high");
}

Transform ClipOptions::make() const {
  return of_each([low = low.value_or(-kInfinity), high = high.value_or(kInfinity)](double r) {
    return std::clamp(r, low, high);
  });
}

void ScaleOptions::fields(FieldVisitor& v) {
  v.field("factor", factor, {.help = "what the value is multiplied by"});
  v.field("offset", offset, {.help = "what is then added"});
}

Transform ScaleOptions::make() const {
  return of_each([factor = factor, offset = offset](double r) { return factor * r + offset; });
}

void ExpOptions::fields(FieldVisitor& v) {
  v.field("t", t,
          {.help = "sign(t) e^(t r); above 0 for the best of several samples, below 0 for the worst",
           .min = -100,
           .max = 100});
}

void ExpOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (t == 0) problems.push_back(where + ".t: expected another number than 0, which makes all rewards equal");
}

Transform ExpOptions::make() const {
  return of_each([t = t](double r) { return std::copysign(std::exp(t * r), t); });
}

}  // namespace temper
