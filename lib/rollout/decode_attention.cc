#include "rollout/decode_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "tensor/vec.h"

namespace temper {
namespace {

using at::Tensor;
using vec::Floats;
using vec::kWidth;

constexpr float kMasked = -std::numeric_limits<float>::infinity();
static_assert(kLanePad % kWidth == 0 && kBlockTokens % kWidth == 0);

inline Floats load_floats(const float* p) {
  return Floats::loadu(p);
}
inline Floats load_floats(const c10::BFloat16* p) {
  Floats out;
  at::vec::load_fp32_from_bf16(p, out);
  return out;
}

// c [R, V vectors] (+)= a [R, k in [from, to)] b [k, V vectors]. Unrolled whole, so that the sums stay in
// registers; S is 0, 1, ... R V - 1.
template <int R, int V, typename T, int... S>
void tile(const float* a, int64_t lda, const T* b, int64_t ldb, int64_t from, int64_t to, float* c,
          int64_t ldc, bool add, std::integer_sequence<int, S...>) {
  Floats sum[] = {Floats(static_cast<float>(0 * S))...};
  for (int64_t k = from; k < to; ++k) {
    const T* row = b + k * ldb;
    ((sum[S] = at::vec::fmadd(Floats(a[S / V * lda + k]), load_floats(row + S % V * kWidth), sum[S])), ...);
  }
  if (add) ((sum[S] = sum[S] + load_floats(c + S / V * ldc + S % V * kWidth)), ...);
  (sum[S].store(c + S / V * ldc + S % V * kWidth), ...);
}

template <int V, typename T>
void strip(const float* a, int64_t lda, int64_t rows, const T* b, int64_t ldb, int64_t from, int64_t to,
           float* c, int64_t ldc, bool add) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    tile<4, V>(a + r * lda, lda, b, ldb, from, to, c + r * ldc, ldc, add,
               std::make_integer_sequence<int, 4 * V>());
  a += r * lda, c += r * ldc;
  if (rows - r == 3)
    tile<3, V>(a, lda, b, ldb, from, to, c, ldc, add, std::make_integer_sequence<int, 3 * V>());
  if (rows - r == 2)
    tile<2, V>(a, lda, b, ldb, from, to, c, ldc, add, std::make_integer_sequence<int, 2 * V>());
  if (rows - r == 1)
    tile<1, V>(a, lda, b, ldb, from, to, c, ldc, add, std::make_integer_sequence<int, 1 * V>());
}

// c [rows, columns] (+)= a [rows, k] b [k, columns] over k in [from, to), one fused multiply-add after the
// other for each number of c, whatever the tile: a row's result does not depend on its neighbours. Columns
// are whole vectors.
template <typename T>
void product(const float* a, int64_t lda, int64_t rows, const T* b, int64_t ldb, int64_t from, int64_t to,
             float* c, int64_t ldc, int64_t columns, bool add) {
  int64_t j = 0;
  for (; j + 4 * kWidth <= columns; j += 4 * kWidth)
    strip<4>(a, lda, rows, b + j, ldb, from, to, c + j, ldc, add);
  const int64_t rest = (columns - j) / kWidth;
  if (rest == 3) strip<3>(a, lda, rows, b + j, ldb, from, to, c + j, ldc, add);
  if (rest == 2) strip<2>(a, lda, rows, b + j, ldb, from, to, c + j, ldc, add);
  if (rest == 1) strip<1>(a, lda, rows, b + j, ldb, from, to, c + j, ldc, add);
}

// Some sequences of one prompt, and one key/value head: what a thread computes at a time.
struct Work {
  int64_t first = 0, rows = 0, head = 0;
  double cost = 0;
};

// The running softmax of the queries of a piece of work: scores seen so far have maximum `max` and weights
// summing to `sum`; out is their weighted values.
template <typename T>
class Attention {
 public:
  // sinks: [heads queries] or null.
  Attention(const KvHeads& shape, int64_t layer, int64_t queries, const AttentionLaw& law, const float* sinks)
      : shape_(shape),
        layer_(layer),
        queries_(queries),
        scale_(static_cast<float>(law.scale)),
        softcap_(static_cast<float>(law.softcap)),
        window_(law.window),
        sinks_(sinks) {}

