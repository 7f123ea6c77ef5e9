// The gated delta rule against its plain recurrence.
#include "tensor/recurrent/delta_rule.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

#include "tensor/accelerator/delta_rule.h"
#include "tensor/compare.h"
#include "tensor/safetensors.h"
#include "tensor/trees.h"

using namespace temper;
using at::Tensor;

namespace {

// q, k, v, log_decay and beta as a model makes them, q and k of length 1.
Tensors some_inputs(int64_t tokens, int64_t key_heads, int64_t value_heads, int64_t key_size,
                    int64_t value_size, double decay = 1.0) {
  const auto unit = [](const Tensor& x) { return x / x.norm(2, {-1}, true); };
  return {unit(random({tokens, key_heads, key_size})) / std::sqrt(static_cast<double>(key_size)),
          unit(random({tokens, key_heads, key_size})), random({tokens, value_heads, value_size}),
          -decay * at::softplus(random({tokens, value_heads})), at::sigmoid(random({tokens, value_heads}))};
}

Tensor fast(const Tensors& x, const std::vector<Segment>& segments) {
  return gated_delta_rule(x[0], x[1], x[2], x[3], x[4], segments);
}
Tensor slow(const Tensors& x, const std::vector<Segment>& segments) {
  return reference::gated_delta_rule(x[0], x[1], x[2], x[3], x[4], segments).out;
}

}  // namespace

TEST_CASE("gated delta rule: chunks equal the recurrence, values and all gradients") {
  for (const int64_t tokens : {1, 2, 63, 64, 65, 150}) {
    for (const double decay : {0.02, 1.0}) {
      CAPTURE(tokens);
      CAPTURE(decay);
      const std::vector<Segment> segments = {{0, tokens}};
      compare([&](const auto& x) { return fast(x, segments); },
              [&](const auto& x) { return slow(x, segments); }, some_inputs(tokens, 2, 4, 12, 9, decay),
              2e-5);
    }
  }
}

TEST_CASE("gated delta rule: trees of segments, gradients through the parent's state") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  compare([&](const auto& x) { return fast(x, batch.segments); },
          [&](const auto& x) { return slow(x, batch.segments); },
          some_inputs(batch.tokens(), 1, 3, 16, 8, 0.1), 2e-5);
}

TEST_CASE("gated delta rule: values, states and gradients of transformers' qwen3_5") {
  const SafetensorsFile golden(test_file("tensor/golden/delta_rule.safetensors"));
  const Tensor rows = golden.tensor("segments");
  Packer packer;
  for (int64_t s = 0; s < rows.size(1); ++s)
    packer.add_segment(some_ids(rows[0][s].item<int64_t>()), rows[1][s].item<int64_t>());
  const std::vector<Segment> segments = packer.tokens_on(at::kCPU).segments;
  const std::vector<std::string> names = {"q", "k", "v", "log_decay", "beta"};
  Tensors x;
  for (const std::string& name : names) x.push_back(golden.tensor("rule." + name));
  CHECK(worst(fast(x, segments), golden.tensor("rule.out")) < 3e-6);
  const Tensors got =
      gradients([&](const auto& in) { return fast(in, segments); }, x, golden.tensor("rule.weights"));
  for (size_t i = 0; i < names.size(); ++i) {
    CAPTURE(names[i]);
    const Tensor want = golden.tensor("rule.d_" + names[i]);
    CHECK(worst(got[i], want) < 5e-6 * want.abs().max().item<double>());
  }
  const DeltaRuleResult prefill = gated_delta_prefill(x[0], x[1], x[2], x[3], x[4], segments, {1, 2, 3});
  CHECK(worst(prefill.states, golden.tensor("rule.states")) < 3e-6);
}

TEST_CASE("gated delta rule: the accelerators' form equals the recurrence") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  const Tensors x = some_inputs(batch.tokens(), 2, 4, 16, 8, 0.1);
  const auto device = [&](const auto& in) {
    return on_device::gated_delta_rule(in[0], in[1], in[2], in[3], in[4], batch.segments).out;
  };
  compare(
      device, [&](const auto& in) { return slow(in, batch.segments); }, x, 2e-5);
  std::vector<int64_t> ends(batch.segments.size());
  std::iota(ends.begin(), ends.end(), 0);
  const auto roots =
      std::count_if(batch.segments.begin(), batch.segments.end(), [](const auto& s) { return s.parent < 0; });
  const Tensor initial = random({roots, 4, 16, 8});
  const auto want = reference::gated_delta_rule(x[0], x[1], x[2], x[3], x[4], batch.segments, ends, initial);
  for (const DeltaRuleResult& got :
       {on_device::gated_delta_rule(x[0], x[1], x[2], x[3], x[4], batch.segments, ends, initial),
        gated_delta_prefill(x[0], x[1], x[2], x[3], x[4], batch.segments, ends, initial)}) {
    CHECK(worst(got.out, want.out) < 5e-6);
    CHECK(worst(got.states, want.states) < 5e-6);
  }
  CHECK(on_device::gated_delta_rule(x[0].narrow(0, 0, 0), x[1].narrow(0, 0, 0), x[2].narrow(0, 0, 0),
                                    x[3].narrow(0, 0, 0), x[4].narrow(0, 0, 0), {})
            .out.sizes() == at::IntArrayRef({0, 4, 8}));
}

