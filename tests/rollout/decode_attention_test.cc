#include "rollout/decode_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <memory>

#include "test.h"

using namespace temper;

namespace {

struct Case {
  int64_t q_heads, kv_heads, head_dim;
  std::vector<int64_t> prompts;           // length of each
  std::vector<std::vector<int64_t>> own;  // [prompt][sequence]: tokens after it, the new one included
  int64_t window = 0;
  at::ScalarType dtype = at::kFloat;
};

// A cache filled with random keys and values, and the same numbers as plain tensors.
struct Filled {
  Filled(const Case& c, int64_t layers) {
    pool = std::make_unique<KvPool>(
        KvShape::alike(layers, {c.kv_heads, c.head_dim}, at::TensorOptions().dtype(c.dtype)));
    const auto random = [&](int64_t n) { return at::randn({n, c.kv_heads, c.head_dim}).to(c.dtype); };
    for (size_t p = 0; p < c.prompts.size(); ++p) {
      prompts.push_back(std::make_unique<KvRun>(*pool));
      prompts.back()->extend(c.prompts[p]);
      const at::Tensor pk = random(c.prompts[p]), pv = random(c.prompts[p]);
      for (int64_t l = 0; l < layers; ++l) store_prompt(*prompts.back(), l, pk + l, pv + l);
      for (const int64_t n : c.own[p]) {
        own.push_back(std::make_unique<KvRun>(*pool));
        own.back()->extend(n);
        const at::Tensor ok = random(n), ov = random(n);
        for (int64_t l = 0; l < layers; ++l) store_prompt(*own.back(), l, ok + l, ov + l);
        keys.push_back(at::cat({pk, ok}));
        values.push_back(at::cat({pv, ov}));
        rows.push_back({prompts.back().get(), own.back().get(), n});
      }
    }
  }
  std::unique_ptr<KvPool> pool;
  std::vector<std::unique_ptr<KvRun>> prompts, own;
  std::vector<DecodeRow> rows;
  std::vector<at::Tensor> keys, values;  // [length, K, D], layer 0
};

// Word for word, in fp64: each query head against the keys of its group.
at::Tensor plain(const at::Tensor& q, const Filled& f, int64_t layer, double scale, int64_t window) {
  at::Tensor out = at::empty(q.sizes(), at::kDouble);
  const int64_t heads = f.keys[0].size(1), ratio = q.size(1) / heads;
  for (size_t r = 0; r < f.rows.size(); ++r) {
    const at::Tensor keys = (f.keys[r] + layer).to(at::kDouble),
                     values = (f.values[r] + layer).to(at::kDouble);
    const int64_t length = keys.size(0), from = window > 0 ? std::max<int64_t>(0, length - window) : 0;
    for (int64_t h = 0; h < q.size(1); ++h) {
      const at::Tensor k = keys.select(1, h / ratio).slice(0, from),
                       v = values.select(1, h / ratio).slice(0, from);
      const at::Tensor p = at::softmax(at::mv(k, q[r][h].to(at::kDouble)) * scale, 0);
      out[r][h].copy_(at::mv(v.t(), p));
    }
  }
  return out;
}

at::Tensor last_tokens(const std::vector<at::Tensor>& runs, int64_t layer) {
  std::vector<at::Tensor> out;
  for (const at::Tensor& run : runs) out.push_back((run + layer)[-1]);
  return at::stack(out);
}

}  // namespace

