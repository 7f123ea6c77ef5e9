#include "reward/reward.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

constexpr std::chrono::milliseconds kWait(100);

std::optional<double> combined(const std::string& how, const std::vector<double>& weights,
                               const std::vector<std::optional<double>>& parts) {
  std::optional<double> total;
  bool counts = false;
  for (size_t r = 0; r < parts.size(); ++r) {
    if (weights[r] == 0) continue;
    counts = true;
    if (!parts[r] && how == "first") continue;
    if (!parts[r]) return std::nullopt;
    const double part = weights[r] * *parts[r];
    if (how == "first") return part;
    if (!total)
      total = part;
    else if (how == "sum")
      *total += part;
    else if (how == "product")
      *total *= part;
    else
      *total = std::min(*total, part);
  }
  return total || counts ? total : std::optional(0.0);  // nothing has a weight: rewards only watched
}

}  // namespace

Json to_json(const Score& score) {
  const Json value = score.value ? Json(*score.value) : Json(nullptr);
  if (score.text.empty() && score.outcome.empty() && score.steps.empty()) return value;
  Json steps = Json::array();
  for (const StepScore& step : score.steps) steps.push_back({step.end, step.score});
  return Json::array({value, score.text, score.outcome, steps});
}

Score score_from_json(const Json& json) {
  const Json& value = json.is_array() ? json.at(0) : json;
  Score out;
  if (!value.is_null()) out.value = value.get<double>();
  if (!json.is_array()) return out;
  out.text = json.at(1).get<std::string>();
  out.outcome = json.at(2).get<std::string>();
  for (const Json& step : json.at(3)) out.steps.push_back({step.at(0), step.at(1)});
  return out;
}

void write_parts(Json& row, const std::vector<std::string>& names, const ScoredItem& item) {
  row["rewards"] = Json::object();
  for (size_t r = 0; r < names.size(); ++r) {
    const Score& part = item.parts[r];
    row["rewards"][names[r]] = number_or_null(part.value);
    if (item.counted[r] != part.value) row["reward_transformed"][names[r]] = number_or_null(item.counted[r]);
    if (!part.text.empty()) row["reward_texts"][names[r]] = part.text;
    if (!part.outcome.empty()) row["reward_outcomes"][names[r]] = part.outcome;
  }
}

void write_scores(Json& row, const std::vector<std::string>& names, const ScoredItem& item) {
  row["reward"] = number_or_null(item.total);
  write_parts(row, names, item);
}

const std::vector<std::string>& reward_combinations() {
  static const std::vector<std::string> names = {"sum", "product", "min", "first"};
  return names;
}

void RewardEntry::fields(FieldVisitor& v) {
  v.field("name", name, {.help = "its name in metrics and samples; empty: the kind"});
  v.field("weight", weight, {.help = "factor in the combined reward; 0: only reported"});
  v.list("transforms", transforms, "what its numbers go through before they count, in this order");
  v.choice_here("kind", options, kind, reward_registry());
}

void RewardEntry::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!std::isfinite(weight)) problems.push_back(where + ".weight: expected a finite number");
  if (name.find_first_of("/ \t\n") != std::string::npos)
    problems.push_back(where + ".name: expected no spaces and no slashes");
  std::string before;  // the first that leaves reference answers behind
  for (size_t i = 0; i < transforms.size(); ++i) {
    const auto& [kind, options] = std::tie(transforms[i].kind, transforms[i].options);
    if (options == nullptr) continue;
    if (options->reference_samples() > 0 && !before.empty())
      problems.push_back(fmt::format(
          "{}.transforms.{}: {} compares with answers of the initial model, which \"{}\" before it does not "
          "transform with the completions; put it before that",
          where, i, kind, before));
    if (!options->of_each_number() && before.empty()) before = kind;
  }
}

int64_t RewardEntry::reference_samples() const {
  int64_t most = 0;
  for (const TransformEntry& transform : transforms)
    if (transform.options != nullptr) most = std::max(most, transform.options->reference_samples());
  return most;
}

