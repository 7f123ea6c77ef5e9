// Attention of a packed batch on the CPU. Work is cut into pieces of (run of a segment's tokens) x (key/value
// head), the same ones for any number of threads; each runs on one thread from start to end, and what several
// add to the gradients of a key is added in their order. Inside a piece, blocks of query rows (all query
// heads of the key/value head together) meet each ancestor's keys in one matrix product.
#include "tensor/attention_kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/kernels.h"
#include "tensor/product/gemm.h"
#include "tensor/vec.h"

namespace temper {
namespace {

using at::Tensor;

constexpr int64_t kBlockTokens = 64;

// Key ranges of a segment: its ancestors from the root, then itself.
std::vector<Segment> chain_of(const std::vector<Segment>& segments, int64_t s) {
  std::vector<Segment> chain;
  for (; s >= 0; s = segments[s].parent) chain.push_back(segments[s]);
  return {chain.rbegin(), chain.rend()};
}

struct Shape {
  int64_t tokens, q_heads, kv_heads, size, group;  // group: query heads a key/value head
  float scale, softcap;
  int64_t window;
  const float* sinks;  // [q_heads] or null
};

// Scaled and capped scores of a row; its `unit` below is what is left to multiply them with.
void cap_scores(const Shape& s, float* row, int64_t first, int64_t last) {
  if (s.softcap <= 0) return;
  const vec::Floats cap(s.softcap), uncap(s.scale / s.softcap);
  vec::for_each(last - first, [&](int64_t c, int64_t n) {
    vec::store(row + first + c, (vec::load(row + first + c, n) * uncap).tanh() * cap, n);
  });
}

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

// Tokens [begin, end) of a segment, against their ancestors and themselves.
struct Run {
  std::vector<Segment> chain;
  int64_t begin, end;
  int64_t before() const {  // keys of the ancestors
    int64_t keys = 0;
    for (size_t i = 0; i + 1 < chain.size(); ++i) keys += chain[i].length();
    return keys;
  }
  int64_t keys() const { return before() + end - chain.back().begin; }
};

// Few enough that their sums of key gradients take little memory, enough of them for many threads.
constexpr int64_t kRunTokens = 512, kRunsOfSegment = 4;

std::vector<Run> runs_of(const std::vector<Segment>& segments) {
  std::vector<Run> runs;
  for (size_t s = 0; s < segments.size(); ++s) {
    const Segment& self = segments[s];
    const int64_t blocks = (self.length() + kBlockTokens - 1) / kBlockTokens;
    const int64_t size = std::max(kRunTokens, (blocks + kRunsOfSegment - 1) / kRunsOfSegment * kBlockTokens);
    for (int64_t begin = self.begin; begin < self.end; begin += size)
      runs.push_back({chain_of(segments, static_cast<int64_t>(s)), begin, std::min(self.end, begin + size)});
  }
  return runs;
}

// Calls f(token, rows, keys in all) for each query block of a run.
template <typename F>
void for_each_block(const Run& run, const F& f) {
  const int64_t before = run.before(), self = run.chain.back().begin;
  for (int64_t token = run.begin; token < run.end; token += kBlockTokens) {
    const int64_t rows = std::min(kBlockTokens, run.end - token);
    f(token, rows, before + token - self + rows);
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
  std::vector<float> scores, out;
  std::vector<T> q, p;
  void reserve(const Shape& s, int64_t rows, int64_t keys) {
    const auto r = static_cast<size_t>(rows * s.group);
    scores.resize(r * keys);
    p.resize(r * keys);
    q.resize(r * s.size);
    out.resize(r * s.size);
  }
};

template <typename T>
void forward_piece(const Shape& s, const Run& run, int64_t head, const T* q, const T* k, const T* v, T* out,
                   float* lse) {
  const int64_t kv_row = s.kv_heads * s.size;
  const float unit = s.softcap > 0 ? 1.0f : s.scale;
  Scratch<T> scratch;
  for_each_block(run, [&](int64_t token, int64_t rows, int64_t keys) {
    scratch.reserve(s, rows, keys);
    gather_rows(q, s, head, token, rows, scratch.q.data());
    const int64_t m = rows * s.group;
    for_each_range(run.chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
      gemm(Trans::kNo, Trans::kYes, m, n, s.size, scratch.q.data(), s.size, k + key * kv_row + head * s.size,
           kv_row, false, scratch.scores.data() + column, keys);
    });
    for (int64_t r = 0; r < m; ++r) {
      const int64_t i = r % rows, g = r / rows;
      const Visible seen = visible(s, keys - rows + i);
      const int64_t first = seen.first, last = seen.last;
      float* row = scratch.scores.data() + r * keys;
      T* prob = scratch.p.data() + r * keys;
      cap_scores(s, row, first, last);
      const float* sink = s.sinks == nullptr ? nullptr : s.sinks + head * s.group + g;
      float top = -std::numeric_limits<float>::infinity();
      for (int64_t c = first; c < last; ++c) top = std::max(top, row[c]);
      top *= unit;
      if (sink != nullptr) top = std::max(top, *sink);
      const vec::Floats scale(unit), shift(top);
      float total = vec::sum_over(last - first, [&](int64_t c, int64_t n) {
        const auto e = (vec::load(row + first + c, n) * scale - shift).exp_u20();
        vec::store(row + first + c, e, n);
        return e;
      });
      if (sink != nullptr) total += std::exp(*sink - top);
      const vec::Floats inverse(1.0f / total);
      std::fill(prob, prob + first, T(0.0f));
      std::fill(prob + last, prob + keys, T(0.0f));
      vec::for_each(last - first, [&](int64_t c, int64_t n) {
        vec::store(prob + first + c, vec::load(row + first + c, n) * inverse, n);
      });
      lse[(head * s.group + g) * s.tokens + token + i] = top + std::log(total);
    }
    bool accumulate = false;
    for_each_range(run.chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
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

// What a piece adds to the gradients of its keys, in the order of the chain: [keys, D] each.
struct KeySums {
  std::vector<float> dk, dv;
};

template <typename T>
KeySums backward_piece(const Shape& s, const Run& run, int64_t head, const T* q, const T* k, const T* v,
                       const T* out, const T* dout, const float* lse, T* dq, float* dsinks) {
  const int64_t kv_row = s.kv_heads * s.size;
  const float unit = s.softcap > 0 ? 1.0f : s.scale, uncap = s.softcap > 0 ? 1.0f / s.softcap : 0.0f;
  KeySums sums{std::vector<float>(run.keys() * s.size, 0.0f), std::vector<float>(run.keys() * s.size, 0.0f)};
  Scratch<T> scratch;
  std::vector<float> dp;
  std::vector<T> dout_rows, ds;
  for_each_block(run, [&](int64_t token, int64_t rows, int64_t keys) {
    const int64_t m = rows * s.group;
    scratch.reserve(s, rows, keys);
    dp.resize(m * keys);
    ds.resize(m * keys);
    dout_rows.resize(m * s.size);
    gather_rows(q, s, head, token, rows, scratch.q.data());
    gather_rows(dout, s, head, token, rows, dout_rows.data());
    for_each_range(run.chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
      const int64_t at = key * kv_row + head * s.size;
      gemm(Trans::kNo, Trans::kYes, m, n, s.size, scratch.q.data(), s.size, k + at, kv_row, false,
           scratch.scores.data() + column, keys);
      gemm(Trans::kNo, Trans::kYes, m, n, s.size, dout_rows.data(), s.size, v + at, kv_row, false,
           dp.data() + column, keys);
    });
    for (int64_t r = 0; r < m; ++r) {
      const int64_t i = r % rows, g = r / rows;
      const Visible seen = visible(s, keys - rows + i);
      const int64_t first = seen.first, last = seen.last;
      const int64_t at = ((token + i) * s.q_heads + head * s.group + g) * s.size;
      const float delta = vec::sum_over(s.size, [&](int64_t c, int64_t n) {
        return vec::load(out + at + c, n) * vec::load(dout + at + c, n);
      });
      float* row = scratch.scores.data() + r * keys;
      const float* drow = dp.data() + r * keys;
      T *prob = scratch.p.data() + r * keys, *dsr = ds.data() + r * keys;
      const float whole = lse[(head * s.group + g) * s.tokens + token + i];
      cap_scores(s, row, first, last);
      if (dsinks != nullptr)
        dsinks[head * s.group + g] -= std::exp(s.sinks[head * s.group + g] - whole) * delta;
      const vec::Floats to_score(unit), scale(s.scale), shift(whole), dl(delta), one(1.0f), by_cap(uncap);
      std::fill(prob, prob + first, T(0.0f));
      std::fill(prob + last, prob + keys, T(0.0f));
      std::fill(dsr, dsr + first, T(0.0f));
      std::fill(dsr + last, dsr + keys, T(0.0f));
      vec::for_each(last - first, [&](int64_t c, int64_t n) {
        const auto z = vec::load(row + first + c, n), to_cap = z * by_cap;
        const auto p = (z * to_score - shift).exp_u20();
        vec::store(prob + first + c, p, n);
        vec::store(dsr + first + c,
                   p * (vec::load(drow + first + c, n) - dl) * scale * (one - to_cap * to_cap), n);
      });
    }
    bool accumulate = false;
    for_each_range(run.chain, token + rows, [&](int64_t key, int64_t n, int64_t column) {
      const int64_t at = key * kv_row + head * s.size, sum = column * s.size;
      gemm(Trans::kNo, Trans::kNo, m, s.size, n, ds.data() + column, keys, k + at, kv_row, accumulate,
           scratch.out.data(), s.size);
      gemm(Trans::kYes, Trans::kNo, n, s.size, m, ds.data() + column, keys, scratch.q.data(), s.size, true,
           sums.dk.data() + sum, s.size);
      gemm(Trans::kYes, Trans::kNo, n, s.size, m, scratch.p.data() + column, keys, dout_rows.data(), s.size,
           true, sums.dv.data() + sum, s.size);
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
  return sums;
}

// f(run, head) for all, the costliest first, each on whichever thread is free.
template <typename F>
void for_each_piece(const std::vector<Run>& runs, const Shape& s, const F& f) {
  std::vector<size_t> order(runs.size());
  std::iota(order.begin(), order.end(), 0);
  const auto cost = [&](size_t r) { return (runs[r].end - runs[r].begin) * runs[r].keys(); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return cost(a) > cost(b); });
  const int64_t pieces = static_cast<int64_t>(runs.size()) * s.kv_heads;
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), pieces), 1, [&](int64_t, int64_t) {
    for (int64_t i = next++; i < pieces; i = next++) f(order[i / s.kv_heads], i % s.kv_heads);
  });
}

// Adds the pieces' sums up, run after run. Token by token: [N, K, D].
template <typename T>
void join_key_sums(const Shape& s, const std::vector<Run>& runs, const std::vector<KeySums>& sums, T* dk,
                   T* dv) {
  const int64_t row = s.kv_heads * s.size;
  at::parallel_for(0, s.kv_heads, 1, [&](int64_t first, int64_t last) {
    std::vector<float> dk_all(s.tokens * s.size), dv_all(s.tokens * s.size);
    for (int64_t head = first; head < last; ++head) {
      std::fill(dk_all.begin(), dk_all.end(), 0.0f);
      std::fill(dv_all.begin(), dv_all.end(), 0.0f);
      for (size_t r = 0; r < runs.size(); ++r) {
        const KeySums& own = sums[r * s.kv_heads + head];
        for_each_range(runs[r].chain, runs[r].end, [&](int64_t key, int64_t n, int64_t column) {
          vec::for_each(n * s.size, [&](int64_t i, int64_t count) {
            float *k_to = dk_all.data() + key * s.size + i, *v_to = dv_all.data() + key * s.size + i;
            vec::store(k_to, vec::load(k_to, count) + vec::load(own.dk.data() + column * s.size + i, count),
                       count);
            vec::store(v_to, vec::load(v_to, count) + vec::load(own.dv.data() + column * s.size + i, count),
                       count);
          });
        });
      }
      for (int64_t t = 0; t < s.tokens; ++t) {
        const int64_t to = t * row + head * s.size, from = t * s.size;
        vec::for_each(s.size, [&](int64_t c, int64_t n) {
          vec::store(dk + to + c, vec::load(dk_all.data() + from + c, n), n);
          vec::store(dv + to + c, vec::load(dv_all.data() + from + c, n), n);
        });
      }
    }
  });
}

// sinks: fp32 and contiguous, or undefined.
Shape shape_of(const Tensor& q, const Tensor& k, const AttentionLaw& law, const Tensor& sinks) {
  return {q.size(0),
          q.size(1),
          k.size(1),
          q.size(2),
          q.size(1) / k.size(1),
          static_cast<float>(law.scale),
          static_cast<float>(law.softcap),
          law.window,
          sinks.defined() ? sinks.const_data_ptr<float>() : nullptr};
}

Tensor plain(const Tensor& sinks) {
  return sinks.defined() ? sinks.detach().to(at::kFloat).contiguous() : sinks;
}

}  // namespace

namespace on_cpu {

Attended attention(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<Segment>& segments,
                   const AttentionLaw& law) {
  const Tensor sinks = plain(law.sinks);
  const Shape s = shape_of(q, k, law, sinks);
  Tensor out = at::empty_like(q), lse = at::empty({s.q_heads, s.tokens}, q.options().dtype(at::kFloat));
  const std::vector<Run> runs = runs_of(segments);
  dispatch(q.scalar_type(), "packed_attention", [&](auto zero) {
    using T = decltype(zero);
    for_each_piece(runs, s, [&](size_t run, int64_t head) {
      forward_piece(s, runs[run], head, q.const_data_ptr<T>(), k.const_data_ptr<T>(), v.const_data_ptr<T>(),
                    out.mutable_data_ptr<T>(), lse.mutable_data_ptr<float>());
    });
  });
  return {out, lse};
}

AttentionGradients attention_backward(const Tensor& dout, const Tensor& q, const Tensor& k, const Tensor& v,
                                      const Attended& attended, const std::vector<Segment>& segments,
                                      const AttentionLaw& law) {
  const Tensor sinks = plain(law.sinks);
  const Shape s = shape_of(q, k, law, sinks);
  Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
  const std::vector<Run> runs = runs_of(segments);
  // A row for each run, added in order.
  Tensor dsinks =
      sinks.defined() ? at::zeros({static_cast<int64_t>(runs.size()), s.q_heads}, sinks.options()) : Tensor();
  std::vector<KeySums> sums(runs.size() * s.kv_heads);
  dispatch(q.scalar_type(), "packed_attention", [&](auto zero) {
    using T = decltype(zero);
    for_each_piece(runs, s, [&](size_t run, int64_t head) {
      float* to = dsinks.defined() ? dsinks.mutable_data_ptr<float>() + static_cast<int64_t>(run) * s.q_heads
                                   : nullptr;
      sums[run * s.kv_heads + head] =
          backward_piece(s, runs[run], head, q.const_data_ptr<T>(), k.const_data_ptr<T>(),
                         v.const_data_ptr<T>(), attended.out.const_data_ptr<T>(), dout.const_data_ptr<T>(),
                         attended.lse.const_data_ptr<float>(), dq.mutable_data_ptr<T>(), to);
    });
    join_key_sums(s, runs, sums, dk.mutable_data_ptr<T>(), dv.mutable_data_ptr<T>());
  });
  return {dq, dk, dv, dsinks.defined() ? dsinks.sum(0) : dsinks};
}

}  // namespace on_cpu
}  // namespace temper