TEST_CASE("gated delta rule in bf16 stays within its rounding") {
  const std::vector<Segment> segments = {{0, 80}, {80, 100, 0}};
  Tensors x = some_inputs(100, 2, 4, 16, 16, 0.1);
  for (const size_t i : {0, 1, 2}) x[i] = x[i].to(at::kBFloat16);
  compare([&](const auto& in) { return fast(in, segments); },
          [&](const auto& in) { return slow(in, segments); }, x, 1e-2);
}

TEST_CASE("gated delta rule: one chunk's gradients are those of float64") {
  // Large beta and hardly any decay, where rounding adds up most.
  const std::vector<Segment> segments = {{0, 130}};
  Tensors x = some_inputs(130, 1, 2, 8, 8, 1e-3), exact;
  x[4] = x[4] * 0.1 + 0.9;
  for (const Tensor& in : x) exact.push_back(in.to(at::kDouble));
  const Tensor weights = random({130, 2, 8});
  const auto plain = [&](const auto& in) { return slow(in, segments); };
  CHECK(worst(fast(x, segments), plain(exact)) < 5e-6);
  const Tensors got = gradients([&](const auto& in) { return fast(in, segments); }, x, weights);
  const Tensors want = gradients(plain, exact, weights);
  for (size_t i = 0; i < got.size(); ++i)
    CHECK(worst(got[i], want[i]) < 1e-5 * want[i].abs().max().item<double>());
}

TEST_CASE("gated delta rule: a shared prompt is a copy of it in every sequence") {
  const Tensors x = some_inputs(80, 1, 2, 8, 8, 0.1);
  const std::vector<Segment> shared = {{0, 70}, {70, 75, 0}, {75, 80, 0}};
  const Tensor rows = at::cat({at::arange(75), at::arange(70), at::arange(75, 80)});
  Tensors copies;
  for (const Tensor& in : x) copies.push_back(in.index_select(0, rows));
  CHECK(worst(fast(x, shared).index_select(0, rows), fast(copies, {{0, 75}, {75, 150}})) < 2e-6);
}

TEST_CASE("gated delta rule: steps and pieces go on where a prompt ended") {
  const int64_t tokens = 75;
  const Tensors x = some_inputs(tokens, 2, 4, 12, 20, 0.1);
  const Tensor whole = slow(x, {{0, tokens}});
  const auto part = [&](int64_t from, int64_t count) {
    Tensors out;
    for (const Tensor& in : x) out.push_back(in.narrow(0, from, count));
    return out;
  };
  for (const int64_t prompt : {0, 1, 66}) {
    CAPTURE(prompt);
    const Tensors head = part(0, prompt), next = part(prompt, 3);
    DeltaRuleResult got =
        gated_delta_prefill(head[0], head[1], head[2], head[3], head[4], {{0, prompt}}, {0});
    CHECK(worst(got.out, whole.narrow(0, 0, prompt)) < 3e-6);
    const std::vector<Segment> piece = {{0, 1}, {1, 1, 0}, {1, 3, 1}};
    got = gated_delta_prefill(next[0], next[1], next[2], next[3], next[4], piece, {2}, got.states);
    CHECK(worst(got.out, whole.narrow(0, prompt, 3)) < 3e-6);
    Tensor plain = got.states.clone();
    for (int64_t t = prompt + 3; t < tokens; ++t) {
      const Tensors one = part(t, 1);
      CHECK(worst(gated_delta_step(one[0], one[1], one[2], one[3], one[4], got.states),
                  whole.narrow(0, t, 1)) < 3e-6);
      reference::gated_delta_step(one[0], one[1], one[2], one[3], one[4], plain);
    }
    CHECK(worst(got.states, plain) < 3e-6);
  }
}

TEST_CASE("gated delta step takes many sequences, each its own state") {
  const Tensors x = some_inputs(5, 2, 4, 12, 20);
  Tensor one = random({5, 4, 12, 20}), other = one.clone();
  CHECK(worst(gated_delta_step(x[0], x[1], x[2], x[3], x[4], one),
              reference::gated_delta_step(x[0], x[1], x[2], x[3], x[4], other)) < 5e-6);
  CHECK(worst(one, other) < 5e-6);
}

TEST_CASE("gated delta rule: bytes do not depend on threads, and no tokens are no tokens") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  const Tensors x = some_inputs(batch.tokens(), 2, 4, 8, 8);
  const Tensor weights = random({batch.tokens(), 4, 8});
  const auto run = [&](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    Tensors out = gradients([&](const auto& in) { return fast(in, batch.segments); }, x, weights);
    at::set_num_threads(before);
    return out;
  };
  const Tensors one = run(1), three = run(3);
  for (size_t i = 0; i < one.size(); ++i) CHECK(at::equal(one[i], three[i]));
  CHECK(fast(some_inputs(0, 2, 4, 8, 8), {}).sizes() == at::IntArrayRef({0, 4, 8}));
}

TEST_CASE("gated delta rule: shapes that do not fit are an error") {
  Tensors x = some_inputs(4, 2, 4, 8, 8);
  CHECK_THROWS_WITH(fast(x, {{0, 5}}), "gated delta rule: 4 tokens, segments of 5");
  CHECK_THROWS_WITH(gated_delta_prefill(x[0], x[1], x[2], x[3], x[4], {{0, 4}}, {0}, random({2, 4, 8, 8})),
                    "gated delta rule: initial states [2, 4, 8, 8], expected [1, 4, 8, 8]");
  x[3] = x[3].narrow(1, 0, 2);
  CHECK_THROWS_WITH(fast(x, {{0, 4}}),
                    "gated delta rule: shapes do not fit: q [4, 2, 8], k [4, 2, 8], v [4, 4, 8], "
                    "log_decay [4, 2], beta [4, 4]");
}