RewardSet::RewardSet(const std::vector<RewardEntry>& entries, std::string combine)
    : combine_(std::move(combine)) {
  const auto& known = reward_combinations();
  if (std::find(known.begin(), known.end(), combine_) == known.end()) {
    user_error("rewards: expected one of sum, product, min, first to combine them, found \"{}\"", combine_);
  }
  if (entries.empty()) user_error("rewards: expected at least one, as {{\"kind\": \"math\"}}");
  std::set<std::string> taken;
  for (const RewardEntry& entry : entries) {
    names_.push_back(entry.name.empty() ? entry.kind : entry.name);
    if (!taken.insert(names_.back()).second)
      user_error("rewards: two are called \"{}\"; give each a \"name\" of its own", names_.back());
    if (names_.back() == "reward")
      user_error("rewards: \"reward\" is the name of what they add up to; expected another \"name\"");
    weights_.push_back(entry.weight);
  }
  for (size_t r = 0; r < entries.size(); ++r) chains_.push_back(chain_of(entries[r], r));
  for (const RewardEntry& entry : entries) {
    rewards_.push_back(entry.options->make());
    outcomes_.push_back(rewards_.back()->outcomes());
  }
}

RewardSet::Chain RewardSet::chain_of(const RewardEntry& entry, size_t reward) {
  Chain chain;
  chain.compares = entry.reference_samples() > 0;
  reference_samples_ = std::max(reference_samples_, entry.reference_samples());
  for (const TransformEntry& transform : entry.transforms) {
    const TransformOptions& options = *transform.options;
    chain.transforms.push_back(options.make());
    const std::string other = options.other();
    if (other.empty()) continue;
    const auto found = std::find(names_.begin(), names_.end(), other);
    if (found == names_.end() || other == names_[reward])
      user_error("rewards: the transform {} of \"{}\" reads another reward, \"{}\"; there are: {}",
                 transform.kind, names_[reward], other, fmt::join(names_, ", "));
    chain.others[other] = static_cast<size_t>(found - names_.begin());
  }
  return chain;
}

std::vector<ScoredItem> RewardSet::parts(const std::vector<RewardItem>& items,
                                         const std::function<void()>& on_wait, ScoredBy by) {
  items_scored_ += static_cast<int64_t>(items.size());
  // Those that wait for others are set going first; the rest are scored meanwhile.
  std::vector<std::future<std::vector<Score>>> waits(rewards_.size());
  const std::vector<Score> none(items.size());
  std::vector<std::vector<Score>> scored(rewards_.size(), none);
  for (size_t r = 0; r < rewards_.size(); ++r) {
    if (!scores(r, by)) continue;
    if (rewards_[r]->external() && (rewards_.size() > 1 || on_wait)) {
      waits[r] = std::async(std::launch::async,
                            [&items, reward = rewards_[r].get()] { return reward->score(items); });
    }
  }
  try {
    for (size_t r = 0; r < rewards_.size(); ++r) {
      if (!waits[r].valid() && scores(r, by)) scored[r] = rewards_[r]->score(items);
    }
    for (size_t r = 0; r < rewards_.size(); ++r) {
      if (!waits[r].valid()) continue;
      while (on_wait && waits[r].wait_for(kWait) != std::future_status::ready) on_wait();
      scored[r] = waits[r].get();
    }
  } catch (...) {
    for (const auto& reward : rewards_) reward->interrupt();  // the futures wait for them
    throw;
  }
  std::vector<ScoredItem> out(items.size());
  for (size_t i = 0; i < items.size(); ++i)
    for (size_t r = 0; r < rewards_.size(); ++r) out[i].parts.push_back(std::move(scored[r].at(i)));
  return out;
}

std::vector<ScoredItem> RewardSet::score(const std::vector<RewardItem>& items,
                                         const std::function<void()>& on_wait) {
  std::vector<ScoredItem> out = parts(items, on_wait);
  settle(items, out);
  return out;
}

ScoredItem RewardSet::join(ScoredItem each_alone, const ScoredItem& others) const {
  for (size_t r = 0; r < rewards_.size(); ++r) {
    if (!rewards_[r]->each_alone()) each_alone.parts.at(r) = others.parts.at(r);
  }
  return each_alone;
}

