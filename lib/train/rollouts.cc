#include "train/rollouts.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>

#include "base/error.h"
#include "rollout/constrained.h"
#include "train/config.h"
#include "train/groups/open_groups.h"
#include "train/reference.h"
#include "train/run_order.h"
#include "train/session.h"

namespace temper {
namespace {

bool has_signal(const RolloutGroup& g) {
  std::vector<double> rewards;
  for (const Rollout& r : g.rollouts) rewards.push_back(r.reward.value_or(kNull));
  const at::Tensor keep = objective::keep_groups(
      at::tensor(rewards, at::kDouble), at::zeros({static_cast<int64_t>(rewards.size())}, at::kLong));
  return keep.any().item<bool>();
}

// logp_old of the groups that lack it, by the trainer's own pass.
void fill_old_logp(Session& s, std::vector<RolloutGroup>& groups) {
  std::vector<RolloutGroup*> open;
  std::vector<RolloutGroup> missing;
  for (RolloutGroup& g : groups) {
    if (g.rollouts.front().logp_old.empty()) open.push_back(&g);
  }
  for (const RolloutGroup* g : open) missing.push_back(*g);
  const RolloutTensors tensors = rollout_tensors(missing);
  const at::Tensor logp = logp_of(s, *s.model, tensors.sequences).cpu();
  const float* values = logp.const_data_ptr<float>();
  for (RolloutGroup* g : open) {
    for (Rollout& r : g->rollouts) {
      r.logp_old.assign(values, values + r.tokens());
      values += r.tokens();
    }
  }
}

// Groups of the draws [first, first + count) of the run's order.
std::vector<RolloutGroup> draw_groups(const Session& s, const TrainPrompts& prompts, const RunOrder& order,
                                      uint64_t seed, int64_t first, int64_t count) {
  std::vector<RolloutGroup> groups(count);
  for (int64_t i = 0; i < count; ++i) {
    RolloutGroup& g = groups[i];
    g.draw = first + i;
    g.record = order.at(g.draw);
    const Record& record = s.train_records.kept(g.record);
    g.prompt = prompts[g.record];
    if (s.environment != nullptr) {
      g.asked = opened_record(*s.environment, record, seed, static_cast<uint64_t>(g.draw));
      if (s.environment->opens()) g.prompt = s.encoder->prompt(*g.asked);
      if (g.prompt.empty()) {
        user_error(
            "{}: with what the environment opens the conversation with, the prompt is longer than "
            "data.max_tokens {}",
            record.where(), s.config.data.max_tokens);
      }
    }
    g.prompt_text = s.encoder->prompt_text(g.asked ? *g.asked : record);
  }
  return groups;
}

// What the policy's own completions of each group were rewarded with.
void observe(const std::vector<RolloutGroup>& groups, std::vector<Observation>& seen) {
  for (const RolloutGroup& g : groups) {
    Observation& one = seen.emplace_back(Observation{.record = g.record});
    for (const Rollout& r : g.rollouts)
      if (!r.demonstration) one.rewards.push_back(r.reward.value_or(kNull));
  }
}

// Groups that the run's state kept.
std::vector<RolloutGroup> kept_groups(const Session& s, const Json& kept) {
  std::vector<RolloutGroup> out;
  for (const Json& j : kept) {
    out.push_back(RolloutGroup::from_json(j));
    if (out.back().record >= static_cast<int64_t>(s.train_records.size()))
      user_error("{}: a group left over in the run's state is of record {}, {} has {}", s.config.run,
                 out.back().record, s.config.data.train_field(), s.train_records.size());
  }
  return out;
}

// Groups that were not sampled now stand evenly among those of the batch, so that every optimizer step has
// its share.
void join(RolloutBatch& batch, std::vector<RolloutGroup> groups) {
  const size_t total = batch.groups.size() + groups.size();
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const Rollout& r : groups[i].rollouts) batch.generated_tokens += r.tokens();
    const size_t place = std::min(i * total / groups.size(), batch.groups.size());
    batch.groups.insert(batch.groups.begin() + static_cast<std::ptrdiff_t>(place), std::move(groups[i]));
  }
}

}  // namespace

TrainPrompts::TrainPrompts(Session& s) : records_(&s.train_records) {
  const auto span = s.phases->in(Phase::kData);
  const size_t all = s.train_records.size();
  if (s.train_records.large()) {
    read_large(s);
  } else {
    s.train_records.erase_if([&](const Record& record) {
      std::vector<int64_t> prompt = s.encoder->prompt(record);
      if (prompt.empty()) return true;
      held_.push_back(std::move(prompt));
      return false;
    });
  }
  const size_t left = s.train_records.size();
  if (all > 0 && left == 0)
    user_error("{}: no prompt is within max_tokens {}", s.config.data.train_field(),
               s.config.data.max_tokens);
  if (left < all) {
    s.progress->message(fmt::format("{} of {} prompts are longer than max_tokens {} and left out", all - left,
                                    all, s.config.data.max_tokens));
  }
  if (!s.config.task->sampling().constrains_by_record()) return;
  for (const auto* records : {&s.train_records, &s.eval_records})  // before the long part
    for (const Record& record : *records)
      record_constraint(s.config.task->sampling(), record.json, record.where());
}

