// Attention of a packed batch; on the CPU by the kernels below. Work is cut into (tree of segments) x
// (key/value head); each piece runs on one thread from start to end, so sums have one order whatever the
// number of threads. Inside a piece, blocks of query rows (all query heads of the key/value head together)
// meet each ancestor's keys in one matrix product.
#include "tensor/accelerator/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/ops.h"
#include "tensor/vec.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kBlockTokens = 64;

// A root segment and everything below it.
struct Tree {
  std::vector<int64_t> segments;
  int64_t begin = 0, end = 0;  // tokens, the smallest interval that holds them
};

std::vector<Tree> trees_of(const std::vector<Segment>& segments) {
  std::vector<Tree> trees;
  std::vector<size_t> tree_of(segments.size());
  for (size_t s = 0; s < segments.size(); ++s) {
    if (segments[s].parent < 0) {
      tree_of[s] = trees.size();
      trees.push_back({{}, segments[s].begin, segments[s].end});
    } else {
      tree_of[s] = tree_of[segments[s].parent];
    }
    Tree& tree = trees[tree_of[s]];
    tree.segments.push_back(static_cast<int64_t>(s));
    tree.end = std::max(tree.end, segments[s].end);
  }
  return trees;
}

// Key ranges of a segment: its ancestors from the root, then itself.
std::vector<Segment> chain_of(const std::vector<Segment>& segments, int64_t s) {
  std::vector<Segment> chain;
  for (; s >= 0; s = segments[s].parent) chain.push_back(segments[s]);
  return {chain.rbegin(), chain.rend()};
}

struct Shape {
  int64_t tokens, q_heads, kv_heads, size, group;  // group: query heads a key/value head
  float scale;
  int64_t window;
};

// Which keys of a row count: [first, last) of the chain's concatenated keys.
struct Visible {
  int64_t first, last;
};
Visible visible(const Shape& shape, int64_t position) {
  const int64_t first = shape.window > 0 ? std::max<int64_t>(0, position - shape.window + 1) : 0;
  return {first, position + 1};
}

// Rows of one query block: `group` heads x `rows` tokens, head-major, copied to [group * rows, D].
template <typename T>
void gather_rows(const T* x, const Shape& s, int64_t kv_head, int64_t token, int64_t rows, T* out) {
  for (int64_t g = 0; g < s.group; ++g) {
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(x + ((token + i) * s.q_heads + kv_head * s.group + g) * s.size, s.size,
                  out + (g * rows + i) * s.size);
    }
  }
}

// Calls f(segment, chain, token, rows, keys before the segment, keys in all) for each query block of a tree.
template <typename F>
void for_each_block(const std::vector<Segment>& segments, const Tree& tree, const F& f) {
  for (const int64_t index : tree.segments) {
    const auto chain = chain_of(segments, index);
    const Segment& self = chain.back();
    int64_t before = 0;
    for (size_t i = 0; i + 1 < chain.size(); ++i) before += chain[i].length();
    for (int64_t token = self.begin; token < self.end; token += kBlockTokens) {
      const int64_t rows = std::min(kBlockTokens, self.end - token);
      f(chain, token, rows, before, before + token - self.begin + rows);
    }
  }
}

// Calls f(first key token, keys, column) for each key range that a block reads; the last range stops at the
// block's end.
template <typename F>
void for_each_range(const std::vector<Segment>& chain, int64_t block_end, const F& f) {
  int64_t column = 0;
  for (size_t i = 0; i < chain.size(); ++i) {
    const int64_t end = i + 1 == chain.size() ? block_end : chain[i].end;
    const int64_t keys = end - chain[i].begin;
    if (keys > 0) f(chain[i].begin, keys, column);
    column += keys;
  }
}

template <typename T>
struct Scratch {
  std::vector<float> scores, other, out;
  std::vector<T> q, p, d;
  void reserve(const Shape& s, int64_t rows, int64_t keys) {
    const auto r = static_cast<size_t>(rows * s.group);
    scores.resize(r * keys);
    p.resize(r * keys);
    q.resize(r * s.size);
    out.resize(r * s.size);
  }
};

