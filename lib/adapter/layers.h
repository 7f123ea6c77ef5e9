// Blocks of a model by number, and random choices among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"

namespace temper {

// The block that a module or parameter belongs to ("model.layers.3.mlp.up_proj.weight": 3); -1: none.
int64_t layer_of(const std::string& name);

// `count` different places of `weights`, in rising order: drawn one after the other without replacement, each
// with a chance in proportion to its weight (not negative, at least `count` of them positive).
std::vector<int64_t> draw_layers(RandomStream& random, std::vector<double> weights, int64_t count);

}  // namespace temper
