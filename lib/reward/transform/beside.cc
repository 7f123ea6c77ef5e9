#include "reward/transform/beside.h"

#include <cmath>

namespace temper {
namespace {

// Replaces each value by rule(value, what the other reward said).
template <class Rule>
Transform beside(const std::string& other, Rule rule) {
  return [=](TransformBatch& batch) {
    const auto& theirs = batch.others.at(other);
    for (size_t i = 0; i < batch.values.size(); ++i) {
      if (batch.values[i] && theirs[i])
        batch.values[i] = rule(*batch.values[i], *theirs[i]);
      else
        batch.values[i].reset();
    }
  };
}

void demand_other(const std::string& name, const std::string& field, std::vector<std::string>& problems,
                  const std::string& where) {
  if (name.empty())
    problems.push_back(where + "." + field + ": missing; expected the name of another reward of the set");
}

double sigma(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

}  // namespace

void ShapeOptions::fields(FieldVisitor& v) {
  v.field("verifier", verifier, {.help = "the name of the reward that says what is right"});
  v.field("correct_above", correct_above,
          {.help = "the verifier's number above which a completion is right"});
  v.field("alpha", alpha, {.help = "steepness of the sigmoid", .min = 0});
}

void ShapeOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  demand_other(verifier, "verifier", problems, where);
}

Transform ShapeOptions::make() const {
  return beside(verifier, [alpha = alpha, above = correct_above](double r, double verdict) {
    // sigma(x) - 1 = -sigma(-x), which does not round to 0.
    return verdict > above ? sigma(alpha * r) : -sigma(-alpha * r);
  });
}

void UncertaintyOptions::fields(FieldVisitor& v) {
  v.field("second", second, {.help = "the name of the reward that scores the same a second time"});
  v.field("scale", scale, {.help = "how fast trust falls with their distance", .min = 0});
}

void UncertaintyOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  demand_other(second, "second", problems, where);
}

Transform UncertaintyOptions::make() const {
  return beside(
      second, [scale = scale](double r, double other) { return r * std::exp(-scale * std::abs(r - other)); });
}

}  // namespace temper
