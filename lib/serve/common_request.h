// The keys that both kinds of requests have.
#pragma once

#include "serve/protocol.h"
#include "serve/request_reader.h"

namespace temper {

// All of them but those of log-probs and of how many tokens there may be. Throws ApiError.
void read_common(RequestReader& reader, const Json& json, const RequestDefaults& defaults,
                 CommonRequest& request);

// What SamplingOptions::check says. Throws ApiError.
void check_sampling(const SamplingOptions& sampling);

}  // namespace temper
