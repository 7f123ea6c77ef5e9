#include "tensor/accelerator/delta_rule.h"

#include <ATen/ATen.h>

#include <limits>

#include "tensor/recurrent/delta_chunk.h"

namespace temper::on_device {
namespace {

using at::Tensor;

constexpr int64_t kRows = DeltaChunk::kRows;

// Chunks of all segments. A chunk goes on from the state behind chunk `before`, or from that of its root when
// before < 0. Chunks of one level stand one after the other; level 0 has the chunks that go on from roots.
struct Plan {
  std::vector<int64_t> rows;                  // [chunks * kRows]: tokens, N where a chunk has no more
  std::vector<int64_t> token;                 // [N]: a token's place in rows
  std::vector<std::vector<int64_t>> before;   // a level's predecessors: places in the level above, or roots
  std::vector<int64_t> end_level, end_place;  // of the last chunk of each segment's path; level -1: its root
};

Plan plan_of(const std::vector<Segment>& segments) {
  struct Chunk {
    int64_t begin, end, place;  // place: of its predecessor in the level above, or of its root
  };
  Plan plan;
  std::vector<std::vector<Chunk>> levels;
  int64_t roots = 0;
  for (const Segment& s : segments) {
    int64_t level = -1, place = 0;
    if (s.parent < 0)
      place = roots++;
    else
      level = plan.end_level[s.parent], place = plan.end_place[s.parent];
    for (int64_t t = s.begin; t < s.end; t += kRows) {
      if (++level == static_cast<int64_t>(levels.size())) levels.emplace_back();
      levels[level].push_back({t, std::min(s.end, t + kRows), place});
      place = static_cast<int64_t>(levels[level].size()) - 1;
    }
    plan.end_level.push_back(level);
    plan.end_place.push_back(place);
  }
  const int64_t tokens = segments.empty() ? 0 : segments.back().end;
  plan.token.resize(tokens);
  for (const auto& level : levels) {
    plan.before.emplace_back();
    for (const Chunk& c : level) {
      plan.before.back().push_back(c.place);
      for (int64_t i = 0; i < kRows; ++i) {
        const bool has = c.begin + i < c.end;
        if (has) plan.token[c.begin + i] = static_cast<int64_t>(plan.rows.size());
        plan.rows.push_back(has ? c.begin + i : tokens);
      }
    }
  }
  return plan;
}

}  // namespace

DeltaRuleResult gated_delta_rule(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& log_decay,
                                 const Tensor& beta, const std::vector<Segment>& segments,
                                 const std::vector<int64_t>& ends, const Tensor& initial) {
  const Plan plan = plan_of(segments);
  const auto device = v.device();
  const auto on = [&](const std::vector<int64_t>& x) { return at::tensor(x, at::kLong).to(device); };
  const Tensor rows = on(plan.rows);
  const int64_t heads = v.size(1), group = heads / k.size(1), tokens = v.size(0);
  // [N, H, ..] -> [chunks, H, rows, ..] fp32; rows beyond a chunk's end are zeros, which change no state.
  const auto chunked = [&](const Tensor& x) {
    const Tensor wide = x.dim() == 2 ? x.unsqueeze(-1) : x;
    const Tensor padded = at::cat(
        {wide.to(at::kFloat), at::zeros({1, wide.size(1), wide.size(2)}, x.options().dtype(at::kFloat))});
    return padded.index_select(0, rows).reshape({-1, kRows, wide.size(1), wide.size(2)}).transpose(1, 2);
  };
  const auto shared = [&](const Tensor& x) { return chunked(x).repeat_interleave(group, 1); };
  const Tensor qc = shared(q), kc = shared(k), vc = chunked(v), rate = chunked(beta);
  const Tensor sums = chunked(log_decay).cumsum(2), decay = sums.exp();  // [chunks, Hv, rows, 1]
  const Tensor above = at::ones({kRows, kRows}, v.options().dtype(at::kBool)).triu(1);
  const Tensor ratio =
      (sums - sums.transpose(2, 3)).masked_fill(above, -std::numeric_limits<float>::infinity()).exp();
  const Tensor key_t = kc.transpose(2, 3);
  const Tensor lower = rate * ratio * at::matmul(kc, key_t), scores = ratio * at::matmul(qc, key_t);
  // D = from_values - from_state S0
  const Tensor solved =
      at::linalg_solve_triangular(lower, at::cat({rate * vc, rate * decay * kc}, 3), /*upper=*/false,
                                  /*left=*/true, /*unitriangular=*/true);
  const Tensor from_values = solved.narrow(3, 0, v.size(2)),
               from_state = solved.narrow(3, v.size(2), k.size(2));
  const Tensor queries = decay * qc;
  const Tensor last_keys = (ratio.narrow(2, kRows - 1, 1).transpose(2, 3) * kc).transpose(2, 3);
  const Tensor last_decay = decay.narrow(2, kRows - 1, 1);

  int64_t roots = 0, at = 0;
  for (const Segment& s : segments) roots += s.parent < 0;
  const Tensor root = initial.defined()
                          ? initial.to(at::kFloat)
                          : at::zeros({roots, heads, k.size(2), v.size(2)}, v.options().dtype(at::kFloat));
  std::vector<Tensor> states, outs;  // behind the chunks of each level
  for (const auto& before : plan.before) {
    const auto count = static_cast<int64_t>(before.size());
    const auto own = [&](const Tensor& x) { return x.narrow(0, at, count); };
    const Tensor state = (states.empty() ? root : states.back()).index_select(0, on(before));
    const Tensor d = own(from_values) - at::matmul(own(from_state), state);
    outs.push_back(at::matmul(own(queries), state) + at::matmul(own(scores), d));
    states.push_back(own(last_decay) * state + at::matmul(own(last_keys), d));
    at += count;
  }
  DeltaRuleResult result;
  result.out = tokens == 0 ? at::zeros_like(v)
                           : at::cat(outs)
                                 .transpose(1, 2)
                                 .reshape({-1, heads, v.size(2)})
                                 .index_select(0, on(plan.token))
                                 .to(v.scalar_type());
  std::vector<Tensor> behind;
  for (const int64_t e : ends)
    behind.push_back((plan.end_level[e] < 0 ? root : states[plan.end_level[e]])[plan.end_place[e]]);
  result.states = behind.empty() ? root.narrow(0, 0, 0) : at::stack(behind);
  return result;
}

}  // namespace temper::on_device
