#include "train/rollouts.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "train/config.h"
#include "train/reference.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {

std::vector<std::vector<Completion>> complete(Session& s, Model& model,
                                              const std::vector<GenerateRequest>& requests,
                                              const SamplingOptions& sampling, uint64_t seed, uint64_t step,
                                              bool interruptible) {
  EngineOptions engine;
  engine.max_batch = s.config.task->sampling().max_batch;
  engine.seed = seed;
  engine.step = step;
  engine.end_ids = s.end_ids;
  const auto generated = [&](const std::vector<GenerateRequest>& mine) {
    return generate(model, *s.tokenizer, mine, sampling, engine, [&](const EngineProgress& p) {
      if (interruptible) s.check_signal_in_share();
      s.progress->inner(
          fmt::format("rollout {}/{} done, {} tokens", p.finished, p.total, format_count(p.tokens)));
    });
  };
  return shared_completions(s.ranks, requests, generated, [&](int signal) { s.stop_for(signal); });
}

Rollout rollout_of(const Completion& c) {
  return {c.ids, c.logp_full, {}, {}, {}, c.text, finish_name(c.finish)};
}

std::vector<int64_t> opening_ids(const Session& s, const std::vector<std::string>& openings) {
  std::vector<int64_t> out;
  for (const std::string& text : openings) {
    const auto ids = s.tokenizer->encode(text, {.parse_special = true});
    if (ids.size() != 1) {
      user_error(
          "rollout.openings: \"{}\" is {} tokens of this tokenizer; a forced opening must be one token", text,
          ids.size());
    }
    out.push_back(ids.front());
  }
  return out;
}

Rollout opened(const Session& s, const Completion& c, int64_t opening, int64_t id) {
  Rollout r = rollout_of(c);
  r.ids.insert(r.ids.begin(), id);
  r.logp_rollout.insert(r.logp_rollout.begin(), std::numeric_limits<float>::quiet_NaN());
  r.text = s.tokenizer->decode({id}, false) + r.text;
  r.opening = opening;
  return r;
}

void score(Session& s, std::vector<RolloutGroup>& groups) {
  std::vector<RewardItem> items;
  for (const RolloutGroup& g : groups) {
    for (const Rollout& r : g.rollouts) {
      items.push_back({g.prompt_text, r.text, s.tokenizer->decode(r.ids, true),
                       &s.train_records[g.record].json, static_cast<int64_t>(r.ids.size()),
                       r.finish == finish_name(FinishReason::kLength), &r.ids});
    }
  }
  s.progress->inner("scoring");
  const auto scored = [&](const std::vector<RewardItem>& mine) {
    return s.rewards->score(mine, [&] { s.check_signal_in_share(); });
  };
  const std::vector<ScoredItem> scores =
      shared_scores(s.ranks, items, scored, [&](int signal) { s.stop_for(signal); });
  auto next = scores.begin();
  for (RolloutGroup& g : groups) {
    for (Rollout& r : g.rollouts) {
      r.reward = next->total;
      r.parts = next->parts;
      ++next;
    }
  }
}

namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

// The sampled part of each group.
void sample(Session& s, const GroupMake& make, std::vector<RolloutGroup>& groups) {
  const RolloutSection& o = s.config.task->sampling();
  const std::vector<int64_t> openings = opening_ids(s, make.openings);
  const int64_t sampled = o.group_size - make.demonstrations;
  const auto ways = std::max<int64_t>(1, static_cast<int64_t>(openings.size()));
  std::vector<GenerateRequest> requests;
  for (const RolloutGroup& g : groups) {
    for (int64_t way = 0; way < ways; ++way) {
      GenerateRequest request{g.prompt, sampled / ways, static_cast<uint64_t>(g.draw * ways + way)};
      if (!openings.empty()) request.prompt.push_back(openings[way]);
      requests.push_back(std::move(request));
    }
  }
  SamplingOptions sampling = o;
  if (!openings.empty()) sampling.max_new_tokens -= 1;
  const auto completions = complete(s, *s.model, requests, sampling, static_cast<uint64_t>(s.config.seed),
                                    static_cast<uint64_t>(s.state.step));
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto way = static_cast<int64_t>(i) % ways;
    for (const Completion& c : completions[i]) {
      groups[i / ways].rollouts.push_back(openings.empty() ? rollout_of(c)
                                                           : opened(s, c, way, openings[way]));
    }
  }
}

// The record's own completions. They were not drawn, so nothing is known of their log-probs yet.
void add_demonstrations(const Session& s, int64_t count, RolloutGroup& g) {
  const Record& record = s.train_records[g.record];
  const std::vector<Answer> shown = s.encoder->demonstrations(record);
  if (static_cast<int64_t>(shown.size()) < count) {
    user_error("{}: rollout.demonstrations asks for {} completions within data.max_tokens, found {}",
               record.where(), count, shown.size());
  }
  for (int64_t i = 0; i < count; ++i) {
    Rollout r;
    r.ids = shown[i].completion;
    r.logp_rollout.assign(r.ids.size(), std::numeric_limits<float>::quiet_NaN());
    r.text = s.tokenizer->decode(r.ids, false);
    r.finish = kDemonstration;
    r.demonstration = true;
    g.rollouts.push_back(std::move(r));
  }
}

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
      r.logp_old.assign(values, values + r.ids.size());
      values += r.ids.size();
    }
  }
}