  // q, out [N, Q, D].
  void run(const std::vector<DecodeRow>& rows, const Work& work, const T* q, T* out) {
    const int64_t d = shape_.head_dim, q_stride = shape_.heads * d * queries_;
    const int64_t n = work.rows * queries_;
    query_.resize(n * d), sums_.assign(n, 0.0f), max_.assign(n, kMasked),
        out_.assign(n * shape_.padded(), 0.0f);
    scores_.resize(n * kBlockTokens);
    for (int64_t i = 0; sinks_ != nullptr && i < n; ++i)  // as a token that was seen first and has no values
      max_[i] = sinks_[work.head * queries_ + i % queries_], sums_[i] = 1.0f;
    for (int64_t r = 0; r < work.rows; ++r) {
      const int64_t row = work.first + r;
      const T* from = q + row * q_stride + work.head * queries_ * d;
      float* to = query_.data() + r * queries_ * d;
      vec::for_each(queries_ * d, [&](int64_t i, int64_t count) {
        vec::store(to + i, vec::load(from + i, count) * Floats(scale_), count);
      });
    }
    const KvRun& prompt = *rows[work.first].prompt;
    over_prompt(rows, work, prompt);
    for (int64_t r = 0; r < work.rows; ++r) over_own(r, rows[work.first + r], prompt.length(), work.head);
    for (int64_t i = 0; i < n; ++i) {
      const Floats scale(1.0f / sums_[i]);
      T* to = out + (work.first + i / queries_) * q_stride + (work.head * queries_ + i % queries_) * d;
      vec::for_each(d, [&](int64_t j, int64_t count) {
        vec::store(to + j, vec::load(out_.data() + i * shape_.padded() + j, count) * scale, count);
      });
    }
  }

 private:
  // The first position that a sequence of `length` tokens still sees.
  int64_t horizon(int64_t length) const { return window_ > 0 ? std::max<int64_t>(0, length - window_) : 0; }

  void over_prompt(const std::vector<DecodeRow>& rows, const Work& work, const KvRun& prompt) {
    lowest_.clear();
    for (int64_t r = 0; r < work.rows; ++r) {
      lowest_.push_back(horizon(prompt.length() + rows[work.first + r].seen));
    }
    const int64_t lowest = *std::min_element(lowest_.begin(), lowest_.end());
    for (int64_t begin = lowest / kBlockTokens * kBlockTokens; begin < prompt.length();
         begin += kBlockTokens) {
      const int64_t end = std::min(kBlockTokens, prompt.length() - begin);
      // With a window, sequences of different lengths see different parts of a block.
      for (int64_t r = 0; r < work.rows;) {
        const int64_t from = std::clamp<int64_t>(lowest_[r] - begin, 0, end), first = r;
        while (r < work.rows && std::clamp<int64_t>(lowest_[r] - begin, 0, end) == from) ++r;
        over_block(first * queries_, (r - first) * queries_,
                   prompt.data<T>(begin / kBlockTokens, layer_, work.head), from, end);
      }
    }
  }

  void over_own(int64_t r, const DecodeRow& row, int64_t before, int64_t head) {
    const int64_t lowest = std::max<int64_t>(0, horizon(before + row.seen) - before);
    for (int64_t begin = lowest / kBlockTokens * kBlockTokens; begin < row.seen; begin += kBlockTokens) {
      over_block(r * queries_, queries_, row.own->data<T>(begin / kBlockTokens, layer_, head),
                 std::max<int64_t>(lowest - begin, 0), std::min(kBlockTokens, row.seen - begin));
    }
  }

  // Queries [first, first + n) against tokens [from, to) of a block.
  void over_block(int64_t first, int64_t n, const T* block, int64_t from, int64_t to) {
    if (from >= to) return;
    const int64_t d = shape_.head_dim, padded = shape_.padded();
    float *scores = scores_.data() + first * kBlockTokens, *out = out_.data() + first * padded;
    const int64_t start = from / kWidth * kWidth, stop = (to + kWidth - 1) / kWidth * kWidth;
    product(query_.data() + first * d, d, n, block + start, kBlockTokens, 0, d, scores + start, kBlockTokens,
            stop - start, false);
    for (int64_t i = 0; i < n; ++i) {
      float* row = scores + i * kBlockTokens;
      if (softcap_ > 0) cap(row, start, stop);
      std::fill(row + start, row + from, kMasked);
      std::fill(row + to, row + stop, kMasked);
      weigh(row, start, stop, out + i * padded, first + i);
    }
    product(scores, kBlockTokens, n, block + kBlockTokens * d, padded, from, to, out, padded, padded, true);
  }

