// Rewards of examples: one of the record, or one of each segment of what is learnt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/records.h"
#include "task/sft/inputs.h"
#include "text/tokenizer.h"

namespace temper {

// A run of an example's tokens, [begin, end), with a reward of its own; null: it could not be told.
struct RewardedRun {
  int64_t begin = 0, end = 0;
  std::optional<double> reward;
};

// Whether the record's column holds segments, [{"text", "reward"}, ...] as temper-eval --score --segments
// writes them, rather than a number.
bool in_segments(const Record& record, const std::string& column);

// The rewards of the record's segments. Throws UserError at the record's place for a column that is no such
// list; `who` needs it.
std::vector<std::optional<double>> segment_rewards(const Record& record, const std::string& column,
                                                   const std::string& who);

// The runs of the record's segments, in order: of the last targets that stand together, which are the
// completion, the last assistant turn or the text; the first begins with them, the last ends with them.
// Segments without a token of their own, or behind where the example was cut, are left out. Throws UserError
// as segment_rewards(), and when the segments are not what is learnt.
std::vector<RewardedRun> segment_runs(const Tokenizer& tokenizer, const Record& record,
                                      const Example& example, const std::string& column,
                                      const std::string& who);

// Fills example.reward with the column's number, or those of its segments; tokens of a segment whose reward
// is null are no targets then. Whether a target is left. Throws UserError as number_column() and
// segment_runs() do.
bool set_rewards(const Tokenizer& tokenizer, const Record& record, const std::string& column,
                 const std::string& who, RewardedExample& example);

}  // namespace temper
