// Passes of the model over tokens whose keys and values are kept: whole prompts, and tokens behind them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model.h"
#include "rollout/contexts.h"
#include "rollout/kv_cache.h"

namespace temper {

constexpr int64_t kPrefillTokens = 4096;  // that are computed in one pass, or one prompt

// What a token of the model keeps; with `routes` the experts that it went to as well.
KvShape kv_shape(const Model& model, bool routes = false);

// A prompt's keys and values, and the hidden states [n, H] that predict what follows each of its tokens: a
// view of all prompts' of the pass.
struct ReadPrompt {
  std::shared_ptr<KvRun> run;
  at::Tensor hidden;
};

// Reads prompts in one packed pass.
std::vector<ReadPrompt> read_prompts(Model& model, KvPool& pool,
                                     const std::vector<std::vector<int64_t>>& prompts);

// Tokens that the next pass reads, each behind those that its runs hold.
class TokensToRead {
 public:
  // `own` is extended by the token.
  void add(int64_t id, const KvRun& prompt, KvRun& own);
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  bool empty() const { return ids_.empty(); }
  const std::vector<int64_t>& ids() const { return ids_; }
  const std::vector<int64_t>& positions() const { return positions_; }
  const std::vector<DecodeRow>& rows() const { return rows_; }
  // The pass, without the sub-layers that are skipped: [N, H] in the order in which they were added. Nothing
  // is left to read.
  at::Tensor hidden(Model& model, const SkippedSublayers* skipped = nullptr);

 private:
  std::vector<int64_t> ids_, positions_;
  std::vector<DecodeRow> rows_;
};

}  // namespace temper