// Groups of the draws [first, first + count) of the run's order, scored.
std::vector<RolloutGroup> sample_groups(Session& s, const std::vector<std::vector<int64_t>>& prompts,
                                        const RecordOrder& order, int64_t first, int64_t count,
                                        const GroupMake& make) {
  std::vector<RolloutGroup> groups(count);
  for (int64_t i = 0; i < count; ++i) {
    RolloutGroup& g = groups[i];
    g.draw = first + i;
    g.record = order.at(g.draw);
    g.prompt = prompts[g.record];
    g.prompt_text = s.encoder->prompt_text(s.train_records[g.record]);
  }
  sample(s, make, groups);
  if (make.demonstrations > 0) {
    for (RolloutGroup& g : groups) add_demonstrations(s, make.demonstrations, g);
  }
  score(s, groups);
  return groups;
}

}  // namespace

std::vector<std::vector<int64_t>> encode_train_prompts(Session& s) {
  std::vector<std::vector<int64_t>> prompts;
  const size_t all = s.train_records.size();
  std::erase_if(s.train_records, [&](const Record& record) {
    std::vector<int64_t> prompt = s.encoder->prompt(record);
    if (prompt.empty()) return true;
    prompts.push_back(std::move(prompt));
    return false;
  });
  if (all > 0 && prompts.empty())
    user_error("data.train: no prompt is within max_tokens {}", s.config.data.max_tokens);
  if (prompts.size() < all) {
    s.progress->message(fmt::format("{} of {} prompts are longer than max_tokens {} and left out",
                                    all - prompts.size(), all, s.config.data.max_tokens));
  }
  return prompts;
}

RolloutBatch collect_rollouts(Session& s, const std::vector<std::vector<int64_t>>& prompts,
                              const CollectOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto seed = static_cast<uint64_t>(s.config.seed);
  const int64_t total = options.groups;
  const int64_t taken = options.stored_groups;
  const auto wanted = static_cast<size_t>(total - taken);
  RolloutBatch batch;
  batch.cursor = s.state.cursor;
  batch.stored_cursor = s.state.stored_cursor;
  batch.reference_rewards = s.state.reference_rewards;
  for (const Json& j : s.state.leftovers) {
    RolloutGroup g = RolloutGroup::from_json(j);
    if (g.record >= static_cast<int64_t>(s.train_records.size()))
      user_error("{}: a group left over in the run's state is of record {}, data.train has {}", s.config.run,
                 g.record, s.train_records.size());
    batch.groups.push_back(std::move(g));
  }

  for (int64_t round = 0; batch.groups.size() < wanted; ++round) {
    if (round == options.max_rounds && options.only_differing) {
      user_error(
          "step {}: after {} rounds only {} of {} groups have rewards that differ; the task is too easy or "
          "too hard for the model, or raise {}",
          s.state.step + 1, round, batch.groups.size(), wanted, options.rounds_field);
    }
    // With a filter, whole rounds: what is too many serves the next step.
    const int64_t count = options.only_differing ? static_cast<int64_t>(wanted)
                                                 : static_cast<int64_t>(wanted - batch.groups.size());
    const RecordOrder order(static_cast<int64_t>(prompts.size()), seed, s.config.data.order);
    auto groups = sample_groups(s, prompts, order, batch.cursor, count, options.make);
    batch.cursor += count;
    batch.generated_groups += count;
    for (RolloutGroup& g : groups) {
      for (const Rollout& r : g.rollouts)
        batch.generated_tokens += r.demonstration ? 0 : static_cast<int64_t>(r.ids.size());
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
  for (size_t i = wanted; i < batch.groups.size(); ++i) batch.leftovers.push_back(batch.groups[i].to_json());
  batch.groups.resize(wanted);

  // Stored groups stand evenly among the fresh ones, so that every optimizer step of the batch has its share.
  if (taken > 0) {
    const std::vector<RolloutGroup>& stored = *options.stored;
    const RecordOrder order(static_cast<int64_t>(stored.size()), seed, s.config.data.order);
    for (int64_t i = 0; i < taken; ++i) {
      const auto at = batch.groups.begin() +
                      std::min<int64_t>(i * total / taken, static_cast<int64_t>(batch.groups.size()));
      RolloutGroup group = stored[order.at(batch.stored_cursor + i)];
      for (const Rollout& r : group.rollouts) batch.generated_tokens += static_cast<int64_t>(r.ids.size());
      batch.groups.insert(at, std::move(group));
    }
    batch.stored_cursor += taken;
  }
  batch.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return batch;
}

}  // namespace temper
