// How a model wants to be sampled.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace temper {

// The fields of SamplingOptions that a model folder's generation_config.json sets, in their order; do_sample
// false is temperature 0. An empty object when it sets none. Throws UserError for a file that is no JSON
// object.
Json sampling_defaults(const std::string& folder);

}  // namespace temper
