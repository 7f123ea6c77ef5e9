#include "objective/inspect.h"

#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "objective/policy.h"
#include "objective/ratio.h"
#include "objective/supervised.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

const std::vector<std::string> kKnown = {"logp",    "logp_old",  "logp_ref", "logp_rollout",
                                         "entropy", "advantage", "reward",   "group",
                                         "include", "greedy",    "rewards"};

double finite_number(const Json& value, const std::string& where) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    user_error("{}: expected a finite number, found {}", where, value.dump().substr(0, 60));
  }
  return value.get<double>();
}

// The input as columns. A column is there when every sequence has it; some with and some without is an error.
class Columns {
 public:
  explicit Columns(const Json& batch) {
    if (!batch.is_object() || !batch.contains("sequences") || !batch["sequences"].is_array()) {
      user_error("input: expected an object with \"sequences\", an array of objects");
    }
    for (const auto& [key, value] : batch.items()) {
      const std::vector<std::string> known = {"sequences", "max_length", "reward_weights"};
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        user_error("input: unknown key \"{}\"; known here: {}", key, fmt::join(known, ", "));
      }
    }
    sequences_ = &batch["sequences"];
    for (size_t i = 0; i < size(); ++i) check_keys((*sequences_)[i], fmt::format("sequences.{}", i));
  }

  size_t size() const { return sequences_->size(); }

  bool has(const std::string& key) const {
    const auto with =
        std::count_if(sequences_->begin(), sequences_->end(), [&](const Json& s) { return s.contains(key); });
    if (with != 0 && static_cast<size_t>(with) != size()) {
      const auto lacks = std::find_if(sequences_->begin(), sequences_->end(),
                                      [&](const Json& s) { return !s.contains(key); });
      user_error("sequences.{}: \"{}\" is missing, which other sequences have", lacks - sequences_->begin(),
                 key);
    }
    return with != 0;
  }

  void demand(const std::string& key, const std::string& who) const {
    if (!has(key)) user_error("sequences: \"{}\" is missing, and {} needs it", key, who);
  }

  // [M]; as long as logp in every sequence.
  at::Tensor tokens(const std::string& key) const {
    std::vector<double> out;
    for (size_t i = 0; i < size(); ++i) {
      const std::string where = fmt::format("sequences.{}.{}", i, key);
      const Json& values = (*sequences_)[i][key];
      if (!values.is_array()) user_error("{}: expected an array of numbers, one a token", where);
      const size_t length = (*sequences_)[i]["logp"].size();
      if (values.size() != length)
        user_error("{}: {} numbers, but logp has {}", where, values.size(), length);
      for (size_t t = 0; t < length; ++t)
        out.push_back(finite_number(values[t], fmt::format("{}.{}", where, t)));
    }
    return at::tensor(out, at::kDouble);
  }

  // [S]; null is NaN where it is allowed.
  at::Tensor numbers(const std::string& key, bool null_allowed = false) const {
    std::vector<double> out;
    for (size_t i = 0; i < size(); ++i) {
      const Json& value = (*sequences_)[i][key];
      if (null_allowed && value.is_null())
        out.push_back(std::numeric_limits<double>::quiet_NaN());
      else if (value.is_boolean())
        out.push_back(value.get<bool>() ? 1.0 : 0.0);
      else
        out.push_back(finite_number(value, fmt::format("sequences.{}.{}", i, key)));
    }
    return at::tensor(out, at::kDouble);
  }

  at::Tensor labels(const std::string& key) const {
    std::vector<int64_t> out;
    for (size_t i = 0; i < size(); ++i) {
      const Json& value = (*sequences_)[i][key];
      if (!value.is_number_integer()) {
        user_error("sequences.{}.{}: expected an integer, found {}", i, key, value.dump().substr(0, 60));
      }
      out.push_back(value.get<int64_t>());
    }
    return at::tensor(out, at::kLong);
  }

  // [S, F], null is NaN.
  at::Tensor table(const std::string& key) const {
    std::vector<double> out;
    const size_t width = (*sequences_)[0][key].size();
    for (size_t i = 0; i < size(); ++i) {
      const Json& row = (*sequences_)[i][key];
      if (!row.is_array() || row.size() != width || width == 0) {
        user_error("sequences.{}.{}: expected an array of as many numbers as the other sequences have", i,
                   key);
      }
      for (size_t f = 0; f < width; ++f) {
        const bool null = row[f].is_null();
        out.push_back(null ? std::numeric_limits<double>::quiet_NaN()
                           : finite_number(row[f], fmt::format("sequences.{}.{}.{}", i, key, f)));
      }
    }
    return at::tensor(out, at::kDouble).reshape({static_cast<int64_t>(size()), static_cast<int64_t>(width)});
  }

  at::Tensor token_sequence() const {  // [M]
    std::vector<int64_t> out;
    for (size_t i = 0; i < size(); ++i)
      out.insert(out.end(), (*sequences_)[i]["logp"].size(), static_cast<int64_t>(i));
    return at::tensor(out, at::kLong);
  }

  bool is_array(const std::string& key) const { return size() > 0 && (*sequences_)[0][key].is_array(); }

  // [[...], ...] of a per-token tensor.
  Json ragged(const at::Tensor& values) const {
    const at::Tensor flat = values.detach().to(at::kDouble).contiguous();
    const double* data = flat.const_data_ptr<double>();
    Json out = Json::array();
    for (size_t i = 0; i < size(); ++i) {
      Json row = Json::array();
      for (size_t t = 0; t < (*sequences_)[i]["logp"].size(); ++t) row.push_back(*data++);
      out.push_back(std::move(row));
    }
    return out;
  }

 private:
  static void check_keys(const Json& sequence, const std::string& where) {
    if (!sequence.is_object()) user_error("{}: expected an object", where);
    for (const auto& [key, value] : sequence.items()) {
      if (std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end()) continue;
      const std::string near = nearest_name(key, kKnown);
      if (near.empty())
        user_error("{}: unknown key \"{}\"; known here: {}", where, key, fmt::join(kKnown, ", "));
      user_error("{}: unknown key \"{}\"; did you mean \"{}\"?", where, key, near);
    }
    if (!sequence.contains("logp") || !sequence["logp"].is_array()) {
      user_error("{}: \"logp\" is missing; expected an array of numbers, one a token", where);
    }
  }

  const Json* sequences_;
};