  void cap(float* scores, int64_t start, int64_t stop) const {
    const Floats cap(softcap_), uncap(1.0f / softcap_);
    for (int64_t j = start; j < stop; j += kWidth)
      ((Floats::loadu(scores + j) * uncap).tanh() * cap).store(scores + j);
  }

  // Scores [start, stop) of query i become weights exp(score - max); what was summed before is rescaled.
  void weigh(float* scores, int64_t start, int64_t stop, float* out, int64_t i) {
    Floats most(kMasked);
    for (int64_t j = start; j < stop; j += kWidth) most = at::vec::maximum(most, Floats::loadu(scores + j));
    const float max = std::max(max_[i], vec::max(most));
    if (max != max_[i]) {
      const float shrink = std::exp(max_[i] - max);
      sums_[i] *= shrink;
      max_[i] = max;
      for (int64_t j = 0; j < shape_.padded(); j += kWidth)
        (load_floats(out + j) * Floats(shrink)).store(out + j);
    }
    Floats sum(0.0f);
    for (int64_t j = start; j < stop; j += kWidth) {
      const Floats weight = (Floats::loadu(scores + j) - Floats(max)).exp_u20();
      weight.store(scores + j);
      sum = sum + weight;
    }
    sums_[i] += vec::sum(sum);
  }

  const KvHeads& shape_;
  int64_t layer_, queries_;  // queries: query heads of a key/value head
  float scale_, softcap_;
  int64_t window_;
  const float* sinks_;
  std::vector<float> query_, scores_, out_, max_, sums_;
  std::vector<int64_t> lowest_;
};

// Pieces for the threads: the sequences of a prompt together, cut further when that leaves too few pieces.
std::vector<Work> divide(const std::vector<DecodeRow>& rows, int64_t heads, int64_t threads) {
  std::vector<std::pair<int64_t, int64_t>> groups;  // first row, rows
  for (int64_t r = 0; r < static_cast<int64_t>(rows.size()); ++r) {
    if (r > 0 && rows[r].prompt == rows[r - 1].prompt)
      ++groups.back().second;
    else
      groups.emplace_back(r, 1);
  }
  const int64_t pieces = static_cast<int64_t>(groups.size()) * heads, wanted = 4 * threads;
  const int64_t cuts = (wanted + pieces - 1) / pieces;
  std::vector<Work> out;
  for (const auto& [first, count] : groups) {
    const int64_t size = std::max<int64_t>(1, (count + cuts - 1) / cuts);
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t r = first; r < first + count; r += size) {
        Work work{r, std::min(size, first + count - r), head, 0};
        for (int64_t i = r; i < r + work.rows; ++i) {
          work.cost += static_cast<double>(rows[i].prompt->length() + 2 * rows[i].seen + 16);
        }
        out.push_back(work);
      }
    }
  }
  return out;
}

template <typename T>
void attend(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<DecodeRow>& rows,
            int64_t layer, const AttentionLaw& law, Tensor& out) {
  const Tensor sinks = law.sinks.defined() ? law.sinks.to(at::kFloat).contiguous() : law.sinks;
  const KvHeads& shape = rows[0].own->shape().layer(layer);
  const int64_t threads = at::get_num_threads();
  const std::vector<Work> all = divide(rows, shape.heads, threads);
  double total = 0;
  for (const Work& work : all) total += work.cost;
  const T *qp = q.const_data_ptr<T>(), *kp = k.const_data_ptr<T>(), *vp = v.const_data_ptr<T>();
  T* op = out.mutable_data_ptr<T>();
  // All before any is read: a token's successors in the same step read it.
  const int64_t d = shape.head_dim, stride = shape.heads * d;
  at::parallel_for(0, static_cast<int64_t>(rows.size()), 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t at = r * stride + h * d;
        rows[r].own->store(layer, h, rows[r].seen - 1, 1, kp + at, vp + at, stride);
      }
    }
  });
  // Equal shares of the cost, in order.
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    Attention<T> attention(shape, layer, q.size(1) / shape.heads, law,
                           sinks.defined() ? sinks.const_data_ptr<float>() : nullptr);
    const double low = total * static_cast<double>(begin) / static_cast<double>(threads);
    const double high =
        end == threads ? total : total * static_cast<double>(end) / static_cast<double>(threads);
    double at = 0;  // the work whose middle lies in [low, high) is ours
    for (const Work& work : all) {
      const double middle = at + work.cost / 2;
      at += work.cost;
      if (middle >= low && middle < high) attention.run(rows, work, qp, op);
    }
  });
}

}  // namespace

