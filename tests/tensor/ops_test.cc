// Each fused operation against its plain twin: values and gradients.
#include "tensor/ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "tensor/compare.h"
#include "tensor/gather_logp.h"
#include "tensor/logp.h"
#include "tensor/trees.h"
#include "test.h"

using at::Tensor;
using namespace temper;

TEST_CASE("rms_norm equals the plain form") {
  for (const int64_t width : {64, 50, 7}) {
    compare([](const auto& x) { return rms_norm(x[0], x[1], 1e-5); },
            [](const auto& x) { return reference::rms_norm(x[0], x[1], 1e-5); },
            {random({130, width}), random({width})}, 3e-6);
  }
}

TEST_CASE("swiglu equals the plain form") {
  for (const int64_t width : {32, 19}) {
    compare([](const auto& x) { return swiglu(x[0]); }, [](const auto& x) { return reference::swiglu(x[0]); },
            {random({40, 2 * width}, 3.0)}, 5e-6);
  }
}

TEST_CASE("split_heads rotates and splits as the plain form") {
  const Tensor angles = random({21, 6});
  const Tensor cos = angles.cos(), sin = angles.sin();
  for (const bool rotate : {true, false}) {
    const Tensor c = rotate ? cos : Tensor(), s = rotate ? sin : Tensor();
    for (const int part : {0, 1, 2}) {
      compare(
          [&](const auto& x) {
            return split_heads(x[0], 4, 2, {c, s})[part];
          },
          [&](const auto& x) {
            return reference::split_heads(x[0], 4, 2, {c, s})[part];
          },
          {random({21, 8 * 12})}, 1e-6);
    }
  }
  compare(
      [&](const auto& x) {
        return rotary(x[0], {cos, sin});
      },
      [&](const auto& x) {
        return reference::rotary(x[0], {cos, sin});
      },
      {random({21, 3, 12})}, 1e-6);
}

TEST_CASE("linear without gradients is the plain product for any number of rows") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const Tensor w = at::randn({83, 48}).to(dtype), bias = at::randn({83}).to(dtype);
    for (const int64_t rows : {0, 1, 2, 15, 16, 17, 33, 40, 41, 127, 130}) {
      CAPTURE(rows);
      const Tensor x = at::randn({rows, 48}).to(dtype);
      const double tolerance = dtype == at::kFloat ? 1e-5 : 0.1;
      const Tensor expected = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
      CHECK(at::allclose(temper::linear(x, w, {w}).to(at::kDouble), expected, tolerance, tolerance));
      CHECK(at::allclose(temper::linear(x, w, {w}, bias, {bias}).to(at::kDouble),
                         expected + bias.to(at::kDouble), tolerance, tolerance));
    }
  }
}

TEST_CASE("linear gives each master its own rows") {
  const Tensor a = random({5, 8}), b = random({3, 8}), ba = random({5}), bb = random({3});
  compare(
      [](const auto& x) {
        const Tensor compute = at::cat({x[1], x[2]}).detach(), bias = at::cat({x[3], x[4]}).detach();
        return linear(x[0], compute, {x[1], x[2]}, bias, {x[3], x[4]});
      },
      [](const auto& x) {
        return at::linear(x[0], at::cat({x[1], x[2]}), at::cat({x[3], x[4]}));
      },
      {random({9, 8}), a, b, ba, bb}, 1e-6);
}

TEST_CASE("embedding adds up repeated ids") {
  const Tensor ids = at::tensor({1, 3, 1, 0}, at::kLong);
  compare([&](const auto& x) { return embedding(ids, x[0].detach(), x[0]); },
          [&](const auto& x) { return x[0].index_select(0, ids); }, {random({5, 6})}, 1e-6);
}

TEST_CASE("packed attention equals the dense mask, windows too") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  const int64_t n = batch.tokens();
  for (const int64_t window : {0, 1, 6}) {
    for (const int64_t kv : {1, 2, 4}) {
      CAPTURE(window);
      CAPTURE(kv);
      compare(
          [&](const auto& x) {
            return packed_attention(x[0], x[1], x[2], batch, {0.3, window});
          },
          [&](const auto& x) {
            return reference::packed_attention(x[0], x[1], x[2], batch, {0.3, window});
          },
          {random({n, 4, 12}), random({n, kv, 12}), random({n, kv, 12})}, 5e-6);
    }
  }
}

