#include "eval/budgets.h"

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "base/json.h"
#include "base/statistics.h"

namespace temper {

std::vector<int64_t> sorted_budgets(std::vector<int64_t> budgets) {
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());
  return budgets;
}

std::vector<double> cumulative_regret(const std::vector<int64_t>& budgets,
                                      const std::vector<double>& shares) {
  if (budgets.size() != shares.size()) throw std::logic_error("regret: a share for each budget");
  std::vector<double> out;
  double tokens = 0, share = 0, area = 0;
  for (size_t i = 0; i < budgets.size(); ++i) {
    const auto next = static_cast<double>(budgets[i]);
    area += (next - tokens) * (share + shares[i]) / 2;
    tokens = next, share = shares[i];
    out.push_back(1 - area / tokens);
  }
  return out;
}

namespace {

// The share of right answers of each prompt; none: no sample of it could be judged.
std::vector<std::optional<double>> prompt_accuracies(const EvalResult& result) {
  std::vector<double> right(static_cast<size_t>(result.prompts)), judged(right.size());
  for (const EvalSample& sample : result.samples) {
    if (!sample.correct) continue;
    right[static_cast<size_t>(sample.prompt)] += *sample.correct ? 1 : 0;
    judged[static_cast<size_t>(sample.prompt)] += 1;
  }
  std::vector<std::optional<double>> out(right.size());
  for (size_t p = 0; p < right.size(); ++p)
    if (judged[p] > 0) out[p] = right[p] / judged[p];
  return out;
}

}  // namespace

BudgetedResult over_budgets(const std::vector<int64_t>& budgets, const std::vector<EvalResult>& results,
                            double level) {
  BudgetedResult out;
  std::vector<std::vector<std::optional<double>>> accuracies;  // [budget][prompt]
  for (size_t i = 0; i < budgets.size(); ++i) {
    const EvalResult& result = results.at(i);
    for (const char* name : {"accuracy", "length", "distinct", "vendi"}) {
      if (const Figure* figure = result.find(name)) {
        out.figures.push_back(*figure);
        out.figures.back().name = fmt::format("{}@{}", name, budgets[i]);
      }
    }
    accuracies.push_back(prompt_accuracies(result));
    out.prompts = result.prompts;
    out.samples += static_cast<int64_t>(result.samples.size());
    out.nulls += result.nulls;
    out.tokens += result.tokens;
  }
  std::vector<std::vector<double>> regrets(budgets.size());  // [budget][prompt]
  for (size_t p = 0; p < static_cast<size_t>(out.prompts); ++p) {
    std::vector<double> shares;
    for (const auto& accuracy : accuracies) {
      if (accuracy.at(p)) shares.push_back(*accuracy[p]);
    }
    if (shares.size() < budgets.size()) continue;
    const std::vector<double> regret = cumulative_regret(budgets, shares);
    for (size_t i = 0; i < regret.size(); ++i) regrets[i].push_back(regret[i]);
  }
  for (size_t i = 0; i < budgets.size(); ++i) {
    if (regrets[i].empty()) continue;
    out.figures.push_back({fmt::format("regret@{}", budgets[i]), mean(regrets[i]),
                           mean_interval(regrets[i], level), static_cast<int64_t>(regrets[i].size())});
  }
  return out;
}

Json BudgetedResult::to_json() const {
  EvalResult all;
  all.figures = figures;
  all.prompts = prompts, all.nulls = nulls, all.tokens = tokens;
  Json out = all.to_json();
  out["samples"] = samples;
  return out;
}

}  // namespace temper
