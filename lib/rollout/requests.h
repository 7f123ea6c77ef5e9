// What the decode engine is asked, checked before it begins.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rollout/engine.h"

namespace temper {

// Throws UserError as generate() says.
void check_requests(Model& model, const std::vector<GenerateRequest>& requests,
                    const SamplingOptions& sampling, const EngineOptions& options);

// Why the model cannot go on behind the prompt by so many tokens, a line that begins with "prompt NAME"; "":
// it can.
std::string prompt_problem(const Model& model, const std::vector<int64_t>& prompt, int64_t max_new_tokens,
                           const std::string& name);

}  // namespace temper
