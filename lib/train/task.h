// What a task is to the parts that all runs share. A task is a folder, lib/task/<name>/, and a line of
// lib/task/registry.cc: its config sections and checks, the heads of its model, its loop with its held-out
// figures, what it adds to the plan, and what it advises.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json_fwd.h"
#include "data/order/order.h"
#include "data/records.h"
#include "model/model.h"
#include "run/health.h"
#include "train/first_config.h"
#include "train/sections.h"

namespace temper {

struct RunConfig;
struct RunOptions;
struct NamedPath;
struct EnvironmentOptions;
struct PlanShapes;
struct TaskMemory;
class Session;
class Tokenizer;

// What train.batch_size counts, and how many a step has where it is left out: a number, or that of a field.
struct StepUnit {
  std::string what = "examples";
  int64_t count = 16;
  std::string field = {};  // "rollout.prompts_per_step"; empty: none
};

struct Task : Fields {
  // Config. fields() lists the task's own sections, which stand at the top level.
  // false: a run is several, each with a config of its own, and has none of the sections that say how one is
  // trained: adapter, optimizer, schedule, train, eval, checkpoint, dist, health.
  virtual bool one_training() const { return true; }
  virtual void data_fields(FieldVisitor& v) {}   // its own fields of the section "data"
  virtual void train_fields(FieldVisitor& v) {}  // ... and of the section "train"
  virtual StepUnit step_unit() const { return {}; }
  virtual bool shares_prompts() const { return false; }   // several sequences of a step may have one prompt
  virtual bool needs_train_data() const { return true; }  // data.train must be given
  virtual bool draws_records() const { return true; }     // of it; else what it makes of them, such as pairs
  virtual Observes observes() const { return Observes::kNothing; }  // of what its steps draw
  // ... and what is learnt stands in it, not prompts alone.
  virtual bool learns_completions() const { return false; }
  // What the section "rewards" scores, for people; empty: the task has no such section.
  virtual std::string rewards_help() const { return "what evaluations score completions by"; }
  virtual bool scores_samples() const { return false; }  // in training, by the rewards
  // How completions are sampled: the task's section "rollout", or for evaluations of the others its defaults.
  virtual const RolloutSection& sampling() const;
  // Who answers a completion's turns; null: a completion is one turn.
  virtual const EnvironmentOptions* environment() const { return nullptr; }
  // Rules that span the sections of the whole config; see Fields::check.
  virtual void check_run(const RunConfig& config, std::vector<std::string>& problems) const {}
  // Of a config that was read: replaces what stands for another section's value, and fills in what follows
  // from others.
  virtual void resolve(RunConfig& config) {}
  virtual int64_t updates(const RunConfig& config) const;  // optimizer updates of the whole run
  // Records of data.train that a step draws; with a filter of groups it may be more.
  virtual int64_t records_of_step(const RunConfig& config) const;

  // Model. records: of data.train; null: they have not been read. tokenizer: null as well then.
  virtual Heads heads(const RunConfig& config, const Records* records, const Tokenizer* tokenizer) const {
    return {};
  }
  // Temperature of the policy whose log-probs the loss reads.
  virtual double policy_temperature() const { return 1.0; }
  // Whether the policy's passes send tokens to the experts that decoding sent them to.
  virtual bool replays_routes() const { return false; }

  // What the plan adds for the task (train/plan.h).
  virtual TaskMemory memory(const RunConfig& config, const PlanShapes& shapes) const;
  // The whole plan.
  virtual Json plan(const RunConfig& config, int64_t ranks) const;
  // Files and folders that parts of the config name which are read later.
  virtual std::vector<NamedPath> further_paths(const RunConfig& config) const;

  // The whole run, from wherever its folder stands to the end: a session, the loop, final/ and the report.
  // Throws UserError, Interrupted.
  virtual void run(const RunConfig& config, const RunOptions& options) const;
  // The loop of one training, from wherever the session's state stands to the last step. Throws as run().
  virtual void train(Session& session) const {}

  // What temper-train --new begins with; nothing: such a config is written by hand.
  virtual std::optional<FirstConfig> first_config() const { return std::nullopt; }

  // For people: what the loss is called and where it comes from; empty: the task is more than one.
  virtual std::string method() const { return ""; }

  // For people, on a finished step's numbers.
  virtual std::vector<Advice> advise(const MetricsRow& row) const { return {}; }
};

// "name: summary (source)" of a registry's entry.
template <class Base>
std::string method_text(const Registry<Base>& registry, const std::string& name) {
  const auto* entry = registry.find(name);
  if (entry == nullptr) return name;
  return name + ": " + entry->summary + (entry->source.empty() ? "" : " (" + entry->source + ")");
}

}  // namespace temper
