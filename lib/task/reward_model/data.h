// The records of a reward-model run, and the packed steps made of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/records.h"
#include "model/model.h"
#include "objective/reward/algorithm.h"
#include "reward/score.h"
#include "train/micro_batch.h"

namespace temper {

struct RewardModelTask;

// What a loss has one value for: a pair, the answers to a prompt, a rated answer, or a solution in steps. A
// row is a place where a score is read.
struct ScoredUnit {
  objective::RewardRows form = objective::RewardRows::kPairs;
  std::vector<Answer> answers;              // a pair's: chosen, rejected
  std::vector<std::vector<int64_t>> reads;  // of each answer: places in prompt and completion together
  double margin = 0;                        // pairs: the record's, else 0
  double strength = 0;                      // pairs, where a loss needs it or the record has it; else NaN
  std::vector<double> labels;               // groups and steps: of each row, 1 right, 0 wrong
  std::vector<double> ratings;              // rated: of each score, NaN: not rated
};

struct ScoredUnits {
  std::vector<ScoredUnit> all;
  int64_t records = 0;           // that there were
  int64_t overlong = 0;          // records left out: longer than max_tokens
  int64_t useless = 0;           // ... or without anything to compare or to learn from
  int64_t overlong_answers = 0;  // left out of groups that are there
};

// Groups of scored answers (data/groups.h) as what the losses learn from: the first of pairs by task.pairs,
// completions or steps labelled by task.label_threshold, and answers rated one by one. The other records are
// as they are. without: prompts that give no pair, are added to it.
std::vector<Record> in_forms(const std::vector<Record>& records, const objective::RewardObjective& objective,
                             const RewardModelTask& task, uint64_t seed, int64_t* without = nullptr);

// The attributes that records rate: names, or as many empty ones as an array has. Sorted, so that the order
// of the records says nothing.
std::vector<std::string> rated_attributes(const std::vector<Record>& records);

// Throws UserError for a record of a form that no loss learns from, or a column of another type than it
// needs.
ScoredUnits read_units(const RecordEncoder& encoder, const std::vector<Record>& records,
                       const objective::RewardObjective& objective, const ScoreReader& reader,
                       const Model& model, const std::string& separator);

// Throws UserError when there is no unit, or none for one of the losses.
void check_units(const ScoredUnits& units, const objective::RewardObjective& objective, int64_t max_tokens);

// Some units as sequences, in order; the units must outlive it.
struct ScoredStep {
  std::vector<const ScoredUnit*> units;
  std::vector<Sequence> sequences;
  std::vector<const std::vector<int64_t>*> reads;  // of each sequence
  std::vector<int64_t> unit_of;                    // of each sequence
  int64_t tokens = 0;                              // a shared prompt counts once
};
ScoredStep make_step(const std::vector<const ScoredUnit*>& units);

// Rows of a micro-batch's hidden states where its scores are read, in order of units. [R] int64.
at::Tensor score_rows(const ScoredStep& step, const MicroBatch& micro);

// What a loss of this form sees of units whose scores [R, A] are all the rows' in order.
objective::RewardBatch reward_batch(const std::vector<const ScoredUnit*>& units, objective::RewardRows form,
                                    const at::Tensor& scores);

}  // namespace temper
