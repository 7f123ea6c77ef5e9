#include "train/preference_config.h"

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

namespace {

// Why the reference's log-probs cannot be computed before training; empty: they can.
std::string cannot_cache(const RunConfig& c) {
  const objective::PreferenceNeeds needs = c.preference->needs();
  if (!needs.logp_ref) return "\"" + c.preference_name + "\" has no reference model";
  if (needs.mismatch)
    return "\"" + c.preference_name +
           "\" also needs it on prompts with other prompts' answers, new in every step";
  if (moves_reference(c)) return "reference.sync_every moves the reference";
  return "";
}

}  // namespace

bool moves_reference(const RunConfig& c) {
  return c.reference.sync_every > 0;
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
}

}  // namespace temper
