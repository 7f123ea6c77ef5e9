// What the decode engine is asked, checked before it begins.
#pragma once

#include <vector>

#include "rollout/engine.h"

namespace temper {

// Throws UserError as generate() says.
void check_requests(Model& model, const std::vector<GenerateRequest>& requests,
                    const SamplingOptions& sampling, const EngineOptions& options);

}  // namespace temper
