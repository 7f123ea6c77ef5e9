// Decoding steps of an accelerator as recorded work: one recording for each size of batch, filled up to it,
// into which a step's ids, places and draws are copied.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "model/model.h"
#include "rollout/decode_attention.h"
#include "rollout/sampler.h"
#include "tensor/accelerator/graph.h"

namespace temper {

// What one sequence brings to a step.
struct StepRow {
  int64_t id = 0, position = 0;  // of the token that is read
  DecodeRow runs;                // own already extended by that token
  double uniform = 0;
  bool may_end = true;  // end ids are not ruled out
};

class RecordedSteps {
 public:
  // Of batches of up to max_batch sequences whose runs are pool's. The model's weights must stay where they
  // are.
  RecordedSteps(Model& model, const SamplingOptions& sampling, std::vector<int64_t> end_ids, KvPool& pool,
                int64_t max_batch);
  ~RecordedSteps();
  // Whether it can: draws without penalties or bans, bf16, no window shorter than `longest`
  // tokens, no virtual tokens (whose rows are looked for).
  static bool can(Model& model, const SamplingOptions& sampling, int64_t longest);
  // The next token of each row. Throws as sample_tokens does, and CannotRecord when the model's step cannot
  // be recorded: then nothing but the keys and values of the tokens that were read has been written.
  std::vector<SampledToken> run(const std::vector<StepRow>& rows);

 private:
  struct Recording;
  Recording& recording_for(int64_t rows);
  void record(Recording& r);

  Model& model_;
  const SamplingOptions& sampling_;
  std::vector<int64_t> end_ids_;
  KvPool& pool_;
  int64_t max_batch_;
  KvRun nobody_;  // one token that the rows beyond the batch read and write
  GraphRecorder recorder_;
  std::map<int64_t, std::unique_ptr<Recording>> recordings_;  // by rows
};

}  // namespace temper
