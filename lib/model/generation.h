// generation_config.json: the ids that end a completion, and how the model wants to be sampled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

// The folder's generation_config.json; an empty object when there is none. Throws UserError.
Json read_generation_config(const std::string& folder);

// Its eos_token_id, one or several; empty: none. An adapter's folder may hold them too. Throws UserError.
std::vector<int64_t> stored_end_ids(const std::string& folder);

// `ids` with those of `more` that it lacks in front.
std::vector<int64_t> join_ids(const std::vector<int64_t>& more, const std::vector<int64_t>& ids);

// Writes the folder's generation_config.json: what it has, under what `base`'s has ("": none), with these end
// ids. Throws UserError.
void write_end_ids(const std::string& folder, const std::string& base, const std::vector<int64_t>& ids);

}  // namespace temper
