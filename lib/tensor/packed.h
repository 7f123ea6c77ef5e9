// The packed batch: all sequences lie end to end and nothing is padded. See DESIGN: a segment attends to
// itself causally and to everything of its parents; a GRPO group is one prompt segment and G children.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace temper {

// Tokens [begin, end); attends to its parents' tokens too. A parent stands before its children.
struct Segment {
  int64_t begin = 0, end = 0;
  int64_t parent = -1;
  int64_t length() const { return end - begin; }
};

class AttentionPlan;

struct PackedTokens {
  at::Tensor ids;        // [N] int64
  at::Tensor positions;  // [N] int64, continuing the parent's
  std::vector<Segment> segments;
  std::shared_ptr<const AttentionPlan> plan;  // where the ids are on an accelerator; see packed()
  int64_t tokens() const { return segments.empty() ? 0 : segments.back().end; }
};

// The batch of these tokens with what attention on their device needs.
PackedTokens packed(at::Tensor ids, at::Tensor positions, std::vector<Segment> segments);

// What to predict. For target m: token[m] is the id, source[m] the row of the hidden states that predicts it,
// and sequence[m] the sequence it belongs to (0 .. sequences-1; sequences without targets may exist).
struct Targets {
  at::Tensor token, source, sequence;  // each [M] int64
  int64_t sequences = 0;
};

// Builds a PackedTokens and its Targets piece by piece.
class Packer {
 public:
  // Appends a segment; its positions go on after `parent`'s last token. Returns its index. May be empty of
  // tokens.
  int64_t add_segment(const std::vector<int64_t>& ids, int64_t parent = -1);
  // Makes tokens [from, to) of the segment (offsets inside it) targets of `sequence`. The token at offset 0
  // is predicted by the parent's last token; a root's first token cannot be predicted and is skipped.
  void add_targets(int64_t segment, int64_t from, int64_t to, int64_t sequence);
  // What the model reads in the place of the segment's tokens; targets that were added keep theirs.
  void read_instead(int64_t segment, const std::vector<int64_t>& ids);
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  PackedTokens tokens_on(at::Device device) const;
  Targets targets_on(at::Device device, int64_t sequences) const;

 private:
  int64_t source_before(
      int64_t segment) const;  // row of the last token before the segment, -1 when there is none
  std::vector<int64_t> ids_, positions_, token_, source_, sequence_;
  std::vector<Segment> segments_;
};

// Segment operations. value [M], sequence [M] int64 in [0, S) -> [S]; differentiable in value. Empty segments
// give 0 (sum, mean) or -inf (max).
at::Tensor segment_sum(const at::Tensor& value, const at::Tensor& sequence, int64_t segments);
at::Tensor segment_mean(const at::Tensor& value, const at::Tensor& sequence, int64_t segments);
at::Tensor segment_max(const at::Tensor& value, const at::Tensor& sequence, int64_t segments);
at::Tensor segment_count(const at::Tensor& sequence, int64_t segments);  // [S] fp32
// per_sequence [S] -> [M], differentiable.
at::Tensor gather_sequence(const at::Tensor& per_sequence, const at::Tensor& sequence);

}  // namespace temper