TEST_CASE("packed attention with soft caps and sinks equals the reference, gradients of the sinks too") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  const int64_t n = batch.tokens();
  for (const int64_t window : {0, 6}) {
    for (const double cap : {0.0, 0.8}) {
      CAPTURE(window);
      CAPTURE(cap);
      compare(
          [&](const auto& x) {
            return packed_attention(x[0], x[1], x[2], batch, {0.3, window, cap, x[3]});
          },
          [&](const auto& x) {
            return reference::packed_attention(x[0], x[1], x[2], batch, {0.3, window, cap, x[3]});
          },
          {random({n, 4, 12}), random({n, 2, 12}), random({n, 2, 12}), random({4})}, 1e-5);
      compare(
          [&](const auto& x) {
            return packed_attention(x[0], x[1], x[2], batch, {0.3, window, cap});
          },
          [&](const auto& x) {
            return reference::packed_attention(x[0], x[1], x[2], batch, {0.3, window, cap});
          },
          {random({n, 4, 12}), random({n, 2, 12}), random({n, 2, 12})}, 1e-5);
    }
  }
}

TEST_CASE("rotations of neighbours, and of a part of each head, equal the reference") {
  for (const int64_t turning : {4, 12}) {
    for (const bool interleaved : {false, true}) {
      CAPTURE(turning);
      CAPTURE(interleaved);
      const Tensor angles = random({21, turning / 2});
      const RotaryAngles by{angles.cos(), angles.sin(), interleaved};
      compare([&](const auto& x) { return rotary(x[0], by); },
              [&](const auto& x) { return reference::rotary(x[0], by); }, {random({21, 3, 12})}, 1e-6);
      for (const int part : {0, 1, 2}) {
        compare([&](const auto& x) { return split_heads(x[0], 4, 2, by)[part]; },
                [&](const auto& x) { return reference::split_heads(x[0], 4, 2, by)[part]; },
                {random({21, 8 * 12})}, 1e-6);
      }
    }
  }
  // By hand: (1, 2, 3, 4) with neighbours turned by a quarter and by nothing, the rest of the head kept.
  const RotaryAngles quarter{at::tensor({0.0f, 1.0f}).view({1, 2}), at::tensor({1.0f, 0.0f}).view({1, 2}),
                             true};
  const Tensor x = at::tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}).view({1, 1, 6});
  CHECK(worst(rotary(x, quarter), at::tensor({-2.0f, 1.0f, 3.0f, 4.0f, 5.0f, 6.0f}).view({1, 1, 6})) < 1e-6);
}

TEST_CASE("packed attention in bf16 stays within its rounding") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  const int64_t n = batch.tokens();
  const Tensor q = random({n, 4, 16}).to(at::kBFloat16), k = random({n, 2, 16}).to(at::kBFloat16),
               v = random({n, 2, 16}).to(at::kBFloat16);
  compare([&](const auto& x) { return packed_attention(x[0], x[1], x[2], batch, {0.25}); },
          [&](const auto& x) { return reference::packed_attention(x[0], x[1], x[2], batch, {0.25}); },
          {q, k, v}, 2e-2);
}

TEST_CASE("a shared prompt gives the same attention as a copy of it in every sequence") {
  const std::vector<int64_t> prompt = {1, 2, 3}, one = {4, 5}, two = {6};
  Packer shared, flat;
  const int64_t p = shared.add_segment(prompt);
  shared.add_segment(one, p);
  shared.add_segment(two, p);
  flat.add_segment({1, 2, 3, 4, 5});
  flat.add_segment({1, 2, 3, 6});
  const Tensor x = random({6, 2, 8});
  const Tensor rows = at::tensor({0, 1, 2, 3, 4, 0, 1, 2, 5}, at::kLong);
  const Tensor a = packed_attention(x, x, x, shared.tokens_on(at::kCPU), {0.5});
  const Tensor copies = x.index_select(0, rows);
  const Tensor b = packed_attention(copies, copies, copies, flat.tokens_on(at::kCPU), {0.5});
  CHECK(worst(a.index_select(0, rows), b) < 1e-6);
  CHECK(at::equal(shared.tokens_on(at::kCPU).positions.index_select(0, rows),
                  flat.tokens_on(at::kCPU).positions));
}

