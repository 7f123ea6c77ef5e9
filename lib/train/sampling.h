// What a step samples: completions of a model, and groups of them with their rewards.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "rollout/engine.h"
#include "train/groups/prefix.h"
#include "train/rollout_batch.h"

namespace temper {

// As in EngineOptions, for the requests of this rank, by their place in all of them.
using OnRequest = std::function<void(size_t request, const std::vector<Completion>& samples)>;

struct CompleteOptions {
  SamplingOptions sampling;
  uint64_t seed = 0, step = 0;  // of the streams
  bool interruptible = true;    // a signal is heeded, so the state must be one that may be saved
  int64_t step_tokens = 0;      // see EngineOptions
  bool keep_routes = false;     // see EngineOptions
  OnRequest on_request = {};
  // What each request asks; given, the run's environment, if there is one, answers the completions' turns.
  std::vector<std::shared_ptr<const Record>> records = {};
};

// Completions of `model` in the order of the requests, with the run's ends and progress.
std::vector<std::vector<Completion>> complete(Session& session, Model& model,
                                              const std::vector<GenerateRequest>& requests,
                                              const CompleteOptions& options);
Rollout rollout_of(const Completion& completion);
// The single tokens that openings are in this tokenizer. Throws UserError for one that is several.
std::vector<int64_t> opening_ids(const Session& session, const std::vector<std::string>& openings);
// A completion that was made to begin with a token, which the engine saw as part of the prompt.
Rollout opened(const Session& session, const Completion& completion, int64_t opening, int64_t id);
// Fills the rewards of all rollouts. What transforms want of the reference model is added to the run's state.
void score(Session& session, std::vector<RolloutGroup>& groups);

// What a group's completions are, beside plain samples of the policy.
struct GroupMake {
  int64_t demonstrations = 0;         // so many are the record's own
  std::vector<std::string> openings;  // the sampled ones begin with each of these tokens in equal shares
  PrefixSection prefix = {};          // ... or behind a sampled beginning, in the two ways of prefix.h
  // Sampled once more, with other draws; of the completions so many fewer, which the groups have already.
  bool again = false;
  int64_t has_already = 0;
  bool routes = false;  // they keep the experts that their tokens went to
};

// Fills drawn groups with completions and rewards. Rewards that are each_alone() score a prompt's completions
// while others are decoded, the rest of them when all are there. Returns the seconds from the end of decoding
// to the last score. Throws UserError when a record has fewer demonstrations than asked for.
double sample_groups(Session& session, const GroupMake& make, std::vector<RolloutGroup>& groups);

// Whether so many groups have more sequences than are decoded at once, so that some wait for others.
bool some_wait(const Session& session, int64_t groups, const GroupMake& make);

}  // namespace temper
