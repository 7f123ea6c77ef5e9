#include "train/rollout_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "train/session.h"

namespace temper {

void RolloutBatch::commit(RunState& state) const {
  state.cursor = cursor;
  state.stored_cursor = stored_cursor;
  state.leftovers = leftovers;
  state.open = open;
  state.reference_rewards = reference_rewards;
  for (const auto& [record, length] : lengths) state.lengths[record] = length;
}

int64_t Rollout::tokens() const {
  if (turns.empty()) return static_cast<int64_t>(ids.size());
  int64_t sum = 0;
  for (const Turn& turn : turns) sum += turn.end - turn.begin;
  return sum;
}

bool RolloutGroup::open() const {
  return std::any_of(rollouts.begin(), rollouts.end(), [](const Rollout& r) { return r.open(); });
}

std::vector<bool> Rollout::target() const {
  std::vector<bool> out(turns.empty() ? 0 : ids.size(), false);
  for (const Turn& turn : turns) std::fill(out.begin() + turn.begin, out.begin() + turn.end, true);
  return out;
}

RolloutTensors rollout_tensors(const std::vector<RolloutGroup>& groups) {
  RolloutTensors out;
  for (const RolloutGroup& g : groups)
    for (const Rollout& r : g.rollouts) out.targets.push_back(r.target());
  std::vector<float> rollout, old;
  std::vector<double> reward, demonstration, opening, reference;
  std::vector<int64_t> sequence, group;
  out.offsets.push_back(0);
  out.groups.push_back(0);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const Rollout& r : groups[g].rollouts) {
      const auto index = static_cast<int64_t>(out.sequences.size());
      const std::vector<bool>& target = out.targets[static_cast<size_t>(index)];
      // Those of one group and one prompt share it.
      const bool own = !r.prompt.empty();
      out.sequences.push_back({own ? &r.prompt : &groups[g].prompt, &r.ids,
                               target.empty() ? nullptr : &target,
                               static_cast<int64_t>(2 * g + (own ? 1 : 0))});
      if (!r.routes.empty()) out.sequences.back().routes = &r.routes;
      rollout.insert(rollout.end(), r.logp_rollout.begin(), r.logp_rollout.end());
      old.insert(old.end(), r.logp_old.begin(), r.logp_old.end());
      sequence.insert(sequence.end(), static_cast<size_t>(r.tokens()), index);
      reward.push_back(r.reward.value_or(kNull));
      demonstration.push_back(r.demonstration ? 1.0 : 0.0);
      opening.push_back(r.opening == 0 ? 1.0 : 0.0);
      reference.push_back(groups[g].reference_reward.value_or(kNull));
      group.push_back(static_cast<int64_t>(g));
      out.offsets.push_back(static_cast<int64_t>(sequence.size()));
    }
    out.groups.push_back(static_cast<int64_t>(out.sequences.size()));
  }
  out.batch.sequences = static_cast<int64_t>(out.sequences.size());
  out.batch.sequence = at::tensor(sequence, at::kLong);
  out.batch.group = at::tensor(group, at::kLong);
  const auto floats = [](const std::vector<double>& values) {
    return at::tensor(values, at::kDouble).to(at::kFloat);
  };
  out.batch.reward = floats(reward);
  out.batch.demonstration = floats(demonstration);
  out.batch.opening = floats(opening);
  out.batch.reference_reward = floats(reference);
  out.batch.logp_rollout = at::tensor(rollout, at::kFloat);
  out.batch.logp = out.batch.logp_rollout;  // until the trainer's own pass over them
  if (old.size() == rollout.size()) out.batch.logp_old = at::tensor(old, at::kFloat);
  return out;
}

void settle_given_tokens(std::vector<RolloutGroup>& groups) {
  for (RolloutGroup& g : groups) {
    for (Rollout& r : g.rollouts) {
      for (size_t t = 0; t < r.logp_old.size(); ++t) {
        if (std::isnan(r.logp_rollout[t])) r.logp_rollout[t] = r.logp_old[t];
      }
    }
  }
}

