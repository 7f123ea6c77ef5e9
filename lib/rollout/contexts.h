// Attention of the engine's passes over the model: prompts whose keys and values are kept, and one new token
// of every sequence. On the CPU and on accelerators.
#pragma once

#include <optional>
#include <vector>

#include "model/model.h"
#include "rollout/decode_attention.h"
#include "rollout/device_decode.h"
#include "tensor/ops.h"
#include "tensor/packed.h"

namespace temper {

// Prompts in one packed pass: they attend to themselves, and their keys and values are kept.
class PrefillContext : public AttentionContext {
 public:
  // runs: one a segment of the batch, extended by its tokens. Both must outlive this.
  PrefillContext(const PackedTokens& batch, std::vector<const KvRun*> runs);
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const AttentionLaw& law) override;
  at::Tensor mix(int64_t layer, const MixInput& in) override;
  void routed(int64_t sparse_layer, const at::Tensor& experts) override;
  at::Tensor* latent_up(int64_t layer) override;
  at::Tensor convolve(int64_t layer, const at::Tensor& x, const at::Tensor& weight) override;

 private:
  void store(int64_t layer, const at::Tensor& k, const at::Tensor& v) const;
  std::vector<RecurrentState*> states(int64_t layer) const;

  const PackedTokens& batch_;
  std::vector<const KvRun*> runs_;
  at::Tensor places_;  // of the tokens in the arena of an accelerator
};

// Sub-layers that a pass leaves out, by layer: [layers] each.
struct SkippedSublayers {
  std::vector<bool> attention, mlp;
};

// New tokens of every sequence, most often one.
class DecodeContext : public AttentionContext {
 public:
  // skipped: null for none; it must outlive this.
  explicit DecodeContext(std::vector<DecodeRow> rows, const SkippedSublayers* skipped = nullptr);
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const AttentionLaw& law) override;
  at::Tensor mix(int64_t layer, const MixInput& in) override;
  void routed(int64_t sparse_layer, const at::Tensor& experts) override;
  at::Tensor* latent_up(int64_t layer) override;
  at::Tensor convolve(int64_t layer, const at::Tensor& x, const at::Tensor& weight) override;
  bool skips_attention(int64_t layer) const override {
    return skipped_ != nullptr && skipped_->attention[static_cast<size_t>(layer)];
  }
  bool skips_mlp(int64_t layer) const override {
    return skipped_ != nullptr && skipped_->mlp[static_cast<size_t>(layer)];
  }

 private:
  // The rows of each sequence, and what a layer with a state keeps of it.
  struct Onward {
    std::vector<Segment> segments;
    std::vector<RecurrentState*> states;
  };
  Onward onward(int64_t layer) const;

  std::vector<DecodeRow> rows_;
  const SkippedSublayers* skipped_;
  std::optional<DecodePlan> plan_;  // on an accelerator
};

}  // namespace temper
