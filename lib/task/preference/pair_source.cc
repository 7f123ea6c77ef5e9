#include "task/preference/pair_source.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "data/pair_forms.h"
#include "task/preference/config.h"
#include "task/preference/reference_cache.h"
#include "train/config.h"
#include "train/rollouts.h"
#include "train/run_order.h"
#include "train/session.h"

namespace temper {
namespace {

// Pairs, or labelled answers, made of the data's records.
struct MadePairs {
  Records records;
  int64_t without = 0, of = 0;  // records, of groups prompts, that give none
  std::string why;
};

MadePairs pairs_of_groups(const PreferenceTask& task, const std::vector<Record>& records, uint64_t seed) {
  SelectContext context{.seed = seed};
  if (task.algorithm->needs().label) return {task.pairs.rule.labelled(records, context), 0, 0, ""};
  MadePairs out{task.pairs.rule.select(records, context), 0, 0,
                "no two answers are different and have rewards that \"pairs\" would pair"};
  for (const auto& [name, value] : context.figures) {
    if (name == "prompts") out.of = static_cast<int64_t>(value);
    if (name == "prompts_selected") out.without = out.of - static_cast<int64_t>(value);
  }
  return out;
}

MadePairs made_pairs(const PreferenceTask& task, const Records& data, int64_t stage, uint64_t seed) {
  const PairsSection& o = task.pairs;
  MadePairs out{{}, 0, static_cast<int64_t>(data.size()), ""};
  if (o.from != "groups" && o.from != "ratings" && o.from != "steps") {
    out.records = data;
    return out;
  }
  const std::vector<Record> records = data.all("pairs.from");
  if (o.from == "groups") return pairs_of_groups(task, records, seed);
  if (o.from == "ratings") {
    out.records = rated_pairs(records, stage, o.stages, &out.without);
    out.why = "the two answers' ratings are equal";
  } else {
    out.records = step_pairs(records, {o.form, o.attempts, o.separator}, &out.without);
    out.why = "no better partner is there";
  }
  return out;
}

// The best and the worst completion of each group, the first among equals; nulls stand aside.
struct Ends {
  size_t best = 0, worst = 0;
};
Ends ends_of(const RolloutGroup& group) {
  Ends out;
  std::optional<double> high, low;
  for (size_t i = 0; i < group.rollouts.size(); ++i) {
    const auto& reward = group.rollouts[i].reward;
    if (!reward) continue;
    if (!high || *reward > *high) {
      high = reward;
      out.best = i;
    }
    if (!low || *reward < *low) {
      low = reward;
      out.worst = i;
    }
  }
  return out;
}

}  // namespace

PairSource::PairSource(Session& s, const PreferenceTask& task) : s_(s), task_(task) {
  const RunConfig& c = s.config;
  if (task.samples()) {
    prompts_ = TrainPrompts(s);
    order_ = std::make_unique<RunOrder>(s, every_index(s.train_records.size()), c.train.batch_size);
    return;
  }
  stages_.resize(static_cast<size_t>(task.pairs.count_stages()));
  for (size_t i = 0; i < stages_.size(); ++i) encode_stage(static_cast<int64_t>(i));
  if (stages_.size() > 1 || !task.caches_reference(s.adapter->can_switch_off())) return;
  // Every unit that the run will draw, in the steps of its first epoch.
  std::vector<std::vector<int64_t>> first_epoch;
  for (int64_t t = 0; t < c.train.steps && t * c.train.batch_size < stages_[0].answers.units(); ++t)
    first_epoch.push_back(units_of(stages_[0], t));
  cache_ = std::make_unique<ReferenceCache>(s, stages_[0].answers, first_epoch);
}

PairSource::~PairSource() = default;

void PairSource::encode_stage(int64_t index) {
  const auto span = s_.phases->in(Phase::kData);
  const RunConfig& c = s_.config;
  Stage& stage = stages_[index];
  const auto stages = static_cast<int64_t>(stages_.size());
  stage.first = index * c.train.steps / stages;
  stage.last = (index + 1) * c.train.steps / stages;
  const MadePairs made = made_pairs(task_, s_.train_records, index, static_cast<uint64_t>(c.seed));
  const Records& records = made.records;
  const std::string where = stages == 1 ? "" : fmt::format("stage {}: ", index + 1);
  if (made.without > 0) {
    s_.progress->message(fmt::format("{}{} of {} {} give no pair: {}", where, made.without, made.of,
                                     task_.pairs.from == "groups" ? "prompts" : "records", made.why));
  }
  if (records.empty()) user_error("data.train: {}no record gives a pair", where);
  stage.answers = encode_answers(s_, records, task_.algorithm->needs());
  if (stage.answers.units() == 0) {
    user_error("data.train: {}no record is left: {} are longer than max_tokens {}, {} have equal responses",
               where, stage.answers.dropped, c.data.max_tokens, stage.answers.identical);
  }
  if (stage.answers.identical > 0) {
    s_.progress->message(fmt::format("{} of {} records have equal responses and are left out",
                                     stage.answers.identical, records.size()));
  }
  if (stage.answers.dropped > 0) {
    s_.progress->message(fmt::format("{}{} of {} records are longer than max_tokens {} and left out", where,
                                     stage.answers.dropped, records.size(), c.data.max_tokens));
  }
  stage.order = make_order(s_, stage.answers.units(), nullptr, c.train.batch_size);
}

int64_t PairSource::stage_of(int64_t step) const {
  int64_t i = 0;
  while (i + 1 < static_cast<int64_t>(stages_.size()) && step >= stages_[i].last) ++i;
  return i;
}

std::vector<int64_t> PairSource::units_of(const Stage& stage, int64_t step) const {
  const int64_t n = s_.config.train.batch_size;
  std::vector<int64_t> units;
  for (int64_t i = 0; i < n; ++i) units.push_back(stage.order->at(step, (step - stage.first) * n + i));
  return units;
}

PairDraw PairSource::draw() {
  if (stages_.empty()) return sample();
  const Stage& stage = stages_[stage_of(s_.state.step)];
  s_.state.cursor += s_.config.train.batch_size;
  return {&stage.answers, units_of(stage, s_.state.step), cache_.get(), {}, 0.0};
}

PairDraw PairSource::sample() {
  const RunConfig& c = s_.config;
  const RolloutBatch rollouts = collect_rollouts(s_, prompts_,
                                                 {.order = order_.get(),
                                                  .groups = c.train.batch_size,
                                                  .only_differing = true,
                                                  .max_rounds = task_.pairs.max_rounds,
                                                  .rounds_field = "pairs.max_rounds"});
  rollouts.commit(s_.state);
  sampled_ = {};
  std::vector<double> side;  // of each completion: 1 chosen, -1 rejected, 0 neither
  PairDraw out;
  for (size_t g = 0; g < rollouts.groups.size(); ++g) {
    const RolloutGroup& group = rollouts.groups[g];
    const Ends ends = ends_of(group);
    for (size_t i = 0; i < group.rollouts.size(); ++i)
      side.push_back(i == ends.best ? 1.0 : (i == ends.worst ? -1.0 : 0.0));
    for (const size_t i : {ends.best, ends.worst}) {
      const std::vector<int64_t>& ids = group.rollouts[i].ids;
      sampled_.all.push_back({group.prompt, ids, std::vector<bool>(ids.size(), true)});
    }
    out.units.push_back(static_cast<int64_t>(g));
  }
  out.answers = &sampled_;
  out.metrics = rollout_metrics(s_, rollouts);
  out.sampling_s = rollouts.seconds;
  out.scoring_s = rollouts.scoring_seconds;
  s_.log->write_samples(s_.state.step + 1, "train", rollout_samples(s_, rollouts, at::tensor(side)));
  return out;
}

Answers PairSource::held_out(int64_t* count, int64_t* without) const {
  Records records;
  for (int64_t i = 0; i < task_.pairs.count_stages(); ++i) {
    MadePairs made = made_pairs(task_, s_.eval_records, i, static_cast<uint64_t>(s_.config.seed));
    *without += made.without;
    if (i == 0) {
      records = std::move(made.records);
      continue;
    }
    std::vector<Record>& all = records.held("pairs.stages");
    for (const Record& record : made.records) all.push_back(record);
  }
  *count = static_cast<int64_t>(records.size());
  return encode_answers(s_, records, task_.algorithm->needs());
}

const ReferenceCache* PairSource::held_out_cache(const Answers& answers, const std::vector<int64_t>& units) {
  if (!task_.caches_reference(s_.adapter->can_switch_off())) return nullptr;
  if (held_out_cache_ == nullptr)
    held_out_cache_ = std::make_unique<ReferenceCache>(s_, answers, std::vector<std::vector<int64_t>>{units});
  return held_out_cache_.get();
}

}  // namespace temper
