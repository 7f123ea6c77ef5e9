#include "train/groups/replay.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace temper {
namespace {

// So that what has no priority at all can be drawn: the epsilon of arXiv 1511.05952.
constexpr double kLeastPriority = 1e-6;

// Places of the items, the highest priority first, of equal ones the newer.
std::vector<size_t> by_priority(const std::vector<ReplayItem>& items) {
  std::vector<size_t> order(items.size());
  std::iota(order.rbegin(), order.rend(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return *items[a].priority > *items[b].priority; });
  return order;
}

}  // namespace

// -------------------------------------------------------------------------------------------------- kinds

const Registry<ReplayOptions>& replay_registry() {
  static const Registry<ReplayOptions> registry = [] {
    Registry<ReplayOptions> r("replay");
    r.add({"uniform", "every group as likely as every other", "", std::make_unique<UniformReplay>});
    r.add({"recency", "newer groups more likely: decay^age", "Temper", std::make_unique<RecencyReplay>});
    r.add({"btp", "groups by probability and pass rate, failed ones included",
           "Chen et al., arXiv 2410.12236", std::make_unique<BtpReplay>});
    return r;
  }();
  return registry;
}

std::vector<double> UniformReplay::log_weights(const std::vector<ReplayItem>& items) const {
  return std::vector<double>(items.size(), 0.0);
}

void RecencyReplay::fields(FieldVisitor& v) {
  v.field("decay", decay,
          {.help = "a group's chance, over that of one a step newer", .min = 0.001, .max = 1});
}

std::vector<double> RecencyReplay::log_weights(const std::vector<ReplayItem>& items) const {
  std::vector<double> out;
  // Ages beyond the newest's: the rest is a factor of all.
  for (const ReplayItem& item : items)
    out.push_back(static_cast<double>(items.back().step - item.step) * std::log(decay));
  return out;
}

void BtpReplay::fields(FieldVisitor& v) {
  v.field("alpha", alpha,
          {.help = "weight of a completion's probability in its priority; the rest is the pass rate's",
           .min = 0,
           .max = 1});
  v.field("probability", probability,
          {.help = "of a completion: the product over its tokens, or their geometric mean",
           .choices = {"sequence", "mean"}});
  v.field("draw", draw,
          {.help = "chances by the priority itself or by its rank", .choices = {"proportional", "rank"}});
  v.field("exponent", exponent,
          {.help = "of the priority, or of 1 / rank; 0: all alike", .min = 0, .max = 10});
  v.field("evict", evict,
          {.help = "what leaves a full buffer: the oldest group, or the one of lowest priority",
           .choices = {"oldest", "lowest"}});
}

std::optional<double> BtpReplay::priority(const RolloutGroup& group) const {
  double sum = 0;
  for (const Rollout& r : group.rollouts) {
    double logp = 0;
    for (const float token : r.logp_old) logp += token;
    if (probability == "mean" && !r.logp_old.empty()) logp /= static_cast<double>(r.logp_old.size());
    const double pass_rate = std::clamp(r.reward.value_or(0.0), 0.0, 1.0);
    sum += alpha * std::exp(logp) + (1 - alpha) * pass_rate;
  }
  return sum / static_cast<double>(group.rollouts.size());
}

std::vector<double> BtpReplay::log_weights(const std::vector<ReplayItem>& items) const {
  std::vector<double> out(items.size());
  if (draw == "rank") {
    const std::vector<size_t> order = by_priority(items);
    for (size_t i = 0; i < order.size(); ++i)
      out[order[i]] = -exponent * std::log(static_cast<double>(i + 1));
  } else {
    for (size_t i = 0; i < items.size(); ++i)
      out[i] = exponent * std::log(*items[i].priority + kLeastPriority);
  }
  return out;
}

size_t BtpReplay::leaves(const std::vector<ReplayItem>& items) const {
  return evict == "lowest" ? by_priority(items).back() : 0;
}

// ------------------------------------------------------------------------------------------------ section

