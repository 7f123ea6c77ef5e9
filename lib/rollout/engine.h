// The decode engine: shared prompts, continuous batching, one random stream per sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"
#include "rollout/completion.h"
#include "rollout/respondent.h"
#include "rollout/sampler.h"
#include "text/tokenizer.h"

namespace temper {

struct SpeculationOptions;
struct TextConstraint;

// What a sample wrote in an earlier call.
struct BegunSample {
  int64_t sample = 0;  // its number among those of the request, part of its stream's name
  std::vector<int64_t> ids;
  std::vector<float> logp;  // per id, temperature only, as the weights of that time gave it
};

struct GenerateRequest {
  std::vector<int64_t> prompt;
  int64_t samples = 1;
  uint64_t stream_index =
      0;  // names the prompt in the random streams; each sample of it draws from its own stream
  // Given: the samples are these, and go on. Their keys and values are computed anew.
  std::vector<BegunSample> begun = {};
  // What the completions' texts must be (constrained.h), where the sampling options name a column of
  // constraints, and only there; null: what the options say of all.
  std::shared_ptr<const TextConstraint> constraint = nullptr;
  std::optional<uint64_t> seed = {};  // in the place of EngineOptions::seed
};

struct EngineOptions {
  int64_t max_batch = 64;  // sequences decoded together
  uint64_t seed = 1;
  uint64_t step = 0;             // the run's step, part of the streams' names
  std::vector<int64_t> end_ids;  // see end_ids.h; none: completions run to their limit
  // Each token as it comes, for showing text while it is written.
  std::function<void(size_t request, int64_t sample, int64_t id)> on_token = {};
  // All samples of a request, once the last of them has ended, while others are still decoded; on the thread
  // that decodes. It may throw to stop.
  std::function<void(size_t request, const std::vector<Completion>& samples)> on_request = {};
  // Tokens that a sequence may draw in this call; one that has not ended then stays open. 0: no limit.
  int64_t step_tokens = 0;
  // With a constraint: every draw by all that is allowed, so that logp is known and log_weight is exact.
  bool exact_weights = false;
  // Who answers when a turn ends; none: a completion is one turn. max_new_tokens then counts the tokens of
  // both, min_new_tokens and stop strings those of a turn.
  Respondent* respondent = nullptr;
  // Completions say which experts of a mixture their tokens went to.
  bool keep_routes = false;
  // Who drafts tokens (speculate/speculation.h); null: nobody. Tokens and log-probs keep their distribution;
  // those of greedy decoding, and of drafts that are not drawn ("lookup"), stay the same beyond the rounding
  // of the products. Not with mirostat.
  const SpeculationOptions* speculation = nullptr;
};

struct EngineProgress {
  int64_t finished = 0, total = 0;    // completions
  int64_t tokens = 0;                 // generated
  int64_t passes = 0;                 // of the model over a sequence's new tokens, prompts left out
  int64_t drafted = 0, accepted = 0;  // tokens of speculation
};

// All completions, [request][sample]. Tokens do not depend on max_batch, on the order of requests or on who
// shares the batch, beyond the rounding of the products, which may differ with the number of rows. The same
// call twice gives the same bytes. A prompt is computed once for all its samples; a sequence that ends leaves
// and the next one joins. Stop strings count from the token that reaches min_new_tokens on. on_progress is
// called after every decoding step and may throw to stop. Throws UserError when a prompt is empty, holds an
// id that the model lacks, or prompt + max_new_tokens exceeds the model's positions, and when the model has
// diverged (sampler.h).
std::vector<std::vector<Completion>> generate(
    Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
    const SamplingOptions& sampling, const EngineOptions& options,
    const std::function<void(const EngineProgress&)>& on_progress = {});

}  // namespace temper
