#include "rollout/requests.h"

#include "base/error.h"

namespace temper {

void check_requests(Model& model, const std::vector<GenerateRequest>& requests,
                    const SamplingOptions& sampling, const EngineOptions& options) {
  const ModelConfig& config = model.config();
  std::vector<std::string> problems;
  sampling.check(problems, "");
  if (!problems.empty()) user_error("{}", problems.front());
  if (options.max_batch < 1)
    user_error("generate: max_batch must be at least 1, found {}", options.max_batch);
  for (size_t r = 0; r < requests.size(); ++r) {
    const auto& prompt = requests[r].prompt;
    if (requests[r].samples < 0)
      user_error("generate: request {} asks for {} samples", r, requests[r].samples);
    if (prompt.empty())
      user_error("generate: prompt {} is empty: its text has no token, and the tokenizer adds no begin token",
                 r);
    for (const int64_t id : prompt) {
      if (id < 0 || id >= config.vocab) {
        user_error("generate: prompt {} holds id {}, but the model has ids 0 to {}; is this its tokenizer?",
                   r, id, config.vocab - 1);
      }
    }
    const auto before = static_cast<int64_t>(model.virtual_ids().size() + prompt.size());
    const int64_t length = before + sampling.max_new_tokens;
    if (length > config.max_positions) {
      user_error(
          "generate: prompt {} has {} tokens and may grow by {} (max_new_tokens), but the model has {} "
          "positions; "
          "lower max_new_tokens or shorten the prompt",
          r, before, sampling.max_new_tokens, config.max_positions);
    }
  }
}

}  // namespace temper
