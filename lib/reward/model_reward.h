// A model that scores completions: a sequence-classification folder or a LoRA of one, a process model whose
// scores of steps become one and are told beside it, or a causal model asked for Yes or No. Its weights stay
// frozen.
//
// A completion is encoded anew with the scoring model's own tokenizer and chat template, whichever tokenizer
// the policy has, so that it is scored in the very form that reward models train on: the prompt as text or as
// a chat, as its record has it, and the end token behind a completion that ended. The ids that were sampled
// are not taken over: a template may write more behind an answer than the policy samples.
#pragma once

#include <memory>
#include <string>

#include "reward/reward.h"
#include "reward/score.h"

namespace temper {

struct ModelRewardOptions : RewardOptions {
  std::string path;
  ScoreOptions score;
  std::string head;       // a score's name or number; "": the first
  std::string aggregate;  // "": the whole answer is scored; else its steps, see objective::aggregate_steps
  std::string step_scores = "probability";  // what is told of each step: | score
  std::string chat_template = "auto";
  bool chat_prompts = false;
  int64_t max_tokens = 0, micro_batch_tokens = 8192;
  std::string dtype = "auto", device = "cpu";
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;  // loads the model; throws UserError
};

}  // namespace temper
