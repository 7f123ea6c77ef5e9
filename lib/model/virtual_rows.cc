#include "model/virtual_rows.h"

#include <ATen/ATen.h>

namespace temper {

PackedTokens behind_virtual_tokens(const PackedTokens& batch, const std::vector<int64_t>& ids) {
  const auto n = static_cast<int64_t>(ids.size());
  std::vector<Segment> segments = {{0, n, -1}};
  for (const Segment& s : batch.segments)
    segments.push_back({s.begin + n, s.end + n, s.parent < 0 ? 0 : s.parent + 1});
  return packed(at::cat({at::tensor(ids, at::kLong).to(batch.ids.device()), batch.ids}),
                at::cat({at::arange(n, batch.positions.options()), batch.positions + n}),
                std::move(segments));
}

}  // namespace temper
