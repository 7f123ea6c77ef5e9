#include "train/sampling.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "env/conversations.h"
#include "rollout/constrained.h"
#include "train/config.h"
#include "train/reference_scores.h"
#include "train/scoring_worker.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {

std::vector<std::vector<Completion>> complete(Session& s, Model& model,
                                              const std::vector<GenerateRequest>& requests,
                                              const CompleteOptions& options) {
  const auto span = s.phases->in(Phase::kGenerate);
  EngineOptions engine;
  engine.max_batch = s.config.task->sampling().max_batch;
  engine.seed = options.seed;
  engine.step = options.step;
  engine.step_tokens = options.step_tokens;
  engine.keep_routes = options.keep_routes;
  engine.end_ids = s.end_ids;
  engine.exact_weights = true;
  engine.speculation = s.config.task->sampling().speculation.get();
  if (options.on_request) {
    engine.on_request = [&](size_t mine, const std::vector<Completion>& samples) {
      options.on_request(s.ranks.nth_mine(mine), samples);
    };
  }
  const auto generated = [&](const std::vector<GenerateRequest>& mine) {
    std::unique_ptr<Conversations> conversations;
    if (s.environment != nullptr && !options.records.empty()) {
      std::vector<Asked> asked;
      for (size_t i = 0; i < mine.size(); ++i)
        asked.push_back({options.records[s.ranks.nth_mine(i)], mine[i].stream_index});
      conversations = s.conversations(std::move(asked), options.seed, options.step, false);
      engine.respondent = conversations.get();
    }
    return generate(model, *s.tokenizer, mine, options.sampling, engine, [&](const EngineProgress& p) {
      if (options.interruptible) s.check_signal_in_share();
      s.progress->inner(
          fmt::format("rollout {}/{} done, {} tokens", p.finished, p.total, format_count(p.tokens)));
    });
  };
  return shared_completions(s.ranks, requests, generated, [&](int signal) { s.stop_for(signal); });
}

