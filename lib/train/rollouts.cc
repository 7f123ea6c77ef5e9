#include "train/rollouts.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "train/reference.h"
#include "train/session.h"

namespace temper {
namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

struct Scored {
  std::vector<std::vector<Completion>> completions;
  std::vector<ScoredItem> scores;  // of all completions in turn
};

// `samples` completions of each group's prompt, scored.
Scored sample_and_score(Session& s, const std::vector<RolloutGroup>& groups, int64_t samples,
                        const SamplingOptions& sampling) {
  std::vector<GenerateRequest> requests;
  for (const RolloutGroup& g : groups) requests.push_back({g.prompt, samples, static_cast<uint64_t>(g.draw)});
  EngineOptions engine;
  engine.max_batch = s.config.rollout.max_batch;
  engine.seed = static_cast<uint64_t>(s.config.seed);
  engine.step = static_cast<uint64_t>(s.state.step);
  engine.end_ids = s.end_ids;
  Scored out;
  out.completions =
      generate(*s.model, *s.tokenizer, requests, sampling, engine, [&](const EngineProgress& p) {
        s.check_signal();
        s.progress->inner(
            fmt::format("rollout {}/{} done, {} tokens", p.finished, p.total, format_count(p.tokens)));
      });
  std::vector<RewardItem> items;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const Completion& c : out.completions[i]) {
      items.push_back({groups[i].prompt_text, c.text, c.raw_text, &s.train_records[groups[i].record].json,
                       static_cast<int64_t>(c.ids.size()), c.finish == FinishReason::kLength, &c.ids});
    }
  }
  s.progress->inner("scoring");
  out.scores = s.rewards->score(items);
  return out;
}

// Generates and scores the groups of draws [cursor, cursor + count).
std::vector<RolloutGroup> generate_groups(Session& s, const std::vector<std::vector<int64_t>>& prompts,
                                          const RecordOrder& order, int64_t cursor, int64_t count,
                                          RolloutBatch& batch) {
  std::vector<RolloutGroup> groups(count);
  for (int64_t i = 0; i < count; ++i) {
    RolloutGroup& g = groups[i];
    g.draw = cursor + i;
    g.record = order.at(g.draw);
    g.prompt = prompts[g.record];
    g.prompt_text = s.encoder->prompt_text(s.train_records[g.record]);
  }
  const Scored scored = sample_and_score(s, groups, s.config.rollout.group_size, s.config.rollout);
  auto score = scored.scores.begin();
  for (int64_t i = 0; i < count; ++i) {
    for (const Completion& c : scored.completions[i]) {
      groups[i].rollouts.push_back(
          {c.ids, c.logp_full, {}, score->total, score->parts, c.text, finish_name(c.finish)});
      batch.generated_tokens += static_cast<int64_t>(c.ids.size());
      ++score;
    }
  }
  return groups;
}

bool has_signal(const RolloutGroup& g) {
  std::vector<double> rewards;
  for (const Rollout& r : g.rollouts) rewards.push_back(r.reward.value_or(kNull));
  const at::Tensor keep = objective::keep_groups(
      at::tensor(rewards, at::kDouble), at::zeros({static_cast<int64_t>(rewards.size())}, at::kLong));
  return keep.any().item<bool>();
}

}  // namespace

RolloutBatch collect_rollouts(Session& s, const std::vector<std::vector<int64_t>>& prompts,
                              const CollectOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const RecordOrder order(static_cast<int64_t>(prompts.size()), static_cast<uint64_t>(s.config.seed),
                          s.config.data.order);
  const auto wanted = static_cast<size_t>(options.groups);
  int64_t cursor = s.state.cursor;
  RolloutBatch batch;
  std::vector<RolloutGroup> fresh;
  for (const Json& j : s.state.leftovers) batch.groups.push_back(RolloutGroup::from_json(j));

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
    auto groups = generate_groups(s, prompts, order, cursor, count, batch);
    cursor += count;
    batch.generated_groups += count;
    for (RolloutGroup& g : groups) {
      const bool signal = has_signal(g);
      batch.kept_groups += signal ? 1 : 0;
      if (signal || !options.only_differing) batch.groups.push_back(std::move(g));
    }
  }

  // What is kept for later must remember the policy that sampled it.
  const bool leaves = batch.groups.size() > wanted;
  if (options.store_old_logp || leaves) {
    std::vector<RolloutGroup*> open;
    std::vector<RolloutGroup> missing;
    for (RolloutGroup& g : batch.groups) {
      if (g.rollouts.front().logp_old.empty()) open.push_back(&g);
    }
    for (RolloutGroup* g : open) missing.push_back(*g);
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
  s.state.leftovers = Json::array();
  for (size_t i = wanted; i < batch.groups.size(); ++i)
    s.state.leftovers.push_back(batch.groups[i].to_json());
  batch.groups.resize(wanted);
  s.state.cursor = cursor;
  batch.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return batch;
}

