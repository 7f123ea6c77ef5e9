// First embeddings of tokens that a run adds.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace temper {

// Tokens with the ids `first`, first + 1 ... are new: the embedding, an untied head and a family's own table
// of tokens grow where they have too few rows, and a new token's row is the mean of the rows of like[i], or,
// where that is empty, of all ids before `first`; in fp32. Before an adapter is attached.
void add_token_rows(Model& model, int64_t first, const std::vector<std::vector<int64_t>>& like);

}  // namespace temper
