// The loss of held-out texts and answers: of a task's own held-out data, and of the sets that a run looks at
// beside it ("eval.losses"), such as old data and new.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/loss.h"
#include "train/evaluation.h"
#include "train/examples.h"

namespace temper {

class Model;

// Whether there is a target with a token before it to predict it from.
bool has_target(const Example& example);

// Micro-batches of whole examples, in order; see cut_into_micro_batches. The examples must outlive them.
std::vector<MicroBatch> whole_batches(const std::vector<Example>& examples, int64_t max_tokens,
                                      at::Device device);

// Of each example of a micro-batch, from a pass without gradient.
std::vector<RecordLoss> record_losses(Model& model, const MicroBatch& batch);

// The mean of -log p over all target tokens of these examples, under the session's model as it is; the ranks
// share the passes. None: there is no target.
std::optional<double> held_out_loss(Session& session, const std::vector<Example>& examples);

// Texts, completions or chats, encoded as supervised training does, with the run's targets.
struct LossSet {
  std::string name;
  Records records;
  Examples examples;  // those of the records that fit
};

// The sets of eval.losses, the first eval.limit records of each. Throws UserError when nothing of a set is
// left to measure on.
std::vector<LossSet> read_loss_sets(const Session& session);

// "loss/<name>" and "perplexity/<name>" of the session's sets, and a word of them for people. They are the
// evaluation's score, their mean, where the run has no other held-out data.
void evaluate_loss_sets(Session& session, const std::string& when, Evaluation& out);

}  // namespace temper