// The ranks share the cache: what rank 0 has made the others find.
void TrainPrompts::read_large(Session& s) {
  const auto make = [&] {
    return std::make_shared<const EncodedRecords>(
        s.train_records, "prompts", s.encoding_key, s.data_cache, [&](const Record& record) -> EncodedRecord {
          const std::vector<int64_t> prompt = s.encoder->prompt(record);
          return {ids_bytes(prompt), static_cast<uint8_t>(prompt.empty() ? 0 : 1)};
        });
  };
  if (s.ranks.first()) stored_ = make();
  s.ranks.from_first("");
  if (!s.ranks.first()) stored_ = make();
  std::vector<bool> dropped;
  for (size_t i = 0; i < s.train_records.size(); ++i)
    dropped.push_back(stored_->flags(s.train_records.place(i)) == 0);
  s.train_records.take(dropped);
}

std::vector<int64_t> TrainPrompts::operator[](int64_t record) const {
  const auto i = static_cast<size_t>(record);
  return stored_ == nullptr ? held_[i] : ids_of(stored_->bytes(records_->place(i)));
}

RolloutBatch collect_rollouts(Session& s, const TrainPrompts& prompts, const CollectOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto seed = static_cast<uint64_t>(s.config.seed);
  const int64_t taken = options.stored_groups;
  const size_t wanted = static_cast<size_t>(options.groups - taken) - options.replayed.size();
  RolloutBatch batch;
  batch.cursor = s.state.cursor;
  batch.stored_cursor = s.state.stored_cursor;
  batch.reference_rewards = s.state.reference_rewards;
  batch.hints = options.hints != nullptr;
  batch.groups = kept_groups(s, s.state.leftovers);
  std::vector<RolloutGroup> open = kept_groups(s, s.state.open);
  for (RolloutGroup& g : open)
    for (Rollout& r : g.rollouts) r.older = static_cast<int64_t>(r.ids.size());

  for (int64_t round = 0; batch.groups.size() < wanted; ++round) {
    if (round == options.max_rounds && options.only_differing) {
      user_error(
          "step {}: after {} rounds only {} of {} groups have rewards that differ; the task is too easy or "
          "too hard for the model, or raise {}",
          s.state.step + 1, round, batch.groups.size(), wanted, options.rounds_field);
    }
    // Where some of a round may not count, whole rounds: what is too many serves the next step.
    const bool partial = options.step_tokens > 0;
    const int64_t count = options.only_differing || partial
                              ? static_cast<int64_t>(wanted)
                              : static_cast<int64_t>(wanted - batch.groups.size());
    std::vector<RolloutGroup> groups;
    {
      const auto span = s.phases->in(Phase::kData);
      groups = draw_groups(s, prompts, *options.order, seed, batch.cursor, count);
    }
    if (partial) {
      groups.insert(groups.begin(), std::make_move_iterator(open.begin()),
                    std::make_move_iterator(open.end()));
      open = std::move(groups);
      groups = sample_further(s, options.step_tokens, options.make.routes, open);
      observe(groups, batch.observed);
    } else {
      batch.scoring_seconds += sample_groups(s, options.make, groups);
      observe(groups, batch.observed);  // as they were asked, without a hint
      if (options.hints != nullptr)
        batch.generated_tokens += options.hints->ask_again(s, options.make, groups, batch.scoring_seconds);
    }
    batch.cursor += count;
    batch.generated_groups += static_cast<int64_t>(groups.size());
    for (RolloutGroup& g : groups) {
      int64_t tokens = 0;
      for (const Rollout& r : g.rollouts) tokens += r.demonstration ? 0 : r.tokens();
      batch.generated_tokens += tokens;
      if (!partial && some_wait(s, count, options.make))
        batch.lengths[g.record] = static_cast<double>(tokens) /
                                  static_cast<double>(g.rollouts.size() - options.make.demonstrations);
      const bool signal = has_signal(g);
      batch.kept_groups += signal ? 1 : 0;
      if (signal || !options.only_differing) batch.groups.push_back(std::move(g));
    }
  }

  // What is kept for later must remember the policy that sampled it.
  if (!batch.groups.empty() && (options.store_old_logp || batch.groups.size() > wanted)) {
    fill_old_logp(s, batch.groups);
    settle_given_tokens(batch.groups);
  }
  for (size_t i = wanted; i < batch.groups.size(); ++i)
    batch.leftovers.push_back(batch.groups[i].to_json(s.config.task->replays_routes()));
  batch.groups.resize(wanted);
  for (const RolloutGroup& g : open) batch.open.push_back(g.to_json());

  if (taken > 0) {
    const std::vector<RolloutGroup>& stored = *options.stored;
    const RecordOrder order(static_cast<int64_t>(stored.size()), seed, s.config.data.epochs());
    std::vector<RolloutGroup> drawn;
    for (int64_t i = 0; i < taken; ++i) drawn.push_back(stored[order.at(batch.stored_cursor + i)]);
    batch.stored_cursor += taken;
    join(batch, std::move(drawn));
  }
  join(batch, options.replayed);
  batch.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return batch;
}

}  // namespace temper
