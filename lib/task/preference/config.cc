#include "task/preference/config.h"

#include <algorithm>

#include "base/error.h"
#include "train/config.h"

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
               "wrong solutions whose steps were judged (per-step DPO, arXiv 2406.14532)",
       .choices = {"stored", "online", "ratings", "steps"}});
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

namespace {

// Why the reference's log-probs cannot be computed before training; empty: they can.
std::string cannot_cache(const RunConfig& c) {
  const objective::PreferenceNeeds needs = c.preference->needs();
  if (!needs.logp_ref) return "\"" + c.preference_name + "\" has no reference model";
  if (needs.mismatch)
    return "\"" + c.preference_name +
           "\" also needs it on prompts with other prompts' answers, new in every step";
  if (samples_pairs(c)) return "the answers are sampled during training";
  if (c.reference.sync_every > 0) return "reference.sync_every moves the reference";
  if (moves_reference(c)) return "each stage has another reference";
  return "";
}

void check_two_policies(const RunConfig& c, const objective::PreferenceNeeds& needs,
                        std::vector<std::string>& problems) {
  const bool pair = c.adapter_kind == "lora_pair";
  if (pair != needs.other) {
    problems.push_back("adapter.kind: \"lora_pair\" and algorithm \"ofs_dpo\" go together; found \"" +
                       c.adapter_kind + "\" and \"" + c.preference_name + "\"");
  }
  if (!needs.other) return;
  if (c.model.checkpointing != "off") {
    problems.push_back(
        "model.checkpointing: recomputing blocks in backward would mix up the two adapters; use \"off\"");
  }
  if (c.reference.sync_every > 0 || c.pairs.count_stages() > 1)
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

}  // namespace

bool samples_pairs(const RunConfig& c) {
  return c.task == "preference" && c.pairs.from == "online";
}

bool moves_reference(const RunConfig& c) {
  return c.preference->needs().logp_ref && (c.reference.sync_every > 0 || c.pairs.count_stages() > 1);
}

bool caches_reference(const RunConfig& c, bool adapter_switches_off) {
  if (c.reference.cache == "auto") return !adapter_switches_off && cannot_cache(c).empty();
  return c.reference.cache == "on";
}

void check_preference(const RunConfig& c, std::vector<std::string>& problems) {
  if (c.preference == nullptr || c.preference->loss == nullptr) return;
  if (c.reference.cache == "on") {
    const std::string why = cannot_cache(c);
    if (!why.empty()) problems.push_back("reference.cache: nothing to compute before training: " + why);
  }
  if (c.reference.sync_every > 0 && !c.preference->needs().logp_ref)
    problems.push_back("reference.sync_every: \"" + c.preference_name + "\" has no reference model");
  if (c.reference.sync_every > 0 && c.pairs.count_stages() > 1)
    problems.push_back(
        "reference.sync_every: the stages of pairs.from \"ratings\" move the reference already");
  const objective::PreferenceNeeds needs = c.preference->needs();
  if (c.pairs.from != "stored" && (needs.label || needs.list)) {
    problems.push_back("pairs.from: \"" + c.preference_name +
                       "\" takes other records than pairs, which are only \"stored\"");
  }
  check_two_policies(c, needs, problems);
  if (c.pairs.count_stages() > c.train.steps) {
    problems.push_back(
        fmt::format("pairs.stages: {} stages do not fit {} steps", c.pairs.count_stages(), c.train.steps));
  }
  if (!samples_pairs(c)) return;
  if (c.rewards.empty())
    problems.push_back("rewards: online pairs need at least one, such as {\"kind\": \"math\"}");
  if (c.rollout.group_size < 2)
    problems.push_back("rollout.group_size: a pair needs at least 2 completions of a prompt");
  if (c.rollout.temperature == 0)
    problems.push_back(
        "rollout.temperature: 0 is greedy, so all completions of a prompt would be equal; try 1.0");
}

}  // namespace temper