at::Tensor decode_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const std::vector<DecodeRow>& rows, int64_t layer, const AttentionLaw& law) {
  if (rows.empty()) return at::empty_like(q);
  const Tensor qc = q.contiguous(), kc = k.contiguous(), vc = v.contiguous();
  Tensor out = at::empty_like(qc);
  if (q.scalar_type() == at::kFloat) {
    attend<float>(qc, kc, vc, rows, layer, law, out);
  } else if (q.scalar_type() == at::kBFloat16) {
    attend<c10::BFloat16>(qc, kc, vc, rows, layer, law, out);
  } else {
    bug("decode_attention: queries are fp32 or bf16, found {}", c10::toString(q.scalar_type()));
  }
  return out;
}

void store_prompt(const KvRun& run, int64_t layer, const Tensor& k, const Tensor& v) {
  const KvHeads& shape = run.shape().layer(layer);
  const int64_t n = k.size(0), d = shape.head_dim;
  const auto store = [&](auto zero) {
    using T = decltype(zero);
    const T *kp = k.const_data_ptr<T>(), *vp = v.const_data_ptr<T>();
    const int64_t stride = shape.heads * d;
    at::parallel_for(0, shape.heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t h = begin; h < end; ++h) run.store(layer, h, 0, n, kp + h * d, vp + h * d, stride);
    });
  };
  k.scalar_type() == at::kFloat ? store(float{}) : store(c10::BFloat16{});
}

namespace reference {

at::Tensor decode_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const std::vector<DecodeRow>& rows, int64_t layer, const AttentionLaw& law) {
  Tensor out = at::empty_like(q);
  const auto count = static_cast<int64_t>(rows.size());
  for (int64_t r = 0; r < count; ++r) {
    const KvRun& own = *rows[r].own;
    const int64_t last = rows[r].seen - 1;
    own.keys(last / kBlockTokens, layer).select(2, last % kBlockTokens).copy_(k[r]);
    own.values(last / kBlockTokens, layer).select(1, last % kBlockTokens).copy_(v[r]);
  }
  for (int64_t r = 0; r < count; ++r) {
    const KvHeads& shape = rows[r].own->shape().layer(layer);
    const int64_t heads = shape.heads, d = shape.head_dim;
    std::vector<Tensor> keys, values;
    for (const auto& [run, tokens] :
         {std::pair(rows[r].prompt, rows[r].prompt->length()), std::pair(rows[r].own, rows[r].seen)}) {
      for (int64_t begin = 0; begin < tokens; begin += kBlockTokens) {
        const int64_t count = std::min(kBlockTokens, tokens - begin);
        keys.push_back(run->keys(begin / kBlockTokens, layer).narrow(2, 0, count));
        values.push_back(run->values(begin / kBlockTokens, layer).narrow(1, 0, count));
      }
    }
    const Tensor query = q[r].view({heads, -1, d}).to(at::kFloat);  // [K, queries of a head, D]
    Tensor scores = at::matmul(query, at::cat(keys, 2).to(at::kFloat)) * law.scale;
    const int64_t length = scores.size(2);
    if (law.softcap > 0) scores = at::tanh(scores / law.softcap) * law.softcap;
    if (law.window > 0 && length > law.window) scores.narrow(2, 0, length - law.window).fill_(kMasked);
    if (law.sinks.defined()) scores = at::cat({scores, law.sinks.to(at::kFloat).view({heads, -1, 1})}, 2);
    const Tensor weights = at::softmax(scores, -1).narrow(2, 0, length);
    out[r].copy_(at::matmul(weights, at::cat(values, 1).to(at::kFloat)).view({-1, d}));
  }
  return out;
}

}  // namespace reference
}  // namespace temper