TEST_CASE("decode attention equals the plain formula") {
  at::manual_seed(3);
  const std::vector<Case> cases = {
      {4, 2, 16, {5}, {{1}}},
      {9, 3, 64, {128, 1, 200}, {{1, 2, 63, 64, 65}, {130, 1}, {7, 7, 7, 7, 7, 7}}},
      {9, 3, 64, {128, 1, 200}, {{1, 2, 63, 64, 65}, {130, 1}, {7, 7, 7, 7, 7, 7}}, 0, at::kBFloat16},
      {6, 6, 8, {64, 63}, {{3}, {200}}},
      {14, 2, 80, {65}, {{9, 1, 70}}},
      {14, 2, 80, {65}, {{9, 1, 70}}, 0, at::kBFloat16},
      {8, 1, 128, {300}, {{1, 1, 40}}},
      {5, 1, 20, {33}, {{2}}},
      {4, 2, 32, {100, 20}, {{1, 30, 90, 150}, {1, 5}}, 64},
      {4, 2, 32, {100, 20}, {{1, 30, 90, 150}, {1, 5}}, 17},
      {4, 2, 32, {100, 20}, {{1, 30, 90, 150}, {1, 5}}, 1},
      {4, 2, 32, {200}, {{1, 200, 2, 3}}, 100, at::kBFloat16},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    CAPTURE(i);
    const int64_t layer = 1;
    const Filled f(c, 2);
    const auto n = static_cast<int64_t>(f.rows.size());
    const at::Tensor q = at::randn({n, c.q_heads, c.head_dim}).to(c.dtype);
    const at::Tensor k = last_tokens(f.keys, layer), v = last_tokens(f.values, layer);
    const double scale = 0.3;
    const at::Tensor expected = plain(q, f, layer, scale, c.window);
    const double close =
        c.dtype == at::kFloat ? 2e-5 : 4e-2;  // bf16: the result's own rounding of numbers near 3
    const at::Tensor got = decode_attention(q, k, v, f.rows, layer, {scale, c.window});
    CHECK(at::allclose(got.to(at::kDouble), expected, close, close));
    const at::Tensor slow = reference::decode_attention(q, k, v, f.rows, layer, {scale, c.window});
    CHECK(at::allclose(slow.to(at::kDouble), expected, close, close));
  }
}

TEST_CASE("decode attention with soft caps and sinks equals the reference") {
  at::manual_seed(5);
  const Case c{8, 2, 24, {100, 20}, {{1, 30, 90, 150}, {1, 5}}};
  const Filled f(c, 2);
  const auto n = static_cast<int64_t>(f.rows.size());
  const at::Tensor q = at::randn({n, 8, 24}), k = last_tokens(f.keys, 1), v = last_tokens(f.values, 1);
  const at::Tensor plain = decode_attention(q, k, v, f.rows, 1, {0.3});
  for (const int64_t window : {0, 17}) {
    for (const double cap : {0.0, 1.5}) {
      for (const bool sinks : {false, true}) {
        CAPTURE(window);
        CAPTURE(cap);
        CAPTURE(sinks);
        const AttentionLaw law{0.3, window, cap, sinks ? at::randn({8}) * 3 : at::Tensor()};
        const at::Tensor got = decode_attention(q, k, v, f.rows, 1, law);
        CHECK(at::allclose(got, reference::decode_attention(q, k, v, f.rows, 1, law), 2e-5, 2e-5));
        CHECK(at::equal(got, plain) == (window == 0 && cap == 0.0 && !sinks));
      }
    }
  }
}

TEST_CASE("a row's attention depends neither on its neighbours nor on the threads") {
  at::manual_seed(4);
  const Case c{9, 3, 64, {100, 70}, {{1, 30, 65, 2, 9}, {20, 1, 3}}, 0, at::kBFloat16};
  const Filled f(c, 1);
  const at::Tensor q = at::randn({8, 9, 64}).to(c.dtype);
  const at::Tensor k = last_tokens(f.keys, 0), v = last_tokens(f.values, 0);
  const int threads = at::get_num_threads();
  const at::Tensor together = decode_attention(q, k, v, f.rows, 0, {0.125});
  at::set_num_threads(1);
  CHECK(at::equal(together, decode_attention(q, k, v, f.rows, 0, {0.125})));
  at::set_num_threads(3);
  CHECK(at::equal(together, decode_attention(q, k, v, f.rows, 0, {0.125})));
  at::set_num_threads(threads);
  for (int64_t r = 0; r < 8; ++r) {
    const at::Tensor alone =
        decode_attention(q.narrow(0, r, 1), k.narrow(0, r, 1), v.narrow(0, r, 1), {f.rows[r]}, 0, {0.125});
    CHECK(at::equal(together[r], alone[0]));
  }
}

TEST_CASE("blocks are reused") {
  KvPool pool(KvShape::alike(2, {1, 8}, at::TensorOptions().dtype(at::kFloat)));
  {
    KvRun a(pool), b(pool);
    a.extend(65);
    b.extend(1);
    CHECK(a.length() == 65);
    CHECK(pool.bytes() == 3 * 2 * 1 * 64 * (8 + 16) * 4);
  }
  KvRun c(pool);
  c.extend(150);
  CHECK(pool.bytes() == 3 * 2 * 1 * 64 * (8 + 16) * 4);
}
