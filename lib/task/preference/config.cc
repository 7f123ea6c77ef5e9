#include "task/preference/config.h"

#include <algorithm>

#include "base/error.h"
#include "train/config.h"
#include "train/plan.h"

namespace temper {

void ReferenceSection::fields(FieldVisitor& v) {
  v.field(
      "cache", cache,
      {.help = "compute the reference's log-probs once and keep them in ~/.cache/temper. \"on\" saves a "
               "third of the time of a run of several epochs; \"auto\": for full runs, which then hold no "
               "second model",
       .choices = {"auto", "on", "off"}});
  v.field(
      "sync_every", sync_every,
      {.help = "TR-DPO (arXiv 2404.09656): the reference moves towards the policy after so many steps; 0: "
               "it stays",
       .unit = "steps",
       .min = 0});
  v.field("sync_share", sync_share,
          {.help = "how far it moves: reference <- (1 - share) reference + share policy; 1: to the policy",
           .min = 0,
           .max = 1});
}

void PairsSection::fields(FieldVisitor& v) {
  v.field(
      "from", from,
      {.help = "stored: chosen and rejected (or labelled answers) of the data. online: of completions that "
               "the policy samples for each prompt, the one of the highest reward and the one of the "
               "lowest. ratings: rated completions, easy pairs first (Curry-DPO, arXiv 2403.07230). steps: "
               "wrong solutions whose steps were judged (per-step DPO, arXiv 2406.14532). groups: answers "
               "that were scored, as temper-generate --score writes them; of labelled answers (kto) each, by "
               "\"threshold\"",
       .choices = {"stored", "online", "ratings", "steps", "groups"}});
  if (from == "online") {
    v.field(
        "max_rounds", max_rounds,
        {.help = "prompts whose completions have equal rewards are dropped and others drawn, so many times "
                 "a step at most",
         .min = 1});
  }
  if (from == "ratings") {
    v.field(
        "stages", stages,
        {.help = "parts of the run: the best answer against the worst first, against the second best last. "
                 "The policy after a stage is the next one's reference",
         .min = 1,
         .max = 100});
  }
  if (from == "groups") rule.fields(v);
  if (from == "steps") {
    v.field(
        "form", form,
        {.help = "practical: a right solution against the wrong one up to its pit, the first step from "
                 "which success is least likely. shared_prefix: a better step against the pit, behind the "
                 "steps before it",
         .choices = {"practical", "shared_prefix"}});
    v.field(
        "attempts", attempts,
        {.help = "success is judged under the best of so many tries: 1 - (1 - share)^attempts", .min = 1});
    v.field("separator", separator, {.help = "between the steps of a solution"});
  }
}

void PreferenceTask::fields(FieldVisitor& v) {
  v.section("pairs", pairs, "where the pairs come from");
  if (samples()) v.section("rollout", rollout, "generation of the rollout batch");
  v.choice("algorithm", "name", algorithm, algorithm_name, objective::preference_registry(),
           "a preset and overrides of it");
  v.section("reference", reference, "the reference model");
}

// Why the reference's log-probs cannot be computed before training; empty: they can.
std::string PreferenceTask::cannot_cache() const {
  const objective::PreferenceNeeds needs = algorithm->needs();
  if (!needs.logp_ref) return "\"" + algorithm_name + "\" has no reference model";
  if (needs.mismatch)
    return "\"" + algorithm_name +
           "\" also needs it on prompts with other prompts' answers, new in every step";
  if (samples()) return "the answers are sampled during training";
  if (reference.sync_every > 0) return "reference.sync_every moves the reference";
  if (moves_reference()) return "each stage has another reference";
  return "";
}

void PreferenceTask::check_two_policies(const RunConfig& c, std::vector<std::string>& problems) const {
  const objective::PreferenceNeeds needs = algorithm->needs();
  const bool pair = c.adapter_kind == "lora_pair";
  if (pair != needs.other) {
    problems.push_back("adapter.kind: \"lora_pair\" and algorithm \"ofs_dpo\" go together; found \"" +
                       c.adapter_kind + "\" and \"" + algorithm_name + "\"");
  }
  if (!needs.other) return;
  if (c.model.checkpointing != "off") {
    problems.push_back(
        "model.checkpointing: recomputing blocks in backward would mix up the two adapters; use \"off\"");
  }
  if (reference.sync_every > 0 || pairs.count_stages() > 1)
    problems.push_back("reference: with two adapters it cannot follow one of them");
  const bool rates =
      c.optimizer != nullptr &&
      std::any_of(c.optimizer->lr_rules.begin(), c.optimizer->lr_rules.end(), [](const LrRule& r) {
        return r.match.starts_with("first.") || r.match.starts_with("second.");
      });
  if (!rates) {
    problems.push_back(
        "optimizer.lr_rules: fast and slow differ by their learning rates; give the second its own, such as "
        "[{\"match\": \"second.\", \"factor\": 0.1}]");
  }
}

bool PreferenceTask::moves_reference() const {
  return algorithm->needs().logp_ref && (reference.sync_every > 0 || pairs.count_stages() > 1);
}

bool PreferenceTask::caches_reference(bool adapter_switches_off) const {
  if (reference.cache == "auto") return !adapter_switches_off && cannot_cache().empty();
  return reference.cache == "on";
}

void PreferenceTask::check_run(const RunConfig& c, std::vector<std::string>& problems) const {
  if (algorithm == nullptr || algorithm->loss == nullptr) return;
  if (reference.cache == "on") {
    const std::string why = cannot_cache();
    if (!why.empty()) problems.push_back("reference.cache: nothing to compute before training: " + why);
  }
  if (reference.sync_every > 0 && !algorithm->needs().logp_ref)
    problems.push_back("reference.sync_every: \"" + algorithm_name + "\" has no reference model");
  if (reference.sync_every > 0 && pairs.count_stages() > 1)
    problems.push_back(
        "reference.sync_every: the stages of pairs.from \"ratings\" move the reference already");
  const objective::PreferenceNeeds needs = algorithm->needs();
  const bool labels_groups = needs.label && pairs.from == "groups";
  if (labels_groups && pairs.rule.rule != "threshold") {
    problems.push_back(
        fmt::format("pairs.rule: \"{}\" takes labelled answers, which only \"threshold\" makes, found \"{}\"",
                    algorithm_name, pairs.rule.rule));
  }
  if (pairs.from != "stored" && (needs.label || needs.list) && !labels_groups) {
    problems.push_back("pairs.from: \"" + algorithm_name +
                       "\" takes other records than pairs, which are only \"stored\"");
  }
  if (moves_reference() && c.dist.shard != "none") {
    problems.push_back(fmt::format(
        "dist.shard: \"{}\" leaves no rank with all masters, which a reference that moves is made from: set "
        "dist.shard to \"none\", or reference.sync_every to 0 and pairs.stages to 1",
        c.dist.shard));
  }
  check_two_policies(c, problems);
  if (pairs.count_stages() > c.train.steps) {
    problems.push_back(
        fmt::format("pairs.stages: {} stages do not fit {} steps", pairs.count_stages(), c.train.steps));
  }
  if (!samples()) return;
  if (c.rewards.empty())
    problems.push_back("rewards: online pairs need at least one, such as {\"kind\": \"math\"}");
  if (rollout.group_size < 2)
    problems.push_back("rollout.group_size: a pair needs at least 2 completions of a prompt");
  if (rollout.temperature == 0)
    problems.push_back(
        "rollout.temperature: 0 is greedy, so all completions of a prompt would be equal; try 1.0");
}

TaskMemory PreferenceTask::memory(const RunConfig& config, const PlanShapes& shapes) const {
  TaskMemory out;
  if (samples()) out.cache = shapes.cache_bytes(rollout, config.train.batch_size);
  if (!algorithm->needs().logp_ref) return out;
  // A moving reference has fp32 weights of its own; a full run's fixed one is a copy unless its log-probs are
  // computed before training.
  if (moves_reference())
    out.reference = shapes.trained * 4;
  else if (!shapes.switches_off && !caches_reference(shapes.switches_off))
    out.reference = shapes.weights;
  return out;
}

std::string PreferenceTask::method() const {
  return method_text(objective::preference_registry(), algorithm_name);
}

std::optional<FirstConfig> PreferenceTask::first_config() const {
  return FirstConfig{
      .kinds = {RecordKind::kPreference, RecordKind::kUnpaired},
      .lines = "{\"prompt\", \"chosen\", \"rejected\"} or {\"prompt\", \"completion\", \"label\"}",
      .full_lr = 1e-6,
      .adapter_lr = 1e-5,
      .tokens = longest_answer,
      .sections = [](const Record& first, int64_t, int64_t) -> FirstConfig::Sections {
        if (record_kind(first) != RecordKind::kUnpaired) return {};
        return {{{"algorithm", {{"name", "kto"}}}, "labelled answers"}};
      }};
}

}  // namespace temper
