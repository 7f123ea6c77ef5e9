#include "train/micro_batch.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace temper {
namespace {

// The rows of a micro-batch's segments, in their order, as they are added.
class RouteRows {
 public:
  // Rows [begin, begin + tokens) of what is known of a sequence; the segment has so many tokens.
  void add(const Sequence& s, size_t begin, size_t tokens) {
    const size_t all = s.prompt->size() + s.completion->size();
    if (s.routes != nullptr) {
      if (all == 0 || s.routes->size() % all != 0)
        bug("the experts of {} tokens are {} numbers", all, s.routes->size());
      width_ = s.routes->size() / all;
    }
    segments_.push_back({s.routes, begin, tokens});
    tokens_ += tokens;
  }
  // [N, R], undefined where nothing is known of any.
  at::Tensor on(at::Device device) const {
    if (width_ == 0) return {};
    const at::Tensor out =
        at::full({static_cast<int64_t>(tokens_), static_cast<int64_t>(width_)}, -1, at::kShort);
    auto* row = out.mutable_data_ptr<int16_t>();
    for (const Rows& r : segments_) {
      if (r.of != nullptr) std::copy_n(r.of->data() + r.begin * width_, r.tokens * width_, row);
      row += r.tokens * width_;
    }
    return out.to(device);
  }

 private:
  struct Rows {
    const std::vector<int16_t>* of;
    size_t begin, tokens;
  };
  std::vector<Rows> segments_;
  size_t width_ = 0, tokens_ = 0;
};

MicroBatch pack_sequences(const std::vector<Sequence>& all, int64_t first, int64_t last, bool share,
                          at::Device device) {
  Packer packer;
  MicroBatch batch;
  RouteRows routes;
  int64_t prompt = -1, group = 0;
  for (int64_t i = first; i < last; ++i) {
    const Sequence& s = all[i];
    if (prompt < 0 || s.group != group || !share) {
      prompt = packer.add_segment(*s.prompt);
      routes.add(s, 0, s.prompt->size());
      group = s.group;
    }
    const int64_t own = packer.add_segment(*s.completion, prompt);
    routes.add(s, s.prompt->size(), s.completion->size());
    const auto length = static_cast<int64_t>(s.completion->size());
    const int64_t index = i - first;
    if (s.target == nullptr) {
      packer.add_targets(own, 0, length, index);
    } else {
      for (int64_t t = 0; t < length; ++t) {
        if ((*s.target)[t]) packer.add_targets(own, t, t + 1, index);
      }
    }
    if (s.input != nullptr) packer.read_instead(own, *s.input);
    batch.sequences.push_back(i);
  }
  batch.tokens = packer.tokens_on(device);
  batch.routes = routes.on(device);
  batch.targets = packer.targets_on(device, last - first);
  return batch;
}

}  // namespace

std::vector<MicroBatch> cut_into_micro_batches(const std::vector<Sequence>& sequences, int64_t max_tokens,
                                               bool share_prompts, at::Device device) {
  std::vector<MicroBatch> out;
  const auto n = static_cast<int64_t>(sequences.size());
  // Tokens that sequences [i, end) add to a micro-batch that begins at `first`.
  const auto added = [&](int64_t first, int64_t i, int64_t end) {
    int64_t tokens = 0;
    for (; i < end; ++i) {
      const Sequence& s = sequences[i];
      const bool shares = share_prompts && i > first && sequences[i - 1].group == s.group;
      tokens += static_cast<int64_t>(s.completion->size() + (shares ? 0 : s.prompt->size()));
    }
    return tokens;
  };
  int64_t first = 0, tokens = 0;
  for (int64_t i = 0, end = 0; i < n; i = end) {
    end = i + 1;
    while (end < n && sequences[end].joined) ++end;
    int64_t more = added(first, i, end);
    if (i > first && tokens + more > max_tokens) {
      out.push_back(pack_sequences(sequences, first, i, share_prompts, device));
      first = i;
      tokens = 0;
      more = added(first, i, end);
    }
    tokens += more;
  }
  if (first < n) out.push_back(pack_sequences(sequences, first, n, share_prompts, device));
  return out;
}

}  // namespace temper