Rollout rollout_of(const Completion& c) {
  Rollout r;
  r.ids = c.ids;
  r.text = c.text;
  r.finish = finish_name(c.finish);
  r.conversation = c.conversation;
  r.routes = c.routes;
  if (c.turns.size() > 1) r.turns = c.turns;
  for (const Turn& turn : c.turns)
    r.logp_rollout.insert(r.logp_rollout.end(), c.logp_of_draw().begin() + turn.begin,
                          c.logp_of_draw().begin() + turn.end);
  return r;
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

namespace {

std::vector<RewardItem> items_of(const Session& s, const RolloutGroup& g,
                                 const std::vector<Rollout>& rollouts) {
  std::vector<RewardItem> items;
  for (const Rollout& r : rollouts) {
    std::vector<int64_t> written(g.prompt.end() - g.prefix, g.prompt.end());
    written.insert(written.end(), r.ids.begin(), r.ids.end());
    items.push_back({g.prompt_text, r.text, s.tokenizer->decode(written, true),
                     &s.train_records.kept(g.record).json, r.tokens(),
                     r.finish == finish_name(FinishReason::kLength), &r.ids,
                     r.conversation ? &r.conversation->messages : nullptr,
                     r.conversation ? r.conversation->score() : std::nullopt});
  }
  return items;
}

// What these rewards say of all rollouts, group after group.
std::vector<ScoredItem> scores_by(Session& s, const std::vector<RolloutGroup>& groups, ScoredBy by) {
  std::vector<RewardItem> items;
  for (const RolloutGroup& g : groups) {
    const auto more = items_of(s, g, g.rollouts);
    items.insert(items.end(), more.begin(), more.end());
  }
  s.progress->inner("scoring");
  const auto scored = [&](const std::vector<RewardItem>& mine) {
    return s.rewards->parts(
        mine, [&] { s.check_signal_in_share(); }, by);
  };
  return shared_scores(s.ranks, items, scored, [&](int signal) { s.stop_for(signal); });
}

// Puts what all rewards said of all rollouts, group after group, into them, with what counts of it.
void settle(Session& s, std::vector<RolloutGroup>& groups, std::vector<ScoredItem> scores) {
  std::vector<RewardItem> items;
  std::vector<ReferencePrompt> asked;
  for (const RolloutGroup& g : groups) {
    const auto more = items_of(s, g, g.rollouts);
    items.insert(items.end(), more.begin(), more.end());
    asked.push_back({g.record, &g.prompt, g.prompt_text, &s.train_records.kept(g.record).json});
  }
  add_reference_scores(s, asked, s.state.reference_scores);
  std::vector<const ReferenceScores*> reference;
  for (const RolloutGroup& g : groups) {
    if (s.rewards->reference_samples() > 0)
      reference.insert(reference.end(), g.rollouts.size(), &s.state.reference_scores.at(g.record));
  }
  s.rewards->settle(items, scores, reference);
  auto next = scores.begin();
  for (RolloutGroup& g : groups) {
    for (Rollout& r : g.rollouts) {
      r.reward = next->total;
      r.parts = std::move(next->parts);
      r.counted = std::move(next->counted);
      ++next;
    }
  }
}

}  // namespace

void score(Session& s, std::vector<RolloutGroup>& groups) {
  const auto span = s.phases->in(Phase::kReward);
  settle(s, groups, scores_by(s, groups, ScoredBy::kAll));
}

bool some_wait(const Session& s, int64_t groups, const GroupMake& make) {
  const RolloutSection& o = s.config.task->sampling();
  return groups * (o.group_size - make.demonstrations) > o.max_batch * s.ranks.world();
}

namespace {

// Rollouts that have their parts of the rewards that look at each item alone get the others', and the total.
void join_scores(Session& s, std::vector<RolloutGroup>& groups) {
  std::vector<ScoredItem> others, all;
  if (s.rewards->has(ScoredBy::kOthers)) others = scores_by(s, groups, ScoredBy::kOthers);
  for (RolloutGroup& g : groups) {
    for (Rollout& r : g.rollouts) {
      ScoredItem item{std::nullopt, std::move(r.parts), {}};
      all.push_back(s.rewards->join(item, others.empty() ? item : others[all.size()]));
    }
  }
  settle(s, groups, std::move(all));
}

// What is scored together: the samples of one request, or a group's demonstrations.
struct Unit {
  size_t group = 0;
  int64_t opening = -1;  // as of its rollouts
  std::vector<Rollout> rollouts;
};

// What a round decodes.
struct Round {
  std::vector<GenerateRequest> requests;
  std::vector<std::shared_ptr<const Record>> records;
  std::vector<Unit> units;  // of each request, in their order
  SamplingOptions sampling;
  std::vector<int64_t> openings;  // tokens
  std::vector<int64_t> time_up;   // tokens
};

Round round_of(const Session& s, const GroupMake& make, const std::vector<RolloutGroup>& groups,
               const std::vector<size_t>& order) {
  const RolloutSection& o = s.config.task->sampling();
  Round round{{}, {}, {}, o, opening_ids(s, make.openings)};
  const bool opens = !round.openings.empty();
  if (opens) round.sampling.max_new_tokens -= 1;
  const auto ways = make.prefix.on() ? 2 : std::max<int64_t>(1, static_cast<int64_t>(round.openings.size()));
  if (make.prefix.on()) round.time_up = s.encoder->words(make.prefix.time_up);
  for (const size_t g : order) {
    for (int64_t way = 0; way < ways; ++way) {
      round.requests.push_back({groups[g].prompt,
                                (o.group_size - make.demonstrations - make.has_already) / ways,
                                static_cast<uint64_t>(groups[g].draw * ways + way)});
      const Record& record = s.train_records.kept(groups[g].record);
      round.requests.back().constraint = record_constraint(o, record.json, record.where());
      std::vector<int64_t>& prompt = round.requests.back().prompt;
      if (opens) prompt.push_back(round.openings[way]);
      if (make.prefix.on() && way == kToldToEnd)
        prompt.insert(prompt.end(), round.time_up.begin(), round.time_up.end());
      if (s.environment != nullptr) round.records.push_back(groups[g].asked);
      round.units.push_back({g, opens || make.prefix.on() ? way : -1, {}});
    }
  }
  return round;
}

// The record's own completions. They were not drawn, so nothing is known of their log-probs yet.
std::vector<Rollout> demonstrations(const Session& s, int64_t count, const RolloutGroup& g) {
  const Record& record = s.train_records.kept(g.record);
  const std::vector<Answer> shown = s.encoder->demonstrations(record);
  if (static_cast<int64_t>(shown.size()) < count) {
    user_error("{}: rollout.demonstrations asks for {} completions within data.max_tokens, found {}",
               record.where(), count, shown.size());
  }
  std::vector<Rollout> out;
  for (int64_t i = 0; i < count; ++i) {
    Rollout r;
    r.ids = shown[i].completion;
    r.logp_rollout.assign(r.ids.size(), std::numeric_limits<float>::quiet_NaN());
    r.text = s.tokenizer->decode(r.ids, false);
    r.finish = kDemonstration;
    r.demonstration = true;
    out.push_back(std::move(r));
  }
  return out;
}

// The order in which groups are decoded: the longest expected first, so that the end, when few sequences are
// left to decode together, is short. What has no length yet comes before all, since it may be as long as any.
// A function of the state: a run that is resumed comes to the same.
std::vector<size_t> decode_order(const Session& s, const std::vector<RolloutGroup>& groups,
                                 const GroupMake& make) {
  std::vector<size_t> order(groups.size());
  std::iota(order.begin(), order.end(), 0);
  if (!s.config.task->sampling().longest_first || !some_wait(s, static_cast<int64_t>(groups.size()), make))
    return order;
  const auto expected = [&](size_t g) {
    const auto known = s.state.lengths.find(groups[g].record);
    return known == s.state.lengths.end() ? std::numeric_limits<double>::infinity() : known->second;
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return expected(a) > expected(b); });
  return order;
}

}  // namespace

