// GRPO and RLOO of TRL.
#include <cmath>
#include <map>

#include "base/error.h"
#include "migrate/training.h"
#include "migrate/trl.h"
#include "migrate/trl_parts.h"

namespace temper {
namespace {

// What a batch counts: TRL completions, Temper prompts. A rollout batch has the completions of
// generation_batch_size, an update those of `batch` times accumulation.
void carry_batches(Migration& m, const TrainerSpelling& names, bool rloo) {
  const int64_t group = m.integer("num_generations", rloo ? 2 : 8), update = update_size(m, names),
                batch = m.integer(names.batch, names.batch_default);
  int64_t sampled = update;
  if (m.given("steps_per_generation")) sampled = batch * m.integer("steps_per_generation", 1);
  if (m.given("generation_batch_size")) sampled = m.integer("generation_batch_size", update);
  if (group < 1 || sampled < 1 || sampled % group != 0) {
    user_error(
        "{}: num_generations: {} completions are sampled together (generation_batch_size, or {} times "
        "steps_per_generation), which {} a prompt do not divide",
        m.where(), sampled, names.batch, group);
  }
  const int64_t prompts = sampled / group;
  int64_t update_prompts = prompts;
  if (update % group == 0 && update <= sampled && prompts % (update / group) == 0)
    update_prompts = update / group;
  else if (update != sampled)
    m.lose(names.batch,
           fmt::format("an update of {} completions does not learn from whole groups of {} that make up "
                       "the {} sampled ones; here it learns from all of them",
                       update, group, sampled));
  m.set("rollout.prompts_per_step", prompts);
  m.set("rollout.group_size", group);
  m.set("rollout.max_new_tokens", m.integer("max_completion_length", 512));
  m.set("train.batch_size", update_prompts);
  const int64_t passes = m.integer("num_iterations", 1), updates = m.integer("max_steps", -1);
  if (passes != 1) m.set("train.updates_per_rollout", passes);
  if (updates > 0) {
    const int64_t of_step = passes * prompts / update_prompts;
    m.set("train.steps", (updates + of_step - 1) / of_step);
    if (of_step > 1)
      m.carried("max_steps", fmt::format("train.steps (rollout batches of {} updates)", of_step));
    m.no_sense(names.epochs, "max_steps stands before it");
  } else {
    m.no_sense("max_steps", "below 1: the epochs count");
    m.set("train.epochs", m.number(names.epochs, names.epochs_default));
  }
}

void carry_advantage(Migration& m) {
  const Json scale = m.value("scale_rewards");
  const std::string how = scale.is_null() || scale == true ? "group"
                          : scale == false                 ? "none"
                                                           : m.text("scale_rewards", "");
  static const std::map<std::string, std::string> estimators = {
      {"group", "group_zscore"}, {"batch", "batch_zscore"}, {"none", "group_center"}};
  const auto found = estimators.find(how);
  if (found == estimators.end())
    user_error("{}: scale_rewards: expected group, batch or none, found \"{}\"", m.where(), how);
  std::string estimator = found->second;
  const std::string combined = m.text("multi_objective_aggregation", "sum_then_normalize");
  if (combined == "normalize_then_sum")
    estimator = "gdpo";
  else if (combined != "sum_then_normalize")
    m.lose("multi_objective_aggregation", "rewards are summed (with their weights), then normalised");
  m.set("algorithm.advantage", estimator);
}

void carry_clip(Migration& m) {
  const double low = m.number("epsilon", 0.2);
  m.set("algorithm.clip_low", low);
  m.set("algorithm.clip_high", m.number("epsilon_high", low));
}

void carry_grpo_loss(Migration& m) {
  const std::string loss = m.text("loss_type", "dapo"), level = m.text("importance_sampling_level", "token");
  const bool sequence = level == "sequence";
  if (level != "token" && !sequence)
    m.lose("importance_sampling_level", "expected token or sequence; taken for token");
  static const std::map<std::string, std::string> reductions = {{"grpo", "seq_mean_token_mean"},
                                                                {"bnpo", "token_mean"},
                                                                {"dapo", "token_mean"},
                                                                {"dr_grpo", "seq_mean_token_sum"}};
  const auto reduction = reductions.find(loss);
  const auto by_token = [&](const char* name) {
    m.set("algorithm.name", name);
    if (sequence) m.lose("importance_sampling_level", fmt::format("\"{}\" weighs single tokens here", loss));
  };
  if (reduction != reductions.end()) {
    // One ratio a sequence: GSPO where sequences count alike; else the form of it that has a value a token.
    m.set("algorithm.name", !sequence ? "grpo" : loss == "grpo" ? "gspo" : "gspo_token");
    m.set("algorithm.reduction", reduction->second);
    carry_clip(m);
    if (const double cap = m.number("delta", 0); cap > 0) {
      if (sequence)
        m.lose("delta", "the sequence's ratio has no cap beside its clip");
      else
        m.set("algorithm.ratio_cap", cap);
    }
  } else if (loss == "cispo") {
    by_token("cispo");
    m.set("algorithm.weight_max", m.number("epsilon_high", m.number("epsilon", 0.2)));
  } else if (loss == "sapo") {
    by_token("sapo");
    m.set("algorithm.tau_positive", m.number("sapo_temperature_pos", 1.0));
    m.set("algorithm.tau_negative", m.number("sapo_temperature_neg", 1.05));
  } else if (loss == "vespo") {
    by_token("vespo");
    m.set("algorithm.k_positive", m.number("vespo_k_pos", 2));
    m.set("algorithm.lambda_positive", m.number("vespo_lambda_pos", 3));
    m.set("algorithm.k_negative", m.number("vespo_k_neg", 3));
    m.set("algorithm.lambda_negative", m.number("vespo_lambda_neg", 2));
  } else {
    m.set("algorithm.name", loss == "luspo" ? "luspo" : "grpo");
    if (loss == "luspo" && !sequence)
      m.lose("importance_sampling_level", "LUSPO has one ratio a sequence (sequence), as its paper");
    if (loss != "luspo") m.lose("loss_type", "there is no such loss; GRPO's stands in its place");
    carry_clip(m);
  }
  if (const double beta = m.number("beta", 0); beta > 0) {
    m.set("algorithm.kl_coef", beta);
    m.set("algorithm.kl_importance_weight", m.flag("use_bias_correction_kl", true));
  } else {
    m.no_sense("use_bias_correction_kl", "beta is 0: no reference model is used");
  }
  const std::pair<const char*, const char*> owners[] = {
      {"sapo_temperature_pos", "sapo"}, {"sapo_temperature_neg", "sapo"}, {"vespo_k_pos", "vespo"},
      {"vespo_lambda_pos", "vespo"},    {"vespo_k_neg", "vespo"},         {"vespo_lambda_neg", "vespo"}};
  for (const auto& [key, owner] : owners)
    if (loss != owner) m.no_sense(key, fmt::format("of loss_type {}", owner));
  if (loss == "sapo" || loss == "vespo" || loss == "cispo") m.no_sense("delta", "the ratio is not clipped");
  if (loss == "sapo" || loss == "vespo")
    for (const char* key : {"epsilon", "epsilon_high"}) m.no_sense(key, "the ratio is not clipped");
  carry_advantage(m);
}

}  // namespace

void set_rewards(Migration& m, const std::string& key, const std::vector<std::string>& names,
                 const std::vector<double>& weights, const std::string& model) {
  Json rewards = Json::array();
  const auto add = [&](Json reward) {
    const size_t i = rewards.size();
    if (i < weights.size() && weights[i] != 1) reward["weight"] = weights[i];
    rewards.push_back(std::move(reward));
  };
  if (!model.empty()) add({{"kind", "model"}, {"path", m.model("rewards.0.path", model)}});
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    if (name == "accuracy_reward" || name == "reasoning_accuracy_reward") {
      add({{"kind", "math"}, {"column", "solution"}});
      if (name != "accuracy_reward")
        m.lose_part(
            fmt::format("{}.{}", key, i), name,
            "reward \"math\" reads the whole completion, its thinking too, and needs no end of thinking");
    } else if (name == "think_format_reward") {
      add({{"kind", "format"}, {"pattern", "think"}});
    } else if (name == "get_soft_overlong_punishment") {
      add({{"kind", "overlong"}, {"max_tokens", 1280}, {"cache", 256}});
    } else {
      const size_t dot = name.rfind('.');
      std::string program = (dot == std::string::npos ? name : name.substr(0, dot)) + ".py";
      for (char& c : program)
        if (c == '.' && &c != &program[program.size() - 3]) c = '/';
      add({{"kind", "process"},
           {"name", dot == std::string::npos ? name : name.substr(dot + 1)},
           {"command", Json::array({"python3", program})}});
      m.lose_part(
          fmt::format("{}.{}", key, i), name,
          fmt::format(
              "Python code, which is not run in the process: make \"{}\" a program of the protocol of "
              "reward \"process\" (a JSON object a line in and out)",
              program));
    }
  }
  m.set("rewards", rewards.empty()
                       ? Json::array({{{"kind", "process"}, {"command", {"python3", "reward.py"}}}})
                       : rewards);
  if (rewards.empty())
    m.remark(
        "rewards: none is named (TRL gets them in Python); give your own, \"reward.py\" is not there. "
        "temper-inspect list reward has them all");
}