template <typename T>
void forward_piece(const Shape& s, const std::vector<Segment>& segments, const Tree& tree, int64_t head,
                   const T* q, const T* k, const T* v, T* out, float* lse) {
  const int64_t kv_row = s.kv_heads * s.size;
  Scratch<T> scratch;
  for_each_block(
      segments, tree, [&](const auto& chain, int64_t token, int64_t rows, int64_t before, int64_t keys) {
        scratch.reserve(s, rows, keys);
        gather_rows(q, s, head, token, rows, scratch.q.data());
        const int64_t m = rows * s.group;
        for_each_range(chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
          gemm(Trans::kNo, Trans::kYes, m, n, s.size, scratch.q.data(), s.size,
               k + key * kv_row + head * s.size, kv_row, false, scratch.scores.data() + column, keys);
        });
        for (int64_t r = 0; r < m; ++r) {
          const int64_t i = r % rows, g = r / rows;
          const Visible seen = visible(s, keys - rows + i);
          const int64_t first = seen.first, last = seen.last;
          float* row = scratch.scores.data() + r * keys;
          T* prob = scratch.p.data() + r * keys;
          float top = -std::numeric_limits<float>::infinity();
          for (int64_t c = first; c < last; ++c) top = std::max(top, row[c]);
          const vec::Floats scale(s.scale), shift(top * s.scale);
          const float total = vec::sum_over(last - first, [&](int64_t c, int64_t n) {
            const auto e = (vec::load(row + first + c, n) * scale - shift).exp_u20();
            vec::store(row + first + c, e, n);
            return e;
          });
          const vec::Floats inverse(1.0f / total);
          std::fill(prob, prob + first, T(0.0f));
          std::fill(prob + last, prob + keys, T(0.0f));
          vec::for_each(last - first, [&](int64_t c, int64_t n) {
            vec::store(prob + first + c, vec::load(row + first + c, n) * inverse, n);
          });
          lse[(head * s.group + g) * s.tokens + token + i] = top * s.scale + std::log(total);
        }
        bool accumulate = false;
        for_each_range(chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
          gemm(Trans::kNo, Trans::kNo, m, s.size, n, scratch.p.data() + column, keys,
               v + key * kv_row + head * s.size, kv_row, accumulate, scratch.out.data(), s.size);
          accumulate = true;
        });
        for (int64_t r = 0; r < m; ++r) {
          const int64_t i = r % rows, g = r / rows;
          T* to = out + ((token + i) * s.q_heads + head * s.group + g) * s.size;
          vec::for_each(s.size, [&](int64_t c, int64_t n) {
            vec::store(to + c, vec::load(scratch.out.data() + r * s.size + c, n), n);
          });
        }
      });
}

