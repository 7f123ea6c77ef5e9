// Trees of segments for operations that carry a state along them.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

// Indices of segments, a tree (a root and all below it) each, parents before children; trees in the order of
// their roots.
std::vector<std::vector<int64_t>> segment_trees(const std::vector<Segment>& segments);

// previous[t], the row of the token before token t: its neighbour, the last of the nearest ancestor that has
// tokens, or -1. [N]
std::vector<int64_t> previous_tokens(const std::vector<Segment>& segments);

}  // namespace temper
