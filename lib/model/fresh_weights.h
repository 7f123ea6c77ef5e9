// The values that a new model begins with.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/model.h"

namespace temper {

// GPT-2's scheme: normal(0, 0.02), outputs onto the residual stream scaled by 1/sqrt(2 layers), norms 1,
// biases 0; drawn from the stream "init.NAME". config: the one that the model was made with. A head that was
// tied then begins as the embedding. master: into the master, else into compute.
void fill_fresh(const ModelConfig& config, uint64_t seed, Parameter& p, bool master);

}  // namespace temper
