// Pairs made of other records: of rated answers, and of solutions whose steps were judged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/records.h"

namespace temper {

// {"prompt", "completions": [...], "ratings": [...]}: answers to one prompt, best first; equal ratings keep
// their order. A completion is a string, or a list of messages where the prompt is one. A group's rewards are
// its ratings (data/groups.h).
struct RatedAnswers {
  std::vector<Json> completions;
  std::vector<double> ratings;
};
// Throws UserError, with file and line, when the record is no such thing.
RatedAnswers rated_answers(const Record& record);

// {"prompts": [...], "completions": [...]}: as many prompts as completions, the i-th completion written after
// the i-th prompt; the prompts differ in the constitution that they carry (SAMI, arXiv 2404.14313).
struct PromptedAnswers {
  std::vector<Json> prompts, completions;
};
// Throws UserError, with file and line, when the record is no such thing.
PromptedAnswers prompted_answers(const Record& record);

// The prompt and one answer to it, as a record of kPromptCompletion that says where it comes from.
Record answer_record(const Record& record, const Json& prompt, const Json& completion);

// Curry-DPO (arXiv 2403.07230): of n answers of a record the best against another one, that of rank n in the
// first stage and of rank 2 in the last, ranks between them evenly in between: with four answers and three
// stages (1, 4), (1, 3), (1, 2). Pairs of equal ratings are left out and counted in `ties`. Throws UserError
// for a record with fewer answers than stages + 1.
std::vector<Record> rated_pairs(const std::vector<Record>& records, int64_t stage, int64_t stages,
                                int64_t* ties = nullptr);

// How pairs are made of judged steps: {"prompt", "completions": [step, ...]} with "labels": [true, ...] (the
// step is right) or "shares": [0.4, ...] (the share of completions from behind the step that end right).
// Q of a step is its share under the best of `attempts` tries, 1 - (1 - share)^attempts; the pit of a wrong
// solution is its first step of the lowest Q. A solution is right when all labels are true, or its last share
// is above a half. arXiv 2406.14532.
struct StepPairOptions {
  // "practical": chosen is a right solution of the prompt, rejected the wrong one up to its pit.
  // "shared_prefix": behind the steps before the pit, chosen is the step of the highest Q that another
  // solution of the prompt takes there, rejected the pit; only where that Q is higher.
  std::string form = "practical";
  int64_t attempts = 5;
  std::string separator = "\n";  // between steps
};
// A pair for every wrong solution that has a partner among the records of the same prompt (right ones in
// turn), or in its own column "solution"; the others are counted in `unmatched`. What was cut is marked by
// "unfinished" and gets no end token. Throws UserError for a record of another form.
std::vector<Record> step_pairs(const std::vector<Record>& records, const StepPairOptions& options,
                               int64_t* unmatched = nullptr);

}  // namespace temper
