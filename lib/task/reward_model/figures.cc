#include "task/reward_model/figures.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "base/statistics.h"
#include "eval/calibration.h"
#include "train/session.h"

namespace temper {
namespace {

using objective::RewardRows;

constexpr double kMarginEdges[] = {0.5, 1, 2, 4};
constexpr int64_t kBins = 10;

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

struct FigureTally {
  double right = 0, all = 0;
  void add(double good) {
    right += good;
    all += 1;
  }
};

// What was predicted of what, over all comparisons or steps.
struct Predictions {
  std::vector<double> probability, came_true;
  FigureTally total;
  std::vector<std::pair<std::string, FigureTally>> by_margin;
  std::map<double, FigureTally> by_strength;

  Predictions() {
    double low = 0;
    for (const double edge : kMarginEdges) {
      by_margin.emplace_back(fmt::format("{}-{}", low, edge), FigureTally{});
      low = edge;
    }
    by_margin.emplace_back(fmt::format("{}-inf", low), FigureTally{});
  }
  // delta: score of the better one minus that of the worse one. A tie is wrong, as in the training metrics.
  void comparison(double delta, double strength) {
    const double good = delta > 0 ? 1 : 0;
    total.add(good);
    size_t bucket = 0;
    while (bucket < std::size(kMarginEdges) && std::abs(delta) >= kMarginEdges[bucket]) ++bucket;
    by_margin[bucket].second.add(good);
    if (std::isfinite(strength)) by_strength[strength].add(good);
    probability.push_back(sigmoid(std::abs(delta)));
    came_true.push_back(delta == 0 ? 0.5 : good);
  }
  void step(double score, double label) {
    total.add((score > 0) == (label > 0.5) ? 1 : 0);
    probability.push_back(sigmoid(score));
    came_true.push_back(label);
  }
};

Predictions predictions_of(const std::vector<const ScoredUnit*>& units, const at::Tensor& scores,
                           RewardRows form, int64_t head) {
  Predictions out;
  const at::Tensor column = scores.select(1, head).to(at::kDouble).contiguous();
  const double* score = column.const_data_ptr<double>();
  for (const ScoredUnit* unit : units) {
    size_t rows = 0;
    for (const auto& reads : unit->reads) rows += reads.size();
    if (unit->form == form && form == RewardRows::kPairs) out.comparison(score[0] - score[1], unit->strength);
    for (size_t i = 0; i < rows && unit->form == form; ++i) {
      if (form == RewardRows::kSteps) out.step(score[i], unit->labels[i]);
      for (size_t j = 0; j < rows && form == RewardRows::kGroups; ++j) {
        if (unit->labels[i] > unit->labels[j]) out.comparison(score[i] - score[j], std::nan(""));
      }
    }
    score += rows;
  }
  return out;
}

}  // namespace

void add_figures(const objective::RewardObjective& objective, const std::vector<const ScoredUnit*>& units,
                 const at::Tensor& scores, Evaluation& out) {
  for (const auto& part : objective.parts()) {
    if (part.needs.rows == RewardRows::kRated) continue;
    const Predictions p = predictions_of(units, scores, part.needs.rows, part.needs.head);
    if (p.total.all == 0) continue;
    NamedValues& values = out.row.values;
    const double accuracy = p.total.right / p.total.all;
    const Interval interval = beta_interval(p.total.right, p.total.all - p.total.right);
    values.emplace_back("accuracy", accuracy);
    values.emplace_back("low", interval.low);
    values.emplace_back("high", interval.high);
    values.emplace_back("n", p.total.all);
    const bool steps = part.needs.rows == RewardRows::kSteps;
    const auto bins = calibration(p.probability, p.came_true, steps ? 0.0 : 0.5, 1.0, kBins);
    const double error = expected_calibration_error(bins);
    values.emplace_back("calibration_error", error);
    for (const auto& [name, tally] : p.by_margin) {
      if (tally.all == 0) continue;
      values.emplace_back("by_margin/" + name, tally.right / tally.all);
      values.emplace_back("by_margin_n/" + name, tally.all);
    }
    for (const auto& [strength, tally] : p.by_strength) {
      values.emplace_back(fmt::format("by_strength/{}", strength), tally.right / tally.all);
      values.emplace_back(fmt::format("by_strength_n/{}", strength), tally.all);
    }
    for (size_t i = 0; i < bins.size(); ++i) {
      const std::string bin = fmt::format("calibration/{}/", i);
      values.emplace_back(bin + "predicted", bins[i].predicted);
      values.emplace_back(bin + "observed", bins[i].observed);
      values.emplace_back(bin + "n", static_cast<double>(bins[i].count));
    }
    out.line += fmt::format(", accuracy {:.3f} [{:.3f}, {:.3f}] on {} {}, calibration error {:.3f}", accuracy,
                            interval.low, interval.high, p.total.all, steps ? "steps" : "comparisons", error);
    return;  // one form has the headline
  }
}

void add_samples(const Session& s, const ScoredStep& step, const at::Tensor& scores, Evaluation& out) {
  int64_t row = 0;
  const auto limit = std::min(step.sequences.size(), static_cast<size_t>(s.config.samples_logged));
  for (size_t i = 0; i < limit; ++i) {
    SampleRow sample;
    sample.prompt = s.tokenizer->decode(*step.sequences[i].prompt, true);
    sample.completion = s.tokenizer->decode(*step.sequences[i].completion, true);
    sample.tokens = static_cast<int64_t>(step.sequences[i].completion->size());
    sample.finish = "end";
    row += static_cast<int64_t>(step.reads[i]->size());
    const at::Tensor last = scores[row - 1];  // of a solution in steps, the last step's
    const auto& names = s.model->config().score_names;
    for (int64_t a = 0; a < last.size(0); ++a) {
      const std::string name = names.empty() ? fmt::format("score_{}", a) : names[static_cast<size_t>(a)];
      sample.rewards.emplace_back(name, last[a].item<double>());
    }
    sample.reward = last[0].item<double>();
    out.samples.push_back(std::move(sample));
  }
}

}  // namespace temper
