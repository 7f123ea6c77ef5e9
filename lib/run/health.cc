#include "run/health.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

constexpr int64_t kRepeatSteps = 50;

// A robust normal deviation is 1.4826 times the median absolute deviation. The floors keep a very calm
// stretch from making the band so narrow that an ordinary hard batch falls out of it.
constexpr double kMadToDeviation = 1.4826;
constexpr double kLossFloor = 0.05;          // nats per token
constexpr double kLossRelativeFloor = 0.05;  // of the median
constexpr double kGradRelativeFloor = 0.25;  // of the median; gradient norms are heavy-tailed

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

struct Band {
  double centre, deviation;
};

Band running_band(const std::deque<double>& recent, double floor, double relative_floor) {
  const double centre = median({recent.begin(), recent.end()});
  std::vector<double> distances;
  for (double value : recent) distances.push_back(std::abs(value - centre));
  return {centre, std::max({kMadToDeviation * median(std::move(distances)), floor,
                            relative_floor * std::abs(centre)})};
}

template <typename T>
void push(std::deque<T>& recent, T value, int64_t window) {
  recent.push_back(value);
  while (static_cast<int64_t>(recent.size()) > window) recent.pop_front();
}

const Json& member(const Json& state, const char* key, const std::string& where) {
  if (!state.is_object() || !state.contains(key))
    user_error("{}: the health state has no \"{}\"", where, key);
  return state.at(key);
}

}  // namespace

void HealthOptions::fields(FieldVisitor& v) {
  v.field("window", window,
          {.help = "how far the running median and deviation look back",
           .unit = "steps",
           .min = 8,
           .max = 100000});
  v.field("warmup", warmup,
          {.help = "how many steps pass before the bands apply", .unit = "steps", .min = 2});
  v.field(
      "loss_band", loss_band,
      {.help = "skip a step whose loss is this many robust deviations from its running median; 0 never does",
       .min = 0});
  v.field("grad_band", grad_band,
          {.help = "skip a step whose gradient norm is this many robust deviations above its running median; "
                   "0 never does",
           .min = 0});
  v.field("max_bad_in_a_row", max_bad_in_a_row,
          {.help = "stop the run after this many bad steps in a row", .unit = "steps", .min = 1});
  v.field("max_bad_share", max_bad_share,
          {.help = "stop the run when more than this share of the last `window` steps were bad",
           .min = 0,
           .max = 1});
}

void HealthOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (warmup > window) {
    problems.push_back(
        fmt::format("{}.warmup: {} steps never fit into the window of {}: the bands would never apply", where,
                    warmup, window));
  }
}

Health::Health(const HealthOptions& options) : options_(options) {}

std::optional<std::string> Health::check(int64_t step, double loss, double grad_norm) {
  std::optional<std::string> bad;
  const auto enough = [&](const std::deque<double>& recent) {
    return static_cast<int64_t>(recent.size()) >= options_.warmup;
  };
  if (!std::isfinite(loss)) {
    bad = fmt::format("the loss is {}", loss);
  } else if (!std::isfinite(grad_norm)) {
    bad = fmt::format("the gradient norm is {}", grad_norm);
  } else if (options_.loss_band > 0 && enough(losses_)) {
    const Band band = running_band(losses_, kLossFloor, kLossRelativeFloor);
    const double reach = options_.loss_band * band.deviation;
    if (std::abs(loss - band.centre) > reach) {
      bad = fmt::format(
          "the loss {:.4g} is far from its running median {:.4g} (up to {:.4g} away is let through)", loss,
          band.centre, reach);
    }
  }
  if (!bad && options_.grad_band > 0 && enough(grads_)) {
    const Band band = running_band(grads_, 0, kGradRelativeFloor);
    const double most = band.centre + options_.grad_band * band.deviation;
    if (grad_norm > most) {
      bad = fmt::format(
          "the gradient norm {:.4g} is far above its running median {:.4g} (up to {:.4g} is let through)",
          grad_norm, band.centre, most);
    }
  }
  // Outliers are kept too: the median shrugs off a few. An exact zero means a step without a signal, which
  // says nothing about the size of one with it.
  if (std::isfinite(loss) && loss != 0) push(losses_, loss, options_.window);
  if (std::isfinite(grad_norm) && grad_norm != 0) push(grads_, grad_norm, options_.window);
  push(bad_, bad.has_value(), options_.window);
  bad_in_a_row_ = bad ? bad_in_a_row_ + 1 : 0;
  if (!bad) return std::nullopt;

  ++skipped_;
  constexpr const char* kTry =
      "the last checkpoint is good; try a lower optimizer.lr, a longer schedule.warmup, a smaller "
      "optimizer.clip_norm "
      "or \"model\": {\"dtype\": \"f32\"}, or look at the data of these steps";
  if (bad_in_a_row_ >= options_.max_bad_in_a_row) {
    user_error(
        "step {}: stopped after {} bad steps in a row (health.max_bad_in_a_row), the last because {}; {}",
        step, bad_in_a_row_, *bad, kTry);
  }
  const auto count = std::count(bad_.begin(), bad_.end(), true);
  const auto window = static_cast<double>(options_.window);
  if (static_cast<int64_t>(bad_.size()) == options_.window &&
      static_cast<double>(count) > options_.max_bad_share * window) {
    user_error(
        "step {}: stopped after {} bad steps among the last {} (health.max_bad_share), the last because {}; "
        "{}",
        step, count, options_.window, *bad, kTry);
  }
  return bad;
}