RolloutTensors rollout_tensors(const std::vector<RolloutGroup>& groups) {
  RolloutTensors out;
  std::vector<float> rollout, old;
  std::vector<double> reward;
  std::vector<int64_t> sequence, group;
  out.offsets.push_back(0);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const Rollout& r : groups[g].rollouts) {
      const auto index = static_cast<int64_t>(out.sequences.size());
      out.sequences.push_back({&groups[g].prompt, &r.ids, nullptr, static_cast<int64_t>(g)});
      rollout.insert(rollout.end(), r.logp_rollout.begin(), r.logp_rollout.end());
      old.insert(old.end(), r.logp_old.begin(), r.logp_old.end());
      sequence.insert(sequence.end(), r.ids.size(), index);
      reward.push_back(r.reward.value_or(kNull));
      group.push_back(static_cast<int64_t>(g));
      out.offsets.push_back(static_cast<int64_t>(sequence.size()));
    }
  }
  out.batch.sequences = static_cast<int64_t>(out.sequences.size());
  out.batch.sequence = at::tensor(sequence, at::kLong);
  out.batch.group = at::tensor(group, at::kLong);
  out.batch.reward = at::tensor(reward, at::kDouble).to(at::kFloat);
  out.batch.logp_rollout = at::tensor(rollout, at::kFloat);
  out.batch.logp = out.batch.logp_rollout;  // until the trainer's own pass over them
  if (old.size() == rollout.size()) out.batch.logp_old = at::tensor(old, at::kFloat);
  return out;
}

at::Tensor greedy_rewards(Session& s, const std::vector<RolloutGroup>& groups) {
  SamplingOptions sampling = s.config.rollout;
  sampling.temperature = 0;
  const Scored scored = sample_and_score(s, groups, 1, sampling);
  std::vector<double> out;
  for (size_t g = 0; g < groups.size(); ++g)
    out.insert(out.end(), groups[g].rollouts.size(), scored.scores[g].total.value_or(kNull));
  return at::tensor(out, at::kDouble).to(at::kFloat);
}

at::Tensor reward_parts(const std::vector<RolloutGroup>& groups) {
  std::vector<double> out;
  int64_t rows = 0;
  for (const RolloutGroup& g : groups) {
    for (const Rollout& r : g.rollouts) {
      for (const auto& part : r.parts) out.push_back(part.value_or(kNull));
      ++rows;
    }
  }
  return at::tensor(out, at::kDouble).to(at::kFloat).reshape({rows, -1});
}

objective::PolicyBatch slice(const RolloutTensors& all, int64_t first, int64_t last) {
  const int64_t begin = all.offsets[first], tokens = all.offsets[last] - begin, count = last - first;
  auto per_token = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, begin, tokens) : t; };
  auto per_sequence = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, first, count) : t; };
  objective::PolicyBatch b;
  b.logp = per_token(all.batch.logp);
  b.logp_old = per_token(all.batch.logp_old);
  b.logp_ref = per_token(all.batch.logp_ref);
  b.logp_rollout = per_token(all.batch.logp_rollout);
  b.sequence = per_token(all.batch.sequence) - first;
  b.token_advantage = per_token(all.batch.token_advantage);
  b.advantage = per_sequence(all.batch.advantage);
  b.reward = per_sequence(all.batch.reward);
  b.group = per_sequence(all.batch.group);
  b.include = per_sequence(all.batch.include);
  b.sequences = count;
  return b;
}

