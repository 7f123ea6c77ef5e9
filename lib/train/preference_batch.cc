#include "train/preference_batch.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "train/session.h"

namespace temper {

Answers encode_answers(const Session& s, const std::vector<Record>& records) {
  const bool paired = !s.config.preference->needs().label;
  Answers out;
  out.unit = paired ? 2 : 1;
  for (const Record& record : records) {
    std::vector<Answer> unit;
    bool label = false;
    if (paired) {
      auto [chosen, rejected] = s.encoder->preference(record);
      unit = {std::move(chosen), std::move(rejected)};
    } else {
      auto [answer, desirable] = s.encoder->unpaired(record);
      unit = {std::move(answer)};
      label = desirable;
    }
    bool whole = true;
    for (const Answer& answer : unit) whole = whole && !answer.completion.empty();
    if (!whole) {
      ++out.dropped;
      continue;
    }
    for (Answer& answer : unit) out.all.push_back(std::move(answer));
    if (!paired) out.labels.push_back(label ? 1.0 : 0.0);
  }
  return out;
}

PreferenceStep gather(const Answers& answers, const std::vector<int64_t>& units) {
  PreferenceStep step;
  step.unit = answers.unit;
  std::vector<int64_t> sequence;
  std::vector<double> labels;
  int64_t group = 0;
  for (const int64_t u : units) {
    const Answer* before = nullptr;
    for (int64_t k = 0; k < answers.unit; ++k) {
      const Answer& a = answers.all[u * answers.unit + k];
      // Tokenised together with its completion, a prompt may end otherwise; then it is not shared.
      if (before == nullptr || before->prompt != a.prompt) {
        ++group;
        step.tokens += static_cast<int64_t>(a.prompt.size());
      }
      step.tokens += static_cast<int64_t>(a.completion.size());
      before = &a;
      const auto index = static_cast<int64_t>(step.sequences.size());
      step.sequences.push_back({&a.prompt, &a.completion, &a.target, group});
      const auto targets = std::count(a.target.begin(), a.target.end(), true);
      sequence.insert(sequence.end(), static_cast<size_t>(targets), index);
      step.offsets.push_back(static_cast<int64_t>(sequence.size()));
    }
    if (answers.unit == 1) labels.push_back(answers.labels[u]);
  }
  step.batch.sequences = static_cast<int64_t>(step.sequences.size());
  step.batch.sequence = at::tensor(sequence, at::kLong);
  if (answers.unit == 1) step.batch.label = at::tensor(labels).to(at::kBool);
  step.batch.index = at::arange(static_cast<int64_t>(units.size()));
  step.batch.logp = at::zeros({step.batch.sequence.size(0)});
  return step;
}

objective::PreferenceBatch slice(const PreferenceStep& step, int64_t first, int64_t last) {
  const int64_t begin = step.offsets[first], tokens = step.offsets[last] - begin;
  const auto per_token = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, begin, tokens) : t; };
  const auto per_sequence = [&](const at::Tensor& t) {
    return t.defined() ? t.narrow(0, first, last - first) : t;
  };
  objective::PreferenceBatch b;
  b.logp_ref = per_token(step.batch.logp_ref);
  b.sequence = per_token(step.batch.sequence) - first;
  b.label = per_sequence(step.batch.label);
  b.mismatch = per_sequence(step.batch.mismatch);
  b.index = step.batch.index.narrow(0, first / step.unit, (last - first) / step.unit);
  b.sequences = last - first;
  return b;
}

}  // namespace temper
