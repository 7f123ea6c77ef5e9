#include "rollout/requests.h"

#include <algorithm>

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
  if (sampling.mirostat() && options.speculation != nullptr)
    user_error(
        "generate: mirostat_tau draws each token by the ones before it and goes with no speculation; leave "
        "one "
        "of them out");
  if (config.has_states() && options.speculation != nullptr)
    user_error(
        "generate: a model with layers of linear attention or short convolutions does not go back over "
        "tokens that it has read, and goes with no speculation; leave that out");
  const auto begun = [](const GenerateRequest& request) { return !request.begun.empty(); };
  if (sampling.mirostat() &&
      (options.step_tokens > 0 || std::any_of(requests.begin(), requests.end(), begun)))
    user_error(
        "generate: mirostat_tau keeps its bound over one call and goes with no partial rollouts; leave one "
        "of "
        "them out");
  if (sampling.constrains() &&
      (options.step_tokens > 0 || std::any_of(requests.begin(), requests.end(), begun)))
    user_error(
        "generate: a constraint sees a text from its beginning and goes with no partial rollouts; leave one "
        "of them out");
  for (size_t r = 0; r < requests.size(); ++r) {
    if (sampling.constrains_by_record() && requests[r].constraint == nullptr)
      user_error(
          "generate: regex_column and json_schema_column: here no record says what a text must be; leave "
          "them "
          "out");
    if (!sampling.constrains_by_record() && requests[r].constraint != nullptr)
      bug("generate: request {} has a constraint of its own, and the sampling options name no column", r);
    if (requests[r].samples < 0)
      user_error("generate: request {} asks for {} samples", r, requests[r].samples);
    const std::string problem =
        prompt_problem(model, requests[r].prompt, sampling.max_new_tokens, std::to_string(r));
    if (!problem.empty()) user_error("generate: {}", problem);
  }
}

std::string prompt_problem(const Model& model, const std::vector<int64_t>& prompt, int64_t max_new_tokens,
                           const std::string& name) {
  const ModelConfig& config = model.config();
  if (prompt.empty())
    return fmt::format("prompt {} is empty: its text has no token, and the tokenizer adds no begin token",
                       name);
  for (const int64_t id : prompt) {
    if (id < 0 || id >= config.vocab) {
      return fmt::format("prompt {} holds id {}, but the model has ids 0 to {}; is this its tokenizer?", name,
                         id, config.vocab - 1);
    }
  }
  const auto before = static_cast<int64_t>(model.virtual_ids().size() + prompt.size());
  if (before + max_new_tokens <= config.max_positions) return {};
  return fmt::format(
      "prompt {} has {} tokens and may grow by {} (max_new_tokens), but the model has {} positions; lower "
      "max_new_tokens or shorten the prompt",
      name, before, max_new_tokens, config.max_positions);
}

}  // namespace temper