template <typename T>
void backward_piece(const Shape& s, const std::vector<Segment>& segments, const Tree& tree, int64_t head,
                    const T* q, const T* k, const T* v, const T* out, const T* dout, const float* lse, T* dq,
                    T* dk, T* dv) {
  const int64_t kv_row = s.kv_heads * s.size, span = tree.end - tree.begin;
  std::vector<float> dk_sum(span * s.size, 0.0f), dv_sum(span * s.size, 0.0f);
  Scratch<T> scratch;
  std::vector<float> dp;
  std::vector<T> dout_rows, ds;
  for_each_block(segments, tree,
                 [&](const auto& chain, int64_t token, int64_t rows, int64_t before, int64_t keys) {
                   const int64_t m = rows * s.group;
                   scratch.reserve(s, rows, keys);
                   dp.resize(m * keys);
                   ds.resize(m * keys);
                   dout_rows.resize(m * s.size);
                   gather_rows(q, s, head, token, rows, scratch.q.data());
                   gather_rows(dout, s, head, token, rows, dout_rows.data());
                   for_each_range(chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
                     const int64_t at = key * kv_row + head * s.size;
                     gemm(Trans::kNo, Trans::kYes, m, n, s.size, scratch.q.data(), s.size, k + at, kv_row,
                          false, scratch.scores.data() + column, keys);
                     gemm(Trans::kNo, Trans::kYes, m, n, s.size, dout_rows.data(), s.size, v + at, kv_row,
                          false, dp.data() + column, keys);
                   });
                   for (int64_t r = 0; r < m; ++r) {
                     const int64_t i = r % rows, g = r / rows;
                     const Visible seen = visible(s, keys - rows + i);
                     const int64_t first = seen.first, last = seen.last;
                     const int64_t at = ((token + i) * s.q_heads + head * s.group + g) * s.size;
                     const float delta = vec::sum_over(s.size, [&](int64_t c, int64_t n) {
                       return vec::load(out + at + c, n) * vec::load(dout + at + c, n);
                     });
                     const float* row = scratch.scores.data() + r * keys;
                     const float* drow = dp.data() + r * keys;
                     T *prob = scratch.p.data() + r * keys, *dsr = ds.data() + r * keys;
                     const vec::Floats scale(s.scale),
                         shift(lse[(head * s.group + g) * s.tokens + token + i]), dl(delta);
                     std::fill(prob, prob + first, T(0.0f));
                     std::fill(prob + last, prob + keys, T(0.0f));
                     std::fill(dsr, dsr + first, T(0.0f));
                     std::fill(dsr + last, dsr + keys, T(0.0f));
                     vec::for_each(last - first, [&](int64_t c, int64_t n) {
                       const auto p = (vec::load(row + first + c, n) * scale - shift).exp_u20();
                       vec::store(prob + first + c, p, n);
                       vec::store(dsr + first + c, p * (vec::load(drow + first + c, n) - dl) * scale, n);
                     });
                   }
                   bool accumulate = false;
                   for_each_range(chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
                     const int64_t at = key * kv_row + head * s.size, sum = (key - tree.begin) * s.size;
                     gemm(Trans::kNo, Trans::kNo, m, s.size, n, ds.data() + column, keys, k + at, kv_row,
                          accumulate, scratch.out.data(), s.size);
                     gemm(Trans::kYes, Trans::kNo, n, s.size, m, ds.data() + column, keys, scratch.q.data(),
                          s.size, true, dk_sum.data() + sum, s.size);
                     gemm(Trans::kYes, Trans::kNo, n, s.size, m, scratch.p.data() + column, keys,
                          dout_rows.data(), s.size, true, dv_sum.data() + sum, s.size);
                     accumulate = true;
                   });
                   for (int64_t r = 0; r < m; ++r) {
                     const int64_t i = r % rows, g = r / rows;
                     T* to = dq + ((token + i) * s.q_heads + head * s.group + g) * s.size;
                     vec::for_each(s.size, [&](int64_t c, int64_t n) {
                       vec::store(to + c, vec::load(scratch.out.data() + r * s.size + c, n), n);
                     });
                   }
                 });
  for (const int64_t index : tree.segments) {
    for (int64_t t = segments[index].begin; t < segments[index].end; ++t) {
      const int64_t to = t * kv_row + head * s.size, from = (t - tree.begin) * s.size;
      vec::for_each(s.size, [&](int64_t c, int64_t n) {
        vec::store(dk + to + c, vec::load(dk_sum.data() + from + c, n), n);
        vec::store(dv + to + c, vec::load(dv_sum.data() + from + c, n), n);
      });
    }
  }
}

template <typename F>
void for_each_piece(const std::vector<Tree>& trees, const Shape& s, const F& f) {
  const auto pieces = static_cast<int64_t>(trees.size()) * s.kv_heads;
  at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(trees[i % trees.size()], i / static_cast<int64_t>(trees.size()));
  });
}

Shape shape_of(const Tensor& q, const Tensor& k, double scale, int64_t window) {
  return {q.size(0), q.size(1), k.size(1), q.size(2), q.size(1) / k.size(1), static_cast<float>(scale),
          window};
}

Attended attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                           const std::vector<Segment>& segments, double scale, int64_t window) {
  const Shape s = shape_of(q, k, scale, window);
  Tensor out = at::empty_like(q), lse = at::empty({s.q_heads, s.tokens}, q.options().dtype(at::kFloat));
  const auto trees = trees_of(segments);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    for_each_piece(trees, s, [&](const Tree& tree, int64_t head) {
      forward_piece(s, segments, tree, head, q.const_data_ptr<T>(), k.const_data_ptr<T>(),
                    v.const_data_ptr<T>(), out.mutable_data_ptr<T>(), lse.mutable_data_ptr<float>());
    });
  };
  if (q.scalar_type() == at::kFloat)
    run(float{});
  else
    run(c10::BFloat16{});
  return {out, lse};
}

