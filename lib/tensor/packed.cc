#include "tensor/packed.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "tensor/accelerator/attention.h"

namespace temper {
namespace {

at::Tensor to_device(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).to(device);
}

}  // namespace

PackedTokens packed(at::Tensor ids, at::Tensor positions, std::vector<Segment> segments) {
  PackedTokens out{std::move(ids), std::move(positions), std::move(segments), nullptr};
  if (!out.ids.is_cpu()) out.plan = std::make_shared<AttentionPlan>(out.segments, out.ids.device());
  return out;
}

int64_t Packer::add_segment(const std::vector<int64_t>& ids, int64_t parent) {
  const auto index = static_cast<int64_t>(segments_.size());
  if (parent >= index) bug("Packer: parent {} of segment {} does not stand before it", parent, index);
  int64_t position = 0;
  for (int64_t p = parent; p >= 0; p = segments_[p].parent) position += segments_[p].length();
  const int64_t begin = tokens();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i) positions_.push_back(position + static_cast<int64_t>(i));
  segments_.push_back({begin, tokens(), parent});
  return index;
}

int64_t Packer::source_before(int64_t segment) const {
  for (int64_t p = segments_[segment].parent; p >= 0; p = segments_[p].parent) {
    if (segments_[p].length() > 0) return segments_[p].end - 1;
  }
  return -1;
}

void Packer::add_targets(int64_t segment, int64_t from, int64_t to, int64_t sequence) {
  const Segment& s = segments_[segment];
  if (from < 0 || to > s.length() || from > to)
    bug("Packer: targets [{}, {}) outside a segment of {}", from, to, s.length());
  for (int64_t t = from; t < to; ++t) {
    const int64_t source = t > 0 ? s.begin + t - 1 : source_before(segment);
    if (source < 0) continue;
    token_.push_back(ids_[s.begin + t]);
    source_.push_back(source);
    sequence_.push_back(sequence);
  }
}

void Packer::read_instead(int64_t segment, const std::vector<int64_t>& ids) {
  const Segment& s = segments_[segment];
  if (static_cast<int64_t>(ids.size()) != s.length())
    bug("Packer: {} tokens in the place of {}", ids.size(), s.length());
  std::copy(ids.begin(), ids.end(), ids_.begin() + s.begin);
}

PackedTokens Packer::tokens_on(at::Device device) const {
  return packed(to_device(ids_, device), to_device(positions_, device), segments_);
}

Targets Packer::targets_on(at::Device device, int64_t sequences) const {
  return {to_device(token_, device), to_device(source_, device), to_device(sequence_, device), sequences};
}

at::Tensor segment_sum(const at::Tensor& value, const at::Tensor& sequence, int64_t segments) {
  return at::zeros({segments}, value.options().requires_grad(false)).index_add(0, sequence, value);
}

at::Tensor segment_count(const at::Tensor& sequence, int64_t segments) {
  return at::bincount(sequence, {}, segments).to(at::kFloat);
}

at::Tensor segment_mean(const at::Tensor& value, const at::Tensor& sequence, int64_t segments) {
  return segment_sum(value, sequence, segments) /
         segment_count(sequence, segments).clamp_min(1).to(value.dtype());
}

at::Tensor segment_max(const at::Tensor& value, const at::Tensor& sequence, int64_t segments) {
  const auto lowest =
      at::full({segments}, -std::numeric_limits<double>::infinity(), value.options().requires_grad(false));
  return lowest.scatter_reduce(0, sequence, value, "amax", /*include_self=*/true);
}

at::Tensor gather_sequence(const at::Tensor& per_sequence, const at::Tensor& sequence) {
  return per_sequence.index_select(0, sequence);
}

}  // namespace temper
