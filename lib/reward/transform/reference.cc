#include "reward/transform/reference.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "data/records.h"

namespace temper {
namespace {

// A record's reference rewards: a number, or an array of numbers.
std::vector<double> in_column(const Json* columns, const std::string& column, const std::string& kind) {
  if (columns == nullptr || !has_column(*columns, column))
    user_error("transform {}: the record has no column \"{}\"; expected the rewards of its reference answers",
               kind, column);
  const Json& json = (*columns)[column];
  if (json.is_number()) return {json.get<double>()};
  const auto number = [](const Json& x) { return x.is_number(); };
  if (!json.is_array() || !std::all_of(json.begin(), json.end(), number))
    user_error("transform {}: column \"{}\": expected a number or an array of numbers, found {}", kind,
               column, dump_line(json).substr(0, 60));
  return json.get<std::vector<double>>();
}

// Replaces each value by rule(value, reference rewards of its prompt); none: null.
template <class Rule>
Transform against(const std::string& column, int64_t samples, const std::string& kind, Rule rule) {
  return [=](TransformBatch& batch) {
    for (size_t i = 0; i < batch.values.size(); ++i) {
      if (!batch.values[i]) continue;
      std::vector<double> rewards;
      if (column.empty()) {
        rewards = batch.reference.at(i);
        if (static_cast<int64_t>(rewards.size()) > samples) rewards.resize(static_cast<size_t>(samples));
      } else {
        rewards = in_column(batch.columns.at(i), column, kind);
      }
      if (rewards.empty())
        batch.values[i].reset();
      else
        batch.values[i] = rule(*batch.values[i], rewards);
    }
  };
}

// log sigma(x), with no overflow for any x.
double log_sigma(double x) {
  return x > 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

}  // namespace

void LogSigmoidOptions::fields(FieldVisitor& v) {
  v.field("reference", reference,
          {.help = "where r_ref comes from: answers of the initial model, a column, or `constant`",
           .choices = {"samples", "column", "constant"}});
  v.field("samples", samples, {.help = "answers of the initial model to each prompt", .min = 1, .max = 4096});
  v.field("column", column,
          {.help = "the column with r_ref, or with an array of rewards of reference answers"});
  v.field(
      "deviations", deviations,
      {.help = "r_ref is so many (population) standard deviations above the mean of the reference rewards"});
  v.field("constant", constant, {.help = "r_ref of every prompt"});
}

Transform LogSigmoidOptions::make() const {
  if (reference == "constant") {
    return [constant = constant](TransformBatch& batch) {
      for (std::optional<double>& value : batch.values)
        if (value) value = log_sigma(*value - constant);
    };
  }
  const auto rule = [deviations = deviations](double r, const std::vector<double>& rewards) {
    const auto n = static_cast<double>(rewards.size());
    double mean = 0, squares = 0;
    for (const double z : rewards) mean += z / n;
    for (const double z : rewards) squares += (z - mean) * (z - mean);
    return log_sigma(r - (mean + deviations * std::sqrt(squares / n)));
  };
  return against(reference == "column" ? column : "", samples, "log_sigmoid", rule);
}

void CalibrateOptions::fields(FieldVisitor& v) {
  v.field("reference", reference,
          {.help = "what a completion is compared with: answers of the initial model, or a column",
           .choices = {"samples", "column"}});
  v.field("samples", samples, {.help = "answers of the initial model to each prompt", .min = 1, .max = 4096});
  v.field("column", column, {.help = "the column with an array of rewards of reference answers"});
}

Transform CalibrateOptions::make() const {
  const auto rule = [](double r, const std::vector<double>& rewards) {
    const auto beaten = std::count_if(rewards.begin(), rewards.end(), [r](double z) { return z <= r; });
    return static_cast<double>(beaten) / static_cast<double>(rewards.size());
  };
  return against(reference == "column" ? column : "", samples, "calibrate", rule);
}

}  // namespace temper