void RewardSet::settle(const std::vector<RewardItem>& items, std::vector<ScoredItem>& scored,
                       const std::vector<const ReferenceScores*>& reference) const {
  if (reference_samples_ > 0 && reference.empty() && !items.empty())
    user_error(
        "rewards: a transform compares with answers of the initial model, which only a run's rollouts and "
        "evaluations have; give their rewards as a column (\"reference\": \"column\")");
  for (ScoredItem& item : scored) item.counted.clear();
  for (size_t r = 0; r < rewards_.size(); ++r) {
    const auto numbers = counted(r, items, scored, reference);
    for (size_t i = 0; i < scored.size(); ++i) scored[i].counted.push_back(numbers[i]);
  }
  for (ScoredItem& item : scored) item.total = combined(combine_, weights_, item.counted);
}

std::vector<std::optional<double>> RewardSet::counted(
    size_t reward, const std::vector<RewardItem>& items, const std::vector<ScoredItem>& scored,
    const std::vector<const ReferenceScores*>& reference) const {
  const Chain& chain = chains_[reward];
  const auto said = [&](size_t r) {
    std::vector<std::optional<double>> out;
    for (const ScoredItem& item : scored) out.push_back(item.parts.at(r).value);
    return out;
  };
  TransformBatch batch;
  batch.values = said(reward);
  if (chain.transforms.empty()) return std::move(batch.values);
  for (const auto& [name, other] : chain.others) batch.others[name] = said(other);
  for (const RewardItem& item : items) batch.columns.push_back(item.columns);
  for (size_t i = 0; chain.compares && i < items.size(); ++i)
    batch.reference.push_back(reference.at(i)->at(reward));
  for (const Transform& transform : chain.transforms) transform(batch);
  for (size_t i = 0; i < scored.size(); ++i) {
    if (batch.values[i] && !std::isfinite(*batch.values[i]))
      user_error("rewards: the transforms of \"{}\" make {} of {}; clip the number before them",
                 names_[reward], *batch.values[i], scored[i].parts[reward].value.value_or(0));
  }
  return std::move(batch.values);
}

bool RewardSet::scores(size_t reward, ScoredBy by) const {
  if (by == ScoredBy::kAll) return true;
  if (by == ScoredBy::kCompared) return chains_[reward].compares;
  return rewards_[reward]->each_alone() == (by == ScoredBy::kEachAlone);
}

bool RewardSet::has(ScoredBy by) const {
  for (size_t r = 0; r < rewards_.size(); ++r)
    if (scores(r, by)) return true;
  return false;
}

size_t RewardSet::step_scorer(const std::string& name, const std::string& where) const {
  const auto at = std::find(names_.begin(), names_.end(), name);
  std::string known;
  for (const std::string& one : names_) known += (known.empty() ? "" : ", ") + one;
  if (at == names_.end()) user_error("{}: no reward is called \"{}\"; there are: {}", where, name, known);
  const auto index = static_cast<size_t>(at - names_.begin());
  if (!rewards_[index]->scores_steps()) {
    user_error(
        "{}: the reward \"{}\" scores whole completions; expected one that scores steps, such as a \"model\" "
        "with "
        "\"aggregate\"",
        where, name);
  }
  return index;
}

bool RewardSet::external() const {
  return std::any_of(rewards_.begin(), rewards_.end(), [](const auto& r) { return r->external(); });
}

std::vector<std::optional<std::string>> RewardSet::check(const Json& columns) const {
  std::vector<std::optional<std::string>> out;
  for (const auto& reward : rewards_) out.push_back(reward->check(columns));
  return out;
}

std::optional<int64_t> RewardSet::answering() const {
  for (size_t r = 0; r < rewards_.size(); ++r) {
    if (rewards_[r]->knows_answers()) return static_cast<int64_t>(r);
  }
  return std::nullopt;
}

std::optional<std::string> RewardSet::answer(const RewardItem& item) const {
  const auto index = answering();
  return index ? rewards_[static_cast<size_t>(*index)]->answer(item) : std::nullopt;
}

std::optional<std::string> RewardSet::compared_as(const Json& columns) const {
  for (const auto& reward : rewards_)
    if (auto kind = reward->compared_as(columns)) return kind;
  return std::nullopt;
}

std::map<std::string, int64_t> RewardSet::counters() const {
  std::map<std::string, int64_t> out;
  for (size_t r = 0; r < rewards_.size(); ++r)
    for (const auto& [counter, count] : rewards_[r]->counters()) out[names_[r] + "/" + counter] = count;
  return out;
}

}  // namespace temper
