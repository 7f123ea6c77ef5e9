#include "task/preference/batch.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "data/pair_forms.h"
#include "train/session.h"

namespace temper {

namespace {

// What an answer says, without the token that ends it and what follows that.
void unlearn_end(const Session& s, const Record& record, Answer& answer) {
  const auto ends = [&](int64_t id) {
    return id == s.tokenizer->eos() || std::find(s.end_ids.begin(), s.end_ids.end(), id) != s.end_ids.end();
  };
  const auto end = std::find_if(answer.completion.begin(), answer.completion.end(), ends);
  std::fill(answer.target.begin() + (end - answer.completion.begin()), answer.target.end(), false);
  if (!answer.target.empty() &&
      std::find(answer.target.begin(), answer.target.end(), true) == answer.target.end())
    user_error("{}: a completion is empty: it has no token but its end", record.where());
}

// The answers of one unit.
std::vector<Answer> encode_unit(const Session& s, const Record& record,
                                const objective::PreferenceNeeds& needs, bool* label, bool* identical) {
  std::vector<Answer> out;
  if (needs.matrix) {
    const PromptedAnswers all = prompted_answers(record);
    for (size_t i = 0; i < all.completions.size(); ++i) {
      for (size_t j = 0; j < i; ++j) *identical = *identical || all.completions[i] == all.completions[j];
    }
    for (const Json& prompt : all.prompts) {
      for (const Json& completion : all.completions) {
        out.push_back(s.encoder->answer(answer_record(record, prompt, completion)));
        unlearn_end(s, record, out.back());
      }
    }
  } else if (needs.list) {
    for (const Json& completion : rated_answers(record).completions)
      out.push_back(s.encoder->answer(answer_record(record, record.json["prompt"], completion)));
  } else if (needs.label) {
    auto [answer, desirable] = s.encoder->unpaired(record);
    out.push_back(std::move(answer));
    *label = desirable;
  } else {
    auto [chosen, rejected] = s.encoder->preference(record);
    out.push_back(std::move(chosen));
    out.push_back(std::move(rejected));
  }
  return out;
}

constexpr uint8_t kFits = 1, kDesirable = 2;  // flags of a stored unit

// Pairs and labelled answers of large data. The ranks share the cache: what rank 0 has made the others find.
Answers stored_answers(const Session& s, const Records& records, const objective::PreferenceNeeds& needs) {
  Answers out;
  out.unit = needs.label ? 1 : 2;
  const auto make = [&] {
    return std::make_shared<const EncodedRecords>(
        records, needs.label ? "labelled" : "pairs", s.encoding_key, s.data_cache,
        [&](const Record& record) -> EncodedRecord {
          bool label = false, identical = false;
          const std::vector<Answer> unit = encode_unit(s, record, needs, &label, &identical);
          EncodedRecord made{"", static_cast<uint8_t>(label ? kDesirable : 0)};
          if (std::any_of(unit.begin(), unit.end(), [](const Answer& a) { return a.completion.empty(); }))
            return made;
          made.flags |= kFits;
          for (const Answer& answer : unit) put_answer(made.bytes, answer);
          return made;
        });
  };
  if (s.ranks.first()) out.stored = make();
  s.ranks.from_first("");
  if (!s.ranks.first()) out.stored = make();
  for (size_t i = 0; i < records.size(); ++i) {
    const Records::Place place = records.place(i);
    const uint8_t flags = out.stored->flags(place);
    if ((flags & kFits) == 0) {
      ++out.dropped;
      continue;
    }
    out.places.push_back(place);
    if (needs.label) out.labels.push_back((flags & kDesirable) != 0);
  }
  return out;
}

}  // namespace

std::vector<Answer> Answers::of(int64_t u) const {
  if (stored == nullptr) return {all.begin() + u * unit, all.begin() + (u + 1) * unit};
  const std::string bytes = stored->bytes(places[static_cast<size_t>(u)]);
  std::vector<Answer> out;
  for (size_t at = 0; at < bytes.size();) out.push_back(take_answer(bytes, at));
  return out;
}

Answers encode_answers(const Session& s, const Records& records, const objective::PreferenceNeeds& needs) {
  if (records.large() && !needs.list && !needs.matrix) return stored_answers(s, records, needs);
  Answers out;
  out.unit = needs.label ? 1 : (needs.list ? 0 : 2);
  for (const Record& record : records) {
    bool label = false, identical = false;
    std::vector<Answer> unit = encode_unit(s, record, needs, &label, &identical);
    const auto size = static_cast<int64_t>(unit.size());
    if (out.unit == 0) out.unit = size;
    if (size != out.unit) {
      user_error("{}: makes a unit of {} answers, the records before it {}; all need as many completions",
                 record.where(), size, out.unit);
    }
    const bool whole = std::all_of(unit.begin(), unit.end(),
                                   [](const Answer& answer) { return !answer.completion.empty(); });
    out.dropped += whole ? 0 : 1;
    out.identical += identical ? 1 : 0;
    if (!whole || identical) continue;
    for (Answer& answer : unit) out.all.push_back(std::move(answer));
    if (needs.label) out.labels.push_back(label);
  }
  return out;
}

PreferenceStep gather(const Answers& answers, const std::vector<int64_t>& units) {
  PreferenceStep step;
  step.unit = answers.unit;
  std::vector<int64_t> sequence;
  std::vector<double> labels;
  int64_t group = 0;
  for (const int64_t u : units)
    for (Answer& answer : answers.of(u)) step.answers.push_back(std::move(answer));
  size_t next = 0;
  for (const int64_t u : units) {
    const Answer* before = nullptr;
    for (int64_t k = 0; k < answers.unit; ++k) {
      const Answer& a = step.answers[next++];
      // Tokenised together with its completion, a prompt may end otherwise; then it is not shared.
      if (before == nullptr || before->prompt != a.prompt) {
        ++group;
        step.tokens += static_cast<int64_t>(a.prompt.size());
      }
      step.tokens += static_cast<int64_t>(a.completion.size());
      before = &a;
      const auto index = static_cast<int64_t>(step.sequences.size());
      step.sequences.push_back({.prompt = &a.prompt,
                                .completion = &a.completion,
                                .target = &a.target,
                                .group = group,
                                .joined = k > 0});
      const auto targets = std::count(a.target.begin(), a.target.end(), true);
      sequence.insert(sequence.end(), static_cast<size_t>(targets), index);
      step.offsets.push_back(static_cast<int64_t>(sequence.size()));
    }
    if (!answers.labels.empty()) labels.push_back(answers.labels[u] ? 1.0 : 0.0);
  }
  step.batch.sequences = static_cast<int64_t>(step.sequences.size());
  step.batch.sequence = at::tensor(sequence, at::kLong);
  if (!answers.labels.empty()) step.batch.label = at::tensor(labels).to(at::kBool);
  step.batch.unit = answers.unit;
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
  b.unit = step.unit;
  b.sequences = last - first;
  return b;
}

}  // namespace temper