at::Tensor include_mask(const objective::PolicyAlgorithm& algorithm,
                        const std::vector<RolloutGroup>& groups) {
  std::vector<float> include;
  for (const RolloutGroup& g : groups) {
    const Rollout *best = nullptr, *worst = nullptr;
    for (const Rollout& r : g.rollouts) {
      if (!r.reward) continue;
      if (best == nullptr || *r.reward > *best->reward) best = &r;
      if (worst == nullptr || *r.reward < *worst->reward) worst = &r;
    }
    const bool mixed = best != nullptr && *best->reward > *worst->reward;
    for (const Rollout& r : g.rollouts) {
      const bool whole = !algorithm.mask_truncated || r.finish != finish_name(FinishReason::kLength);
      const bool chosen = !algorithm.keep_one_each || (mixed && (&r == best || &r == worst));
      include.push_back(whole && chosen ? 1.0f : 0.0f);
    }
  }
  return at::tensor(include);
}

at::Tensor reward_parts(const std::vector<RolloutGroup>& groups) {
  std::vector<double> out;
  int64_t rows = 0;
  for (const RolloutGroup& g : groups) {
    for (const Rollout& r : g.rollouts) {
      for (const auto& part : r.counted) out.push_back(part.value_or(kNull));
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
  b.value_old = per_token(all.batch.value_old);
  b.value_target = per_token(all.batch.value_target);
  b.advantage = per_sequence(all.batch.advantage);
  b.reward = per_sequence(all.batch.reward);
  b.outcome = per_sequence(all.batch.outcome);
  b.group = per_sequence(all.batch.group);
  b.include = per_sequence(all.batch.include);
  b.demonstration = per_sequence(all.batch.demonstration);
  b.opening = per_sequence(all.batch.opening);
  b.reference_reward = per_sequence(all.batch.reference_reward);
  b.sequences = count;
  return b;
}

namespace {

using Groups = std::vector<std::reference_wrapper<const RolloutGroup>>;

// Of the completions that a reward tells the outcome of, the share of each that there can be.
NamedValues outcome_shares(const Session& s, const Groups& groups) {
  NamedValues out;
  for (size_t i = 0; s.rewards != nullptr && i < s.rewards->names().size(); ++i) {
    std::map<std::string, double> counts;
    double told = 0;
    for (const RolloutGroup& g : groups) {
      for (const Rollout& r : g.rollouts) {
        if (r.demonstration || r.parts.empty() || r.parts[i].outcome.empty()) continue;
        counts[r.parts[i].outcome] += 1;
        told += 1;
      }
    }
    for (const std::string& outcome : s.rewards->outcomes()[i])
      if (told > 0) out.emplace_back(s.rewards->names()[i] + "/" + outcome, counts[outcome] / told);
  }
  return out;
}

}  // namespace

NamedValues rollout_metrics(const Session& s, const RolloutBatch& batch) {
  Groups groups;
  for (const RolloutGroup& g : batch.groups)
    if (g.age == 0) groups.push_back(g);
  double reward = 0, rewards = 0, length = 0, truncated = 0, count = 0, std_sum = 0, std_groups = 0;
  const std::vector<std::string> names =
      s.rewards == nullptr ? std::vector<std::string>() : s.rewards->names();
  std::vector<double> parts(names.size(), 0), part_counts(names.size(), 0), counted = parts, counts = parts;
  for (const RolloutGroup& g : groups) {
    double sum = 0, squares = 0, n = 0;
    for (const Rollout& r : g.rollouts) {
      if (r.demonstration) continue;
      count += 1;
      length += static_cast<double>(r.tokens());
      truncated += r.finish == finish_name(FinishReason::kLength) ? 1 : 0;
      if (r.reward) {
        sum += *r.reward;
        squares += *r.reward * *r.reward;
        n += 1;
      }
      for (size_t i = 0; i < r.parts.size(); ++i) {
        parts[i] += r.parts[i].value.value_or(0);
        part_counts[i] += r.parts[i].value ? 1 : 0;
        counted[i] += r.counted[i].value_or(0);
        counts[i] += r.counted[i] ? 1 : 0;
      }
    }
    reward += sum;
    rewards += n;
    if (n > 1) {
      std_sum += std::sqrt(std::max(0.0, (squares - sum * sum / n) / (n - 1)));
      std_groups += 1;
    }
  }
  // The mean of no reward is no number, and is not written.
  NamedValues out;
  if (rewards > 0) out.emplace_back("reward", reward / rewards);
  out.emplace_back("reward_std", std_groups > 0 ? std_sum / std_groups : 0.0);
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool transformed = s.rewards->transforms(i);
    if ((parts.size() > 1 || transformed) && part_counts[i] > 0)
      out.emplace_back("reward/" + names[i], parts[i] / part_counts[i]);
    if (transformed && counts[i] > 0)
      out.emplace_back("reward/" + names[i] + "/transformed", counted[i] / counts[i]);
  }
  out.emplace_back("length", length / count);
  out.emplace_back("truncated", truncated / count);
  if (batch.generated_groups > 0) {
    out.emplace_back("groups_kept",
                     static_cast<double>(batch.kept_groups) / static_cast<double>(batch.generated_groups));
  }
  out.emplace_back("null_rewards", (count - rewards) / count);
  double tokens = 0, older = 0;
  for (const RolloutGroup& g : groups) {
    for (const Rollout& r : g.rollouts) {
      tokens += static_cast<double>(r.tokens());
      older += static_cast<double>(r.older);
    }
  }
  if (older > 0 || !batch.open.empty()) {
    out.emplace_back("older_tokens", older / tokens);
    out.emplace_back("open_groups", static_cast<double>(batch.open.size()));
  }
  for (const auto& [name, share] : outcome_shares(s, groups)) out.emplace_back(name, share);
  if (batch.hints) {
    double hinted = 0, hinted_rewards = 0, hinted_sum = 0;
    for (const RolloutGroup& g : groups) {
      hinted += g.rollouts.front().hinted ? 1 : 0;
      for (const Rollout& r : g.rollouts) {
        if (!r.hinted || !r.reward) continue;
        hinted_sum += *r.reward;
        hinted_rewards += 1;
      }
    }
    out.emplace_back("hinted", hinted / static_cast<double>(groups.size()));
    if (hinted_rewards > 0) out.emplace_back("hinted_reward", hinted_sum / hinted_rewards);
  }
  // What environments counted: means over the conversations that have the figure.
  std::map<std::string, std::pair<double, double>> figures;  // sum and count
  for (const RolloutGroup& g : groups) {
    for (const Rollout& r : g.rollouts) {
      if (!r.conversation) continue;
      for (const auto& [name, value] : r.conversation->figures) {
        figures[name].first += value;
        figures[name].second += 1;
      }
    }
  }
  for (const auto& [name, sum] : figures) out.emplace_back("environment/" + name, sum.first / sum.second);
  // What the rewards compared the answers as, in shares of the groups that were sampled.
  std::map<std::string, double> kinds;
  double sampled = 0;
  for (const RolloutGroup& g : groups) {
    if (g.stored || s.rewards == nullptr) continue;
    sampled += 1;
    if (const auto kind = s.rewards->compared_as(s.train_records.kept(g.record).json)) kinds[*kind] += 1;
  }
  for (const auto& [kind, so_many] : kinds) out.emplace_back("compared_as/" + kind, so_many / sampled);
  return out;
}

std::vector<SampleRow> rollout_samples(const Session& s, const RolloutBatch& batch,
                                       const at::Tensor& advantage) {
  std::vector<SampleRow> out;
  const at::Tensor a = advantage.cpu().to(at::kDouble).contiguous();
  const double* values = a.const_data_ptr<double>();
  int64_t index = 0;
  for (const RolloutGroup& g : batch.groups) {
    if (g.age > 0) {
      index += static_cast<int64_t>(g.rollouts.size());
      continue;
    }
    for (const Rollout& r : g.rollouts) {
      SampleRow row;
      const bool plain = g.rollouts.front().hinted && !r.hinted;
      row.prompt = plain ? s.encoder->prompt_text(s.train_records.kept(g.record)) : g.prompt_text;
      row.completion = r.text;
      for (size_t i = 0; i < r.parts.size(); ++i) {
        row.rewards.emplace_back(s.rewards->names()[i], r.parts[i].value);
        row.add_words(s.rewards->names()[i], r.parts[i].text, r.parts[i].outcome);
        if (s.rewards->transforms(i)) row.transformed.emplace_back(s.rewards->names()[i], r.counted[i]);
      }
      row.reward = r.reward;
      row.advantage = values[index++];
      row.finish = r.finish;
      row.tokens = r.tokens();
      if (r.conversation) row.messages = r.conversation->messages;
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

Json RolloutGroup::to_json(bool with_routes) const {
  Json rows = Json::array();
  for (const Rollout& r : rollouts) {
    Json parts = Json::array();
    Json counted = Json::array();
    for (const auto& p : r.parts) parts.push_back(temper::to_json(p));
    for (const auto& number_of_part : r.counted) counted.push_back(number(number_of_part));
    Json turns = Json::array();
    for (const Turn& turn : r.turns) turns.push_back(temper::to_json(turn));
    rows.push_back({{"ids", r.ids},
                    {"turns", turns},
                    {"conversation", r.conversation ? temper::to_json(*r.conversation) : Json(nullptr)},
                    {"logp_rollout", r.logp_rollout},
                    {"logp_old", r.logp_old},
                    {"reward", number(r.reward)},
                    {"parts", parts},
                    {"counted", counted},
                    {"text", r.text},
                    {"finish", r.finish},
                    {"demonstration", r.demonstration},
                    {"hinted", r.hinted},
                    {"prompt", r.prompt},
                    {"opening", r.opening},
                    {"older", r.older}});
    if (with_routes) rows.back()["routes"] = r.routes;
  }
  return {{"draw", draw},     {"record", record},
          {"prompt", prompt}, {"prompt_text", prompt_text},
          {"prefix", prefix}, {"reference_reward", number(reference_reward)},
          {"rollouts", rows}};
}

RolloutGroup RolloutGroup::from_json(const Json& json) {
  RolloutGroup g;
  const char* problem = "a negative number or lists of different lengths";
  try {
    g.draw = json.at("draw");
    g.record = json.at("record");
    g.prompt = json.at("prompt").get<std::vector<int64_t>>();
    g.prompt_text = json.at("prompt_text");
    g.reference_reward = number(json.at("reference_reward"));
    g.prefix = json.value("prefix", int64_t{0});
    bool sound =
        g.draw >= 0 && g.record >= 0 && g.prefix >= 0 && g.prefix <= static_cast<int64_t>(g.prompt.size());
    for (const Json& j : json.at("rollouts")) {
      Rollout r;
      r.ids = j.at("ids").get<std::vector<int64_t>>();
      r.logp_rollout = j.at("logp_rollout").get<std::vector<float>>();
      r.logp_old = j.at("logp_old").get<std::vector<float>>();
      r.reward = number(j.at("reward"));
      r.text = j.at("text"), r.finish = j.at("finish");
      r.demonstration = j.at("demonstration"), r.opening = j.at("opening");
      r.hinted = j.value("hinted", false);
      r.prompt = j.value("prompt", std::vector<int64_t>());
      r.older = j.value("older", int64_t{0});
      r.routes = j.value("routes", std::vector<int16_t>());
      for (const Json& p : j.at("parts")) r.parts.push_back(score_from_json(p));
      if (j.contains("counted")) {
        for (const Json& p : j["counted"]) r.counted.push_back(number(p));
      } else {  // of a run from before there were transforms
        for (const Score& part : r.parts) r.counted.push_back(part.value);
      }
      sound = sound && r.counted.size() == r.parts.size();
      int64_t end = 0;
      for (const Json& turn : j.value("turns", Json::array())) {
        r.turns.push_back(turn_from_json(turn));
        sound = sound && r.turns.back().begin >= end && r.turns.back().end >= r.turns.back().begin;
        end = r.turns.back().end;
      }
      sound = sound && end <= static_cast<int64_t>(r.ids.size());
      if (const Json& told = j.value("conversation", Json()); !told.is_null())
        r.conversation = conversation_from_json(told);
      const auto tokens = static_cast<size_t>(r.tokens());
      sound = sound && r.logp_rollout.size() == tokens && (r.logp_old.empty() || r.logp_old.size() == tokens);
      g.rollouts.push_back(std::move(r));
    }
    if (sound) return g;
  } catch (const Json::exception&) {
    problem = "a value is missing or of the wrong type";
  }
  user_error("a group left over in the run's state: {}", problem);
}

}  // namespace temper
