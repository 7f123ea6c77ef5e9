// How many answers decode together.
#pragma once

#include <cstdint>
#include <vector>

#include "rollout/engine.h"

namespace temper {

// How many sequences may decode together for their keys and values, each as long as it may get, to take half
// of `free_bytes` (0: nobody knows); at least 1 and at most as many as there are, or `most`. Of samples of
// one prompt, which share its keys and values, each counts its part of them.
int64_t batch_in_memory(const Model& model, const std::vector<GenerateRequest>& requests,
                        int64_t max_new_tokens, int64_t most, int64_t free_bytes);

// The memory that this process may still take: on the host what the machine says is available, or less where
// its control group is limited to less; on an accelerator what its driver says is free. 0: nobody says.
int64_t free_bytes(c10::Device device);

}  // namespace temper