std::unique_ptr<PolicyAlgorithm> make_algorithm(const std::string& name, const Json& overrides) {
  auto algorithm = policy_registry().find(name)->make();
  read_fields(*algorithm, overrides, "objective " + name, ".");
  return algorithm;
}

std::vector<std::string> names_of(const Needs& needs) {
  std::vector<std::string> out;
  if (needs.logp_old) out.push_back("logp_old");
  if (needs.logp_ref) out.push_back("logp_ref");
  if (needs.logp_rollout) out.push_back("logp_rollout");
  if (needs.entropy) out.push_back("entropy");
  if (needs.reward) out.push_back("reward");
  if (needs.group) out.push_back("group");
  return out;
}

std::vector<double> input_weights(const Json& input, int64_t count) {
  if (!input.contains("reward_weights")) return std::vector<double>(count, 1.0);
  const Json& weights = input["reward_weights"];
  if (!weights.is_array() || static_cast<int64_t>(weights.size()) != count) {
    user_error("reward_weights: expected an array of {} numbers, one for each of \"rewards\"", count);
  }
  std::vector<double> out;
  for (size_t f = 0; f < weights.size(); ++f)
    out.push_back(finite_number(weights[f], fmt::format("reward_weights.{}", f)));
  return out;
}

PolicyBatch read_policy_batch(const Json& input, const Columns& columns, const PolicyAlgorithm& algorithm,
                              const std::string& who) {
  for (const std::string& key : names_of(algorithm.needs())) columns.demand(key, who);
  PolicyBatch batch;
  batch.sequences = static_cast<int64_t>(columns.size());
  batch.sequence = columns.token_sequence();
  batch.logp = columns.tokens("logp").requires_grad_();
  if (columns.has("logp_old")) batch.logp_old = columns.tokens("logp_old");
  if (columns.has("logp_ref")) batch.logp_ref = columns.tokens("logp_ref");
  if (columns.has("logp_rollout")) batch.logp_rollout = columns.tokens("logp_rollout");
  if (columns.has("entropy")) batch.entropy = columns.tokens("entropy");
  if (columns.has("reward")) batch.reward = columns.numbers("reward", /*null_allowed=*/true);
  if (columns.has("group")) batch.group = columns.labels("group");
  if (columns.has("include")) batch.include = columns.numbers("include").ne(0);
  if (columns.has("advantage") && columns.is_array("advantage")) {
    batch.token_advantage = columns.tokens("advantage");
  } else if (columns.has("advantage")) {
    batch.advantage = columns.numbers("advantage");
  } else {
    const std::string estimator =
        fmt::format("the advantage estimator {} (give these or \"advantage\")", algorithm.advantage);
    columns.demand("reward", estimator);
    columns.demand("group", estimator);
    if (algorithm.kl_coef > 0 && algorithm.kl_in == "reward")
      batch.reward = batch.reward + kl_reward(algorithm, batch);
    StepRewards step{.reward = batch.reward, .group = batch.group};
    step.length = segment_count(batch.sequence, batch.sequences);
    if (algorithm.needs().greedy_reward) {
      columns.demand("greedy", estimator);
      step.greedy = columns.numbers("greedy");
    }
    if (algorithm.needs().reward_parts) {
      columns.demand("rewards", estimator);
      step.parts = columns.table("rewards");
      step.part_weights = input_weights(input, step.parts.size(1));
    }
    batch.advantage = advantages(algorithm, step);
  }
  return batch;
}