NamedValues rollout_metrics(const Session& s, const RolloutBatch& batch) {
  double reward = 0, rewards = 0, length = 0, truncated = 0, count = 0, std_sum = 0, std_groups = 0;
  std::vector<double> parts(s.rewards->names().size(), 0), part_counts(parts.size(), 0);
  for (const RolloutGroup& g : batch.groups) {
    double sum = 0, squares = 0, n = 0;
    for (const Rollout& r : g.rollouts) {
      count += 1;
      length += static_cast<double>(r.ids.size());
      truncated += r.finish == finish_name(FinishReason::kLength) ? 1 : 0;
      if (r.reward) {
        sum += *r.reward;
        squares += *r.reward * *r.reward;
        n += 1;
      }
      for (size_t i = 0; i < parts.size(); ++i) {
        if (!r.parts[i]) continue;
        parts[i] += *r.parts[i];
        part_counts[i] += 1;
      }
    }
    reward += sum;
    rewards += n;
    if (n > 1) {
      std_sum += std::sqrt(std::max(0.0, (squares - sum * sum / n) / (n - 1)));
      std_groups += 1;
    }
  }
  NamedValues out = {{"reward", reward / rewards},
                     {"reward_std", std_groups > 0 ? std_sum / std_groups : 0.0}};
  if (parts.size() > 1) {
    for (size_t i = 0; i < parts.size(); ++i)
      out.emplace_back("reward/" + s.rewards->names()[i], parts[i] / part_counts[i]);
  }
  out.emplace_back("length", length / count);
  out.emplace_back("truncated", truncated / count);
  if (batch.generated_groups > 0) {
    out.emplace_back("groups_kept",
                     static_cast<double>(batch.kept_groups) / static_cast<double>(batch.generated_groups));
  }
  out.emplace_back("null_rewards", (count - rewards) / count);
  return out;
}

std::vector<SampleRow> rollout_samples(const Session& s, const RolloutBatch& batch,
                                       const at::Tensor& advantage) {
  std::vector<SampleRow> out;
  const at::Tensor a = advantage.cpu().to(at::kDouble).contiguous();
  const double* values = a.const_data_ptr<double>();
  int64_t index = 0;
  for (const RolloutGroup& g : batch.groups) {
    for (const Rollout& r : g.rollouts) {
      SampleRow row;
      row.prompt = g.prompt_text;
      row.completion = r.text;
      for (size_t i = 0; i < r.parts.size(); ++i) row.rewards.emplace_back(s.rewards->names()[i], r.parts[i]);
      row.reward = r.reward;
      row.advantage = values[index++];
      row.finish = r.finish;
      row.tokens = static_cast<int64_t>(r.ids.size());
      double sum = 0, lowest = 0;
      for (const float lp : r.logp_rollout) {
        sum += lp;
        lowest = std::min(lowest, static_cast<double>(lp));
      }
      if (!r.logp_rollout.empty()) {
        row.logp_mean = sum / static_cast<double>(r.logp_rollout.size());
        row.logp_min = lowest;
      }
      out.push_back(std::move(row));
      if (static_cast<int64_t>(out.size()) == s.config.samples_logged) return out;
    }
  }
  return out;
}

// ------------------------------------------------------------------------------------------------ leftovers

namespace {

Json number(const std::optional<double>& x) {
  return x ? Json(*x) : Json(nullptr);
}
std::optional<double> number(const Json& j) {
  return j.is_null() ? std::nullopt : std::optional<double>(j.get<double>());
}

}  // namespace

Json RolloutGroup::to_json() const {
  Json rows = Json::array();
  for (const Rollout& r : rollouts) {
    Json parts = Json::array();
    for (const auto& p : r.parts) parts.push_back(number(p));
    rows.push_back({{"ids", r.ids},
                    {"logp_rollout", r.logp_rollout},
                    {"logp_old", r.logp_old},
                    {"reward", number(r.reward)},
                    {"parts", parts},
                    {"text", r.text},
                    {"finish", r.finish}});
  }
  return {{"draw", draw},
          {"record", record},
          {"prompt", prompt},
          {"prompt_text", prompt_text},
          {"rollouts", rows}};
}

RolloutGroup RolloutGroup::from_json(const Json& json) {
  RolloutGroup g{json.at("draw"), json.at("record"), json.at("prompt"), json.at("prompt_text"), {}};
  for (const Json& j : json.at("rollouts")) {
    Rollout r{j.at("ids"), j.at("logp_rollout"), j.at("logp_old"), number(j.at("reward")),
              {},          j.at("text"),         j.at("finish")};
    for (const Json& p : j.at("parts")) r.parts.push_back(number(p));
    g.rollouts.push_back(std::move(r));
  }
  return g;
}

}  // namespace temper
