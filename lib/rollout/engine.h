// The decode engine: shared prompts, continuous batching, one random stream per sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/model.h"
#include "rollout/sampler.h"
#include "text/tokenizer.h"

namespace temper {

enum class FinishReason { kEnd, kLength, kStop };
const char* finish_name(FinishReason reason);  // "end", "length", "stop"

struct Completion {
  std::vector<int64_t> ids;      // the end token included when it came
  std::vector<float> logp;       // per id, of the distribution sampled
  std::vector<float> logp_full;  // per id, temperature only, whole vocabulary
  FinishReason finish = FinishReason::kLength;
  std::string text;      // special tokens and stop string left out; decoded once
  std::string raw_text;  // with special tokens
};

struct GenerateRequest {
  std::vector<int64_t> prompt;
  int64_t samples = 1;
  uint64_t stream_index =
      0;  // names the prompt in the random streams; sample s of it draws from its own stream
};

struct EngineOptions {
  int64_t max_batch = 64;  // sequences decoded together
  uint64_t seed = 1;
  uint64_t step = 0;             // the run's step, part of the streams' names
  std::vector<int64_t> end_ids;  // all of generation_config.json
};

struct EngineProgress {
  int64_t finished = 0, total = 0, tokens = 0;
};

// All completions, [request][sample]. Tokens do not depend on max_batch, on the order of requests or on who
// shares the batch, beyond the rounding of the products. on_progress may throw to stop. Throws UserError when
// a prompt is empty or prompt + max_new_tokens exceeds the model's positions.
std::vector<std::vector<Completion>> generate(
    Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
    const SamplingOptions& sampling, const EngineOptions& options,
    const std::function<void(const EngineProgress&)>& on_progress = {});

// The end ids of a model folder: generation_config.json's eos_token_id (number or array), else config.json's,
// else the tokenizer's.
std::vector<int64_t> end_ids(const std::string& folder, const Model& model, const Tokenizer& tokenizer);

}  // namespace temper
