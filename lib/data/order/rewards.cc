// Orders of prompts by what the policy's completions of them were rewarded with.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/error.h"
#include "data/order/kinds.h"

namespace temper {
namespace {

// The mean of what could be scored; nullopt: nothing could.
std::optional<double> mean_reward(const Observation& seen) {
  double sum = 0, n = 0;
  for (const double reward : seen.rewards) {
    if (std::isnan(reward)) continue;
    sum += reward;
    n += 1;
  }
  return n > 0 ? std::optional(sum / n) : std::nullopt;
}

// A prompt's rate is the mean reward of its completions by the full reward: the column's to begin with, then
// keep * rate + (1 - keep) * the newest group's. One without a rate counts as within the window. Each draw is
// any prompt within the window, or, with probability `explore`, any other.
struct PassRateOptions : OrderOptions {
  double low = 0.1, high = 0.9, full = 1, keep = 0.5, explore = 0.1;
  std::string column;
  void fields(FieldVisitor& v) override {
    v.field("low", low, {.help = "prompts with a lower rate are left out"});
    v.field("high", high, {.help = "prompts with a higher rate are left out"});
    v.field("full", full, {.help = "the reward of a completion that is wholly right", .min = 1e-6});
    v.field("column", column,
            {.help = "a column with the rate of each prompt at first; left out: all have none"});
    v.field("keep", keep,
            {.help = "share of a prompt's rate that stays when it is observed again", .min = 0, .max = 1});
    v.field("explore", explore,
            {.help = "share of the draws that goes to prompts outside of the window", .min = 0, .max = 1});
  }
  std::vector<Observes> needs() const override { return {Observes::kRewards}; }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (low > high)
      problems.push_back(
          fmt::format("{}: low {} is above high {}, so no prompt is within", where, low, high));
  }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class PassRate : public Order {
 public:
  PassRate(const OrderData& data, const PassRateOptions& o)
      : o_(o), seed_(data.seed), rates_(static_cast<size_t>(data.count), kUnknown) {
    bool found = o.column.empty();
    for (size_t i = 0; i < rates_.size() && !o.column.empty(); ++i) {
      const Record record = data.record(static_cast<int64_t>(i));
      if (!has_column(record.json, o.column)) continue;
      rates_[i] = number_column(record, o.column, "data.order");
      found = true;
    }
    if (!found) user_error("data.order.column: no record has a column \"{}\"", o.column);
    sort();
    demand_some("");
  }

  int64_t at(int64_t, int64_t position) const override {
    RandomStream random(seed_, "pass rate", position);
    const bool explores = random.uniform() < o_.explore;
    if (within_.empty() || (explores && !outside_.empty())) return pick(random, outside_);
    return pick(random, within_);
  }

  void observe(int64_t step, int64_t, const std::vector<Observation>& seen) override {
    for (const Observation& one : seen) {
      const std::optional<double> mean = mean_reward(one);
      if (!mean) continue;
      double& rate = rates_[one.record];
      rate = std::isnan(rate) ? *mean / o_.full : o_.keep * rate + (1 - o_.keep) * *mean / o_.full;
    }
    sort();
    if (o_.explore == 0) demand_some(fmt::format(" after step {}", step + 1));
  }

  Json state() const override {
    Json known = Json::array();
    for (size_t i = 0; i < rates_.size(); ++i)
      if (!std::isnan(rates_[i])) known.push_back({i, rates_[i]});
    return {{"rates", std::move(known)}};
  }
  void restore(const Json& state) override {
    rates_.assign(rates_.size(), kUnknown);
    for (const Json& pair : state.at("rates")) rates_.at(pair.at(0).get<size_t>()) = pair.at(1).get<double>();
    sort();
  }
  std::vector<std::pair<std::string, double>> metrics() const override {
    return {{"order/within", static_cast<double>(within_.size())},
            {"order/outside", static_cast<double>(outside_.size())}};
  }

 private:
  static constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

  void sort() {
    within_.clear();
    outside_.clear();
    for (size_t i = 0; i < rates_.size(); ++i) {
      const bool out = rates_[i] < o_.low || rates_[i] > o_.high;
      (out ? outside_ : within_).push_back(static_cast<int64_t>(i));
    }
  }
  void demand_some(const std::string& when) const {
    if (!within_.empty()) return;
    user_error("data.order: no prompt has a pass rate from {} to {}{}; widen the window{}", o_.low, o_.high,
               when, when.empty() ? "" : ", or give \"explore\" a share");
  }
  PassRateOptions o_;
  uint64_t seed_;
  std::vector<double> rates_;
  std::vector<int64_t> within_, outside_;
};

std::unique_ptr<Order> PassRateOptions::make(const OrderData& data) const {
  return std::make_unique<PassRate>(data, *this);
}

// Reward-based curriculum sampling. The first stage_steps steps take all prompts. S is the sum of a prompt's
// rewards over its group of G completions, the last time that one was sampled in those steps. After them the
// prompts stay for which S < G * full, and those that were not sampled. A null is not a full reward.
struct RcsOptions : OrderOptions {
  int64_t stage_steps = 60;
  double full = 1;
  void fields(FieldVisitor& v) override {
    v.field("stage_steps", stage_steps, {.help = "steps on all prompts", .unit = "steps", .min = 1});
    v.field("full", full, {.help = "the reward of a completion that is wholly right"});
  }
  std::vector<Observes> needs() const override { return {Observes::kRewards}; }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class Rcs : public Order {
 public:
  Rcs(const OrderData& data, const RcsOptions& o)
      : o_(o), seed_(data.seed), solved_(data.count, false), all_(data.count, data.seed, "shuffle") {}

  int64_t at(int64_t, int64_t position) const override {
    return kept_ == nullptr ? all_.at(position) : unsolved_[kept_->at(position - from_)];
  }

  void observe(int64_t step, int64_t next, const std::vector<Observation>& seen) override {
    if (kept_ != nullptr) return;
    for (const Observation& one : seen) {
      double sum = 0;
      for (const double reward : one.rewards) sum += std::isnan(reward) ? 0 : reward;
      // Rewards of several parts may miss their sum by rounding.
      const double most = static_cast<double>(one.rewards.size()) * o_.full;
      solved_[one.record] = !one.rewards.empty() && sum >= most - 1e-9 * std::abs(most);
    }
    if (step + 1 >= o_.stage_steps) begin_second_stage(next);
  }

  Json state() const override {
    Json solved = Json::array();
    for (size_t i = 0; i < solved_.size(); ++i)
      if (solved_[i]) solved.push_back(i);
    return {{"solved", std::move(solved)}, {"second_stage_from", kept_ == nullptr ? -1 : from_}};
  }
  void restore(const Json& state) override {
    solved_.assign(solved_.size(), false);
    for (const Json& record : state.at("solved")) solved_.at(record.get<size_t>()) = true;
    const int64_t from = state.at("second_stage_from").get<int64_t>();
    if (from >= 0) begin_second_stage(from);
  }
  std::vector<std::pair<std::string, double>> metrics() const override {
    const auto solved = static_cast<double>(std::count(solved_.begin(), solved_.end(), true));
    return {{"order/stage", kept_ == nullptr ? 1.0 : 2.0}, {"order/solved", solved}};
  }

 private:
  void begin_second_stage(int64_t from) {
    for (size_t i = 0; i < solved_.size(); ++i)
      if (!solved_[i]) unsolved_.push_back(static_cast<int64_t>(i));
    if (unsolved_.empty()) {
      user_error(
          "data.order: after {} steps all {} prompts were solved perfectly, none is left; lower "
          "data.order.stage_steps, or train.steps to it",
          o_.stage_steps, solved_.size());
    }
    from_ = from;
    kept_ = std::make_unique<RecordOrder>(static_cast<int64_t>(unsolved_.size()),
                                          RandomStream(seed_, "second stage").next(), "shuffle");
  }
  RcsOptions o_;
  uint64_t seed_;
  std::vector<bool> solved_;
  RecordOrder all_;
  std::vector<int64_t> unsolved_;
  std::unique_ptr<RecordOrder> kept_;  // null: the first stage
  int64_t from_ = 0;                   // its first draw
};

std::unique_ptr<Order> RcsOptions::make(const OrderData& data) const {
  return std::make_unique<Rcs>(data, *this);
}

}  // namespace

std::unique_ptr<OrderOptions> pass_rate_order() {
  return std::make_unique<PassRateOptions>();
}
std::unique_ptr<OrderOptions> rcs_order() {
  return std::make_unique<RcsOptions>();
}

}  // namespace temper