std::array<Tensor, 3> attention_backward(const Tensor& dout, const Tensor& q, const Tensor& k,
                                         const Tensor& v, const Attended& attended,
                                         const std::vector<Segment>& segments, double scale, int64_t window) {
  const Shape s = shape_of(q, k, scale, window);
  Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
  const auto trees = trees_of(segments);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    for_each_piece(trees, s, [&](const Tree& tree, int64_t head) {
      backward_piece(s, segments, tree, head, q.const_data_ptr<T>(), k.const_data_ptr<T>(),
                     v.const_data_ptr<T>(), attended.out.const_data_ptr<T>(), dout.const_data_ptr<T>(),
                     attended.lse.const_data_ptr<float>(), dq.mutable_data_ptr<T>(), dk.mutable_data_ptr<T>(),
                     dv.mutable_data_ptr<T>());
    });
  };
  if (q.scalar_type() == at::kFloat)
    run(float{});
  else
    run(c10::BFloat16{});
  return {dq, dk, dv};
}

struct PackedAttention : Function<PackedAttention> {
  struct Batch : torch::CustomClassHolder {
    std::vector<Segment> segments;              // on the CPU
    std::shared_ptr<const AttentionPlan> plan;  // elsewhere
    double scale = 1;
    int64_t window = 0;
  };
  static Attended run(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& batch,
                      double scale, int64_t window) {
    if (q.is_cpu()) return attention_forward(q, k, v, batch.segments, scale, window);
    if (batch.plan == nullptr) bug("packed_attention: a batch on {} without a plan", q.device().str());
    return on_device::attention(q, k, v, *batch.plan, scale, window);
  }
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                        const PackedTokens* batch, double scale, int64_t window) {
    const Attended attended = run(q, k, v, *batch, scale, window);
    auto kept = c10::make_intrusive<Batch>();
    if (q.is_cpu()) kept->segments = batch->segments;
    kept->plan = batch->plan, kept->scale = scale, kept->window = window;
    ctx->saved_data["batch"] = c10::IValue::make_capsule(kept);
    ctx->save_for_backward({q, k, v, attended.out, attended.lse});
    return attended.out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const Attended attended{saved[3], saved[4]};
    const Tensor dout = grads[0].contiguous();
    const auto capsule = ctx->saved_data["batch"].toCapsule();
    const auto& batch = static_cast<const Batch&>(*capsule);
    auto [dq, dk, dv] =
        q.is_cpu()
            ? attention_backward(dout, q, k, v, attended, batch.segments, batch.scale, batch.window)
            : on_device::attention_backward(dout, q, k, v, attended, *batch.plan, batch.scale, batch.window);
    return {dq, dk, dv, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& batch,
                        double scale, int64_t window) {
  if (!has_kernel(q)) return reference::packed_attention(q, k, v, batch, scale, window);
  // ATen's kernels want each head's numbers side by side and no more.
  const auto prepared = [](const Tensor& x) { return !x.is_cpu() && x.stride(-1) == 1 ? x : x.contiguous(); };
  const Tensor qc = prepared(q), kc = prepared(k), vc = prepared(v);
  if (wants_grad({&q, &k, &v})) return PackedAttention::apply(qc, kc, vc, &batch, scale, window);
  return PackedAttention::run(qc, kc, vc, batch, scale, window).out;
}

namespace reference {

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& batch,
                        double scale, int64_t window) {
  // Which segments a segment sees, spread over tokens, as one dense mask.
  const int64_t n = q.size(0);
  Tensor mask = at::zeros({n, n}, at::kBool);
  auto m = mask.accessor<bool, 2>();
  const Tensor positions = batch.positions.cpu();
  const auto p = positions.accessor<int64_t, 1>();
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    for (auto a = static_cast<int64_t>(s); a >= 0; a = batch.segments[a].parent) {
      for (int64_t i = batch.segments[s].begin; i < batch.segments[s].end; ++i) {
        for (int64_t j = batch.segments[a].begin; j < batch.segments[a].end; ++j) {
          m[i][j] = p[j] <= p[i] && (window == 0 || p[i] - p[j] < window);
        }
      }
    }
  }
  const int64_t group = q.size(1) / k.size(1);
  const Tensor qf = q.to(at::kFloat).transpose(0, 1);
  const Tensor kf = k.to(at::kFloat).transpose(0, 1).repeat_interleave(group, 0);
  const Tensor vf = v.to(at::kFloat).transpose(0, 1).repeat_interleave(group, 0);
  const Tensor scores = at::matmul(qf, kf.transpose(1, 2)) * scale;
  const Tensor hidden = mask.to(q.device()).logical_not();
  const Tensor probs = at::softmax(scores.masked_fill(hidden, -std::numeric_limits<float>::infinity()), -1);
  return at::matmul(probs, vf).transpose(0, 1).to(q.scalar_type());
}

}  // namespace reference
}  // namespace temper
