// Two evaluations of the same prompts, side by side.
#pragma once

#include "base/json_fwd.h"
#include "eval/stored_samples.h"

namespace temper {

// Prompts are matched by their columns, which do not depend on a model's chat template, else by their words;
// equal ones in order. Of the matched prompts:
//   {"prompts": {"matched", "only_a", "only_b"}, "samples": {"a", "b"}, "compared": {name: {"a", "b",
//    "difference": {"value", "low", "high"}, "p_a_above_b", "prompts"}, ...}}
// names: "accuracy", with the paired table (paired_table()) and, as if the prompts were others, "unpaired":
// {"difference", "p_a_above_b"}; "pass@k" for the powers of two that both have samples for; "reward",
// "reward/<name>" of the rewards that both have, "length". Accuracy is compared as compare_paired() says, the
// others, prompt means, as compare_numbers(). Prompts without such a number in both are left out of it. The
// same files, level and seed give the same bytes. Throws UserError when no prompt matches.
Json compare_samples(const StoredSamples& a, const StoredSamples& b, double level, uint64_t seed);

}  // namespace temper