Json result(const Columns& columns, const at::Tensor& loss, const at::Tensor& logp, Json metrics) {
  const at::Tensor gradient = torch::autograd::grad({loss}, {logp}, {}, {}, false, /*allow_unused=*/true)[0];
  Json out;
  out["loss"] = loss.item<double>();
  out["grad"]["logp"] = columns.ragged(gradient.defined() ? gradient : at::zeros_like(logp));
  out["metrics"] = std::move(metrics);
  return out;
}

Json evaluate_policy(const std::string& name, const Json& input, const Json& overrides) {
  const auto algorithm = make_algorithm(name, overrides);
  const Columns columns(input);
  if (columns.size() == 0) user_error("input: \"sequences\" is empty");
  const PolicyBatch batch = read_policy_batch(input, columns, *algorithm, "objective " + name);
  double max_length = algorithm->max_length;
  if (input.contains("max_length") && max_length == 0)
    max_length = finite_number(input["max_length"], "max_length");
  if (algorithm->reduction == "seq_mean_token_sum" && !(max_length > 0)) {
    user_error(
        "objective {}: seq_mean_token_sum divides by max_length: give it, above 0, in the input or by --set",
        name);
  }
  const auto objective = algorithm->objective->make();
  PolicyBatch detached = batch;
  detached.logp = batch.logp.detach();
  objective->prepare(detached);
  const PolicyLoss loss = policy_loss(*algorithm, *objective, batch, totals(detached), max_length);
  Json metrics = Json::object();
  for (const auto& [key, value] : loss.metrics) metrics[key] = value.item<double>();
  return result(columns, loss.loss, batch.logp, metrics);
}

Json evaluate_supervised(const std::string& name, const Json& input, const Json& overrides) {
  auto options = supervised_registry().find(name)->make();
  read_fields(*options, overrides, "objective " + name, ".");
  const Columns columns(input);
  const at::Tensor logp = columns.tokens("logp").requires_grad_();
  if (logp.numel() == 0) user_error("input: no sequence has a token");
  return result(columns, (*options->make())(logp).mean(), logp, Json::object());
}

}  // namespace

Json evaluate_objective(const std::string& name, const Json& batch, const Json& overrides) {
  if (policy_registry().find(name) != nullptr) return evaluate_policy(name, batch, overrides);
  if (supervised_registry().find(name) != nullptr) return evaluate_supervised(name, batch, overrides);
  const std::string near = nearest_name(name, objective_names());
  if (!near.empty()) user_error("objective \"{}\": unknown; did you mean \"{}\"?", name, near);
  user_error("objective \"{}\": unknown; known: {}", name, fmt::join(objective_names(), ", "));
}

std::vector<std::string> objective_inputs(const std::string& name, const Json& overrides) {
  std::vector<std::string> out = {"logp"};
  if (policy_registry().find(name) == nullptr) return out;
  for (const std::string& key : names_of(make_algorithm(name, overrides)->needs())) out.push_back(key);
  const auto algorithm = make_algorithm(name, overrides);
  std::string estimator = "advantage, or reward and group";
  if (algorithm->needs().greedy_reward) estimator += " and greedy";
  if (algorithm->needs().reward_parts)
    estimator += " and rewards (an array, with reward_weights beside sequences)";
  out.push_back(estimator);
  return out;
}

std::vector<std::string> objective_names() {
  std::vector<std::string> out = policy_registry().names();
  for (const std::string& name : supervised_registry().names()) out.push_back(name);
  return out;
}

}  // namespace temper::objective