namespace {

void carry_rewards(Migration& m) {
  std::vector<double> weights;
  const Json given = m.value("reward_weights");
  for (const Json& weight : given) {
    if (!weight.is_number())
      user_error("{}: reward_weights: expected numbers, found {}", m.where(), dump_line(given));
    weights.push_back(weight.get<double>());
  }
  set_rewards(m, "reward_funcs", m.texts("reward_funcs"), weights, m.text("reward_model_name_or_path", ""));
}

void carry_sampling(Migration& m, const TrainerSpelling& names, bool rloo) {
  m.set("task", "rl");
  carry_batches(m, names, rloo);
  carry_reference(m);
  for (const char* key : {"vllm_structured_outputs_regex", "vllm_guided_decoding_regex"}) {
    if (!m.given(key)) continue;
    m.set("rollout.regex", m.text(key, ""));
    m.set("algorithm.correction", "truncate");
    m.remark(
        "algorithm.correction: constrained samples are not the policy's own, and \"truncate\" weighs them");
  }
  carry_rewards(m);
  m.remark("data.max_tokens: prompts of more tokens than its 1024 are left out; TRL takes them whole");
}

}  // namespace

void carry_grpo(Migration& m, const TrainerSpelling& names) {
  carry_grpo_loss(m);
  carry_sampling(m, names, false);
}

void migrate_trl_rl(Migration& m, const std::string& trainer) {
  TrainerSpelling names;
  names.lr = 1e-6;
  if (trainer == "grpo") {
    carry_grpo(m, names);
  } else {
    m.set("algorithm.name", "rloo");
    m.set("algorithm.kl_in", "reward");
    m.set("algorithm.kl_coef", m.number("beta", 0.05));
    carry_clip(m);
    carry_sampling(m, names, true);
  }
  carry_optimizer(m, names);
}

}  // namespace temper