TEST_CASE("selective_logp equals log_softmax for any chunk, temperature and soft cap") {
  const int64_t vocab = 53, width = 12;
  Packer packer;
  const int64_t p = packer.add_segment({1, 2, 3});
  const int64_t a = packer.add_segment({4, 5, 6, 7}, p), b = packer.add_segment({8, 9}, p);
  packer.add_targets(a, 0, 4, 0);
  packer.add_targets(b, 0, 2, 1);
  const Targets targets = packer.targets_on(at::kCPU, 2);
  CHECK(at::equal(targets.source, at::tensor({2, 3, 4, 5, 2, 7}, at::kLong)));
  for (const int64_t chunk : {0, 1, 4}) {
    for (const double cap : {0.0, 3.0}) {
      LogpOptions o;
      o.chunk_rows = chunk;
      o.law.softcap = cap;
      o.temperature = 0.7;
      o.entropy = true;
      o.log_sum_squares = true;
      o.top_k = 3;
      compare([&](const auto& x) { return selective_logp(x[0], x[1].detach(), x[1], targets, o).logp; },
              [&](const auto& x) {
                return reference::selective_logp(x[0], x[1].detach(), x[1], targets, o).logp;
              },
              {random({9, width}), random({vocab, width})}, 5e-6);
      compare([&](const auto& x) { return selective_logp(x[0], x[1].detach(), x[1], targets, o).top_logp; },
              [&](const auto& x) {
                return reference::selective_logp(x[0], x[1].detach(), x[1], targets, o).top_logp;
              },
              {random({9, width}), random({vocab, width})}, 5e-6);
      o.mean_logp = true;
      o.cosine = true;
      for (const bool only : {true, false}) {  // alone, and together with the log-prob
        const auto sum = [&](const LogpResult& r) {
          return only ? r.mean_logp - 2 * r.cosine : r.logp + 3 * r.mean_logp - 2 * r.cosine;
        };
        compare([&](const auto& x) { return sum(selective_logp(x[0], x[1].detach(), x[1], targets, o)); },
                [&](const auto& x) {
                  return sum(reference::selective_logp(x[0], x[1].detach(), x[1], targets, o));
                },
                {random({9, width}), random({vocab, width})}, 5e-6);
      }
      // The entropy's own gradient: alone, with the log-prob, and with all else that there is.
      o.entropy_gradient = true;
      for (const int with : {0, 1, 2}) {
        o.mean_logp = o.cosine = with == 2;
        const auto sum = [&](const LogpResult& r) {
          if (with == 0) return 2 * r.entropy;
          const Tensor two = r.logp - 0.5 * r.entropy;
          return with == 1 ? two : two + 3 * r.mean_logp - 2 * r.cosine + r.top_logp.sum(1);
        };
        compare([&](const auto& x) { return sum(selective_logp(x[0], x[1].detach(), x[1], targets, o)); },
                [&](const auto& x) {
                  return sum(reference::selective_logp(x[0], x[1].detach(), x[1], targets, o));
                },
                {random({9, width}), random({vocab, width})}, 1e-5);
      }
      o.entropy_gradient = false;
      const Tensor h = random({9, width}), w = random({vocab, width});
      const LogpResult fast = selective_logp(h, w, w, targets, o),
                       slow = reference::selective_logp(h, w, w, targets, o);
      CHECK(worst(fast.entropy, slow.entropy) < 1e-5);
      CHECK(worst(fast.log_sum_squares, slow.log_sum_squares) < 1e-5);
      CHECK(!fast.log_sum_squares.requires_grad());
      CHECK(!fast.entropy.requires_grad());
      CHECK(worst(fast.mean_logp, slow.mean_logp) < 1e-5);
      CHECK(worst(fast.cosine, slow.cosine) < 1e-5);
      CHECK(at::equal(fast.top_token, slow.top_token));
    }
  }
}

TEST_CASE(
    "the entropy's gradient is that of float64, of nearly certain and of nearly even distributions too") {
  const int64_t vocab = 67, width = 10;
  Packer packer;
  packer.add_targets(packer.add_segment({1, 2, 3, 4, 5, 6, 7}), 1, 7, 0);
  const Targets targets = packer.targets_on(at::kCPU, 1);
  for (const double scale : {0.01, 1.0, 6.0}) {
    for (const double cap : {0.0, 5.0}) {
      CAPTURE(scale);
      const Tensor h = random({7, width}).mul(scale).requires_grad_(),
                   w = random({vocab, width}).requires_grad_();
      const Tensor weight = random({6});
      LogpOptions o;
      o.entropy = o.entropy_gradient = true;
      o.temperature = 0.8;
      o.law.softcap = cap;
      o.chunk_rows = 4;
      const Tensor fast = selective_logp(h, w.detach(), w, targets, o).entropy;
      const auto got = torch::autograd::grad({(fast * weight).sum()}, {h, w});

      const Tensor hd = h.detach().to(at::kDouble).requires_grad_(),
                   wd = w.detach().to(at::kDouble).requires_grad_();
      Tensor z = at::matmul(hd.index_select(0, targets.source), wd.t());
      if (cap > 0) z = cap * at::tanh(z / cap);
      const Tensor lp = at::log_softmax(z / 0.8, -1), plain = -(lp.exp() * lp).sum(-1);
      const auto want = torch::autograd::grad({(plain * weight.to(at::kDouble)).sum()}, {hd, wd});
      CHECK(worst(fast.to(at::kDouble), plain) < 5e-6);
      for (const size_t i : {0, 1})
        CHECK(worst(got[i].to(at::kDouble), want[i]) <
              1e-5 * std::max(want[i].abs().max().item<double>(), 0.2));
    }
  }
}