double sample_groups(Session& s, const GroupMake& make, std::vector<RolloutGroup>& groups) {
  if (make.prefix.on()) begin_groups(s, make.prefix, groups);
  Round round = round_of(s, make, groups, decode_order(s, groups, make));
  std::vector<Unit>& units = round.units;
  for (size_t g = 0; make.demonstrations > 0 && g < groups.size(); ++g)
    units.push_back({g, -1, demonstrations(s, make.demonstrations, groups[g])});

  std::unique_ptr<ScoringWorker> worker;
  if (s.scores_while_decoding() && s.rewards->has(ScoredBy::kEachAlone))
    worker = std::make_unique<ScoringWorker>(*s.rewards);
  const auto give = [&](size_t u) { worker->add(u, items_of(s, groups[units[u].group], units[u].rollouts)); };
  for (size_t u = round.requests.size(); worker && u < units.size(); ++u)
    if (s.ranks.mine(u)) give(u);
  const auto fill = [&](size_t u, const std::vector<Completion>& samples) {
    Unit& unit = units[u];
    const std::vector<int64_t> none;
    for (const Completion& c : samples)
      unit.rollouts.push_back(
          unit.opening < 0 ? rollout_of(c)
          : make.prefix.on()
              ? behind_prefix(s, groups[unit.group], unit.opening == kToldToEnd ? round.time_up : none, c)
              : opened(s, c, unit.opening, round.openings[unit.opening]));
  };
  OnRequest on_request;
  if (worker) {
    on_request = [&](size_t u, const std::vector<Completion>& samples) {
      fill(u, samples);
      give(u);
    };
  }
  const auto seed = static_cast<uint64_t>(s.config.seed);
  const auto completions = complete(s, *s.model, round.requests,
                                    {.sampling = round.sampling,
                                     .seed = make.again ? RandomStream(seed, "again").next() : seed,
                                     .step = static_cast<uint64_t>(s.state.step),
                                     .keep_routes = make.routes,
                                     .on_request = on_request,
                                     .records = round.records});
  const auto decoded = std::chrono::steady_clock::now();
  const auto span = s.phases->in(Phase::kReward);
  for (size_t u = 0; u < round.requests.size(); ++u)
    if (units[u].rollouts.empty()) fill(u, completions[u]);

  std::vector<ScoredItem> early;  // by the rewards that look at each item alone
  if (worker) {
    std::vector<size_t> sizes;
    for (const Unit& unit : units) sizes.push_back(unit.rollouts.size());
    s.progress->inner("scoring");
    early = shared_scores(
        s.ranks, sizes, [&] { return worker->wait([&] { s.check_signal_in_share(); }); },
        [&](int signal) { s.stop_for(signal); });
    worker.reset();
  }
  auto next = early.begin();
  for (Unit& unit : units) {
    for (Rollout& r : unit.rollouts) {
      if (!early.empty()) r.parts = std::move((next++)->parts);
      groups[unit.group].rollouts.push_back(std::move(r));
    }
  }
  if (early.empty()) {
    score(s, groups);
  } else {
    join_scores(s, groups);
  }
  return seconds_since(decoded);
}

}  // namespace temper
