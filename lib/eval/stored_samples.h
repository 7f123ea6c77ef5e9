// Samples that an earlier evaluation wrote, read back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "data/records.h"
#include "eval/evaluate.h"

namespace temper {

// An evaluation without a model: its samples with what was said of them, and its prompts.
struct StoredSamples {
  EvalResult result;                // no figures yet: measure_stored()
  std::vector<EvalPrompt> prompts;  // text and columns, which are kept here; no ids
  std::shared_ptr<const std::vector<Json>> columns;
  bool scored = false;      // the lines have rewards
  bool judged = false;      // the lines say which samples are correct
  bool has_ids = false;     // and which tokens they are
  int64_t samples() const;  // the most that a prompt has
};

// Of the lines that temper-eval --output writes (EvalResult::sample_json), or of scored answers as
// temper-generate --score writes them, one a line or in groups (data/groups.h; "reward" is the total). Lines
// of one prompt and the same columns are its samples; a sample number that was there already begins another
// prompt. An outcome that no sample had is not known of. Throws UserError, with the line, for others.
StoredSamples stored_samples(const std::vector<Record>& lines);

// The first prompts alone; 0: all.
void keep_first(StoredSamples& stored, int64_t prompts);

// Throws UserError for answers that nothing was said of.
void demand_scores(const StoredSamples& stored);

// Says which samples are correct: what the lines say, unless options.correct_by names a reward; where the
// lines do not say, it is the total above options.correct_above. Throws UserError when there is no such
// reward.
void judge_stored(StoredSamples& stored, const EvalOptions& options);

// The figures of stored samples, judged so. options.samples becomes the most that a prompt has. Throws
// UserError as score_completions().
void measure_stored(StoredSamples& stored, EvalOptions options);

// The same of what these rewards say of the completions; what the lines said of them goes.
void rescore_stored(StoredSamples& stored, RewardSet& rewards, EvalOptions options);

}  // namespace temper