TEST_CASE("segment operations") {
  const Tensor value = at::tensor({1.0f, 2.0f, 4.0f, 8.0f}), sequence = at::tensor({0, 0, 2, 0}, at::kLong);
  CHECK(at::equal(segment_sum(value, sequence, 4), at::tensor({11.0f, 0.0f, 4.0f, 0.0f})));
  CHECK(at::equal(segment_count(sequence, 4), at::tensor({3.0f, 0.0f, 1.0f, 0.0f})));
  CHECK(worst(segment_mean(value, sequence, 4), at::tensor({11.0f / 3, 0.0f, 4.0f, 0.0f})) < 1e-6);
  const Tensor top = segment_max(value, sequence, 3);
  CHECK(top[0].item<float>() == 8.0f);
  CHECK(std::isinf(top[1].item<float>()));
  CHECK(at::equal(gather_sequence(at::tensor({5.0f, 6.0f, 7.0f}), sequence),
                  at::tensor({5.0f, 5.0f, 7.0f, 5.0f})));
}

TEST_CASE("log-probs of scaled and capped logits equal the plain formula") {
  const int64_t vocab = 53, width = 12;
  const Tensor source = at::tensor({2, 3, 3, 8, 0}, at::kLong);
  const Tensor token = at::tensor({1, 2, 2, 52, 0, 0, 7, 7, 7, 3, 4, 5, 9, 52, 9}, at::kLong).reshape({5, 3});
  const Targets targets{token.select(1, 0).contiguous(), source, at::zeros({5}, at::kLong), 1};
  for (const LogitsLaw law : {LogitsLaw{0.25, 0.0}, LogitsLaw{1.0, 2.0}, LogitsLaw{0.5, 1.5}}) {
    CAPTURE(law.scale);
    CAPTURE(law.softcap);
    const auto plain = [&](const auto& x) {
      Tensor z = at::matmul(x[0], x[1].t()).index_select(0, source) * law.scale;
      if (law.softcap > 0) z = at::tanh(z / law.softcap) * law.softcap;
      return z;
    };
    LogpOptions o;
    o.law = law;
    o.temperature = 0.7;
    compare([&](const auto& x) { return selective_logp(x[0], x[1].detach(), x[1], targets, o).logp; },
            [&](const auto& x) {
              return at::log_softmax(plain(x) / 0.7, -1).gather(1, token.narrow(1, 0, 1)).squeeze(1);
            },
            {random({9, width}), random({vocab, width})}, 5e-6);
    compare([&](const auto& x) { return gather_logp(x[0], x[1].detach(), x[1], source, token, law, 2); },
            [&](const auto& x) { return at::log_softmax(plain(x), -1).gather(1, token); },
            {random({9, width}), random({vocab, width})}, 5e-6);
  }
}

TEST_CASE("gather_logp equals log_softmax for any chunk, tokens drawn twice included") {
  const int64_t vocab = 53, width = 12;
  const Tensor source = at::tensor({2, 3, 3, 8, 0}, at::kLong);
  const Tensor token = at::tensor({1, 2, 2, 52, 0, 0, 7, 7, 7, 3, 4, 5, 9, 52, 9}, at::kLong).reshape({5, 3});
  for (const int64_t chunk : {0, 1, 2}) {
    compare([&](const auto& x) { return gather_logp(x[0], x[1].detach(), x[1], source, token, {}, chunk); },
            [&](const auto& x) { return reference::gather_logp(x[0], x[1].detach(), x[1], source, token); },
            {random({9, width}), random({vocab, width})}, 5e-6);
  }
}