std::vector<std::string> Health::advise(const MetricsRow& row, const std::vector<Advice>& of_task) {
  std::vector<std::string> out;
  const auto say = [&](const std::string& key, bool once, std::string text) {
    const auto last = said_.find(key);
    if (last != said_.end() && (once || row.step - last->second < kRepeatSteps)) return;
    said_[key] = row.step;
    out.push_back(std::move(text));
  };
  if (row.split != "train") return out;
  const auto value = [&](const char* name) { return row.find(name); };
  for (const Advice& advice : of_task) say(advice.key, advice.once, advice.text);
  if (value("truncated").value_or(0) > 0.5) {
    say("truncated", false,
        fmt::format(
            "{:.0f} % of the answers were cut off at rollout.max_new_tokens before they ended, and what is "
            "cut "
            "off seldom earns a reward: raise max_new_tokens, or start from a model that ends its answers",
            100 * *value("truncated")));
  }
  const double nulls = value("null_rewards").value_or(0);
  const bool no_signal = value("groups_kept").value_or(1) == 0;
  if (nulls >= 0.5 || (no_signal && nulls > 0)) {
    say("null_rewards", false,
        fmt::format("{:.0f} % of the rewards are null, and what has no reward teaches nothing: look at the "
                    "rewards in samples.jsonl, at the references in the data and, of an external program, at "
                    "its answers",
                    100 * nulls));
  } else if (no_signal) {
    say("no_signal", false,
        "all answers to a question got the same reward, in every group of this step, so there was nothing to "
        "learn "
        "from: try easier or harder questions, a larger rollout.group_size, or a finer reward");
  }
  if (value("rollout_gap").value_or(0) > 0.05) {
    say("rollout_gap", false,
        fmt::format("sampling and training disagree by {:.3g} nats a token on average (rollout_gap): the "
                    "ratios are off "
                    "by as much; try \"model\": {{\"dtype\": \"f32\"}}",
                    *value("rollout_gap")));
  }
  return out;
}

Json Health::state() const {
  return {{"losses", losses_},   {"grads", grads_}, {"bad", bad_}, {"bad_in_a_row", bad_in_a_row_},
          {"skipped", skipped_}, {"said", said_}};
}

void Health::restore(const Json& state, const std::string& where) {
  try {
    losses_ = member(state, "losses", where).get<std::deque<double>>();
    grads_ = member(state, "grads", where).get<std::deque<double>>();
    bad_ = member(state, "bad", where).get<std::deque<bool>>();
    bad_in_a_row_ = member(state, "bad_in_a_row", where).get<int64_t>();
    skipped_ = member(state, "skipped", where).get<int64_t>();
    said_ = member(state, "said", where).get<std::map<std::string, int64_t>>();
  } catch (const Json::exception&) {
    user_error("{}: the health state has a value of the wrong type", where);
  }
  const auto window = static_cast<size_t>(options_.window);
  const auto infinite = [](double value) { return !std::isfinite(value); };
  if (losses_.size() > window || grads_.size() > window || bad_.size() > window || bad_in_a_row_ < 0 ||
      skipped_ < bad_in_a_row_ || std::any_of(losses_.begin(), losses_.end(), infinite) ||
      std::any_of(grads_.begin(), grads_.end(), infinite))
    user_error("{}: the health state has a value out of its range", where);
}

}  // namespace temper