void ReplaySection::fields(FieldVisitor& v) {
  v.field("share", share,
          {.help = "share of a step's prompts whose groups are ones of earlier steps, learnt from again; 0: "
                   "none",
           .min = 0,
           .max = 0.99});
  v.field("capacity", capacity,
          {.help = "groups that are kept for it; they are part of every checkpoint, about 50 bytes a token",
           .unit = "groups",
           .min = 1,
           .max = 1 << 20});
  v.field("from_step", from_step,
          {.help = "replay begins when so many steps are done; groups are kept from the first",
           .unit = "steps",
           .min = 0});
  v.choice_here("kind", options, kind, replay_registry());
}

int64_t ReplaySection::replayed_prompts(int64_t prompts) const {
  const auto rounded = static_cast<int64_t>(std::lround(share * static_cast<double>(prompts)));
  return std::clamp<int64_t>(rounded, 1, prompts);
}

// --------------------------------------------------------------------------------------------------- draws

std::vector<double> draw_probabilities(const std::vector<double>& log_weights) {
  std::vector<double> out;
  if (log_weights.empty()) return out;
  const double most = *std::max_element(log_weights.begin(), log_weights.end());
  double sum = 0;
  for (const double w : log_weights) sum += out.emplace_back(std::exp(w - most));
  for (double& p : out) p /= sum;
  return out;
}

std::vector<size_t> draw_items(std::vector<double> log_weights, int64_t count, uint64_t seed, uint64_t step) {
  std::vector<size_t> places(log_weights.size()), out;
  std::iota(places.begin(), places.end(), size_t{0});
  for (int64_t i = 0; i < count && !places.empty(); ++i) {
    const std::vector<double> p = draw_probabilities(log_weights);
    const double u = RandomStream(seed, "replay", step, static_cast<uint64_t>(i)).uniform();
    size_t chosen = 0;
    for (double below = p[0]; below <= u && chosen + 1 < p.size(); below += p[chosen]) ++chosen;
    out.push_back(places[chosen]);
    places.erase(places.begin() + static_cast<std::ptrdiff_t>(chosen));
    log_weights.erase(log_weights.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  return out;
}

std::vector<RolloutGroup> draw_replay(const ReplaySection& section, const RunState& state, uint64_t seed,
                                      int64_t prompts) {
  std::vector<RolloutGroup> out;
  if (state.step < section.from_step) return out;
  const std::vector<size_t> drawn =
      draw_items(section.options->log_weights(state.replay), section.replayed_prompts(prompts), seed,
                 static_cast<uint64_t>(state.step));
  for (const size_t i : drawn) {
    const ReplayItem& item = state.replay[i];
    out.push_back(RolloutGroup::from_json(parse_json(item.group, "a group of the replay buffer")));
    out.back().age = state.step - item.step;
  }
  return out;
}

void add_to_replay(const ReplaySection& section, RunState& state, const std::vector<RolloutGroup>& groups) {
  for (const RolloutGroup& g : groups) {
    if (g.fresh()) state.replay.push_back({state.step, section.options->priority(g), dump_line(g.to_json())});
  }
  while (static_cast<int64_t>(state.replay.size()) > section.capacity) {
    state.replay.erase(state.replay.begin() +
                       static_cast<std::ptrdiff_t>(section.options->leaves(state.replay)));
  }
}

NamedValues replay_metrics(const ReplaySection& section, const RunState& state,
                           const std::vector<RolloutGroup>& groups) {
  double count = 0, age = 0, priority = 0, reward = 0, rewards = 0;
  for (const RolloutGroup& g : groups) {
    if (g.age == 0) continue;
    count += 1;
    age += static_cast<double>(g.age);
    priority += section.options->priority(g).value_or(std::numeric_limits<double>::quiet_NaN());
    for (const Rollout& r : g.rollouts) {
      reward += r.reward.value_or(0);
      rewards += r.reward ? 1 : 0;
    }
  }
  NamedValues out = {{"replay_size", static_cast<double>(state.replay.size())}, {"replayed_groups", count}};
  if (count > 0) {
    out.emplace_back("replay_age", age / count);
    if (rewards > 0) out.emplace_back("replay_reward", reward / rewards);
    if (!std::isnan(priority)) out.emplace_back("replay_priority", priority / count);
  }
  return out;
}

}  // namespace temper
