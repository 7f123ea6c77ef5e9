// A model that phases sample from, with all that it reads and writes by.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/records.h"
#include "env/environment.h"
#include "eval/evaluate.h"
#include "model/model.h"
#include "reward/reward.h"
#include "rollout/engine.h"
#include "task/rounds/phase.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// Which streams draws come from, and what is said while they are made.
struct SampleOptions {
  int64_t samples = 1;
  SamplingOptions sampling;
  uint64_t seed = 1, first = 0;  // the i-th prompt's stream is `first` + i
  bool held_out = false;
};

class PhaseSampler {
 public:
  // model: its folder. prefix: text before every prompt. The records are those that will be asked: what the
  // environment has prompts say is put into them. Throws UserError.
  PhaseSampler(const PhaseWork& work, const std::string& model, const std::string& prefix,
               std::vector<Record>& records);

  // Prompts of the records, which must outlive them. Those longer than data.max_tokens leave `records`, which
  // is told, and so do those in their places of `beside`. Throws UserError when none is left, for what the
  // rewards cannot judge, and as RecordEncoder::prompt.
  std::vector<EvalPrompt> prompts(std::vector<Record>& records, const RewardSet* rewards, uint64_t seed,
                                  std::vector<Record>* beside = nullptr);
  // Completions [prompt][sample] of `records`, one for each prompt.
  std::vector<std::vector<Completion>> sample(const std::vector<Record>& records,
                                              const std::vector<EvalPrompt>& prompts,
                                              const SampleOptions& options);
  // What the rewards say of such completions, prompt after prompt.
  std::vector<ScoredItem> score(RewardSet& rewards, const std::vector<RewardItem>& items);

 private:
  const PhaseWork& work_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> chat_;  // null: there is none
  std::unique_ptr<EnvironmentSource> environment_;
  std::unique_ptr<RecordEncoder> encoder_;
  std::unique_ptr<Model> model_;
  std::vector<int64_t> end_ids_;
};

}  // namespace temper
