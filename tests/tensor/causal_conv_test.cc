#include "tensor/recurrent/causal_conv.h"

#include <ATen/ATen.h>

#include "tensor/compare.h"
#include "tensor/safetensors.h"
#include "tensor/trees.h"

using namespace temper;
using at::Tensor;

namespace {

std::vector<Segment> golden_segments(const SafetensorsFile& golden) {
  const Tensor rows = golden.tensor("segments");
  std::vector<Segment> out;
  int64_t begin = 0;
  for (int64_t s = 0; s < rows.size(1); ++s) {
    const int64_t end = begin + rows[0][s].item<int64_t>();
    out.push_back({begin, end, rows[1][s].item<int64_t>()});
    begin = end;
  }
  return out;
}

}  // namespace

TEST_CASE("causal_conv: values, states and gradients of transformers' qwen3_5") {
  const SafetensorsFile golden(test_file("tensor/golden/delta_rule.safetensors"));
  const auto segments = golden_segments(golden);
  const Tensor x = golden.tensor("conv.x"), weight = golden.tensor("conv.weight");
  const auto f = [&](const Tensors& in) { return causal_conv(in[0], in[1], segments); };
  CHECK(worst(f({x, weight}), golden.tensor("conv.out")) < 2e-6);
  const Tensors got = gradients(f, {x, weight}, golden.tensor("conv.weights"));
  CHECK(worst(got[0], golden.tensor("conv.d_x")) < 5e-6);
  CHECK(worst(got[1], golden.tensor("conv.d_weight")) < 2e-5);
  const CausalConvResult prefill = causal_conv_prefill(x, weight, segments, {1, 2, 3});
  CHECK(at::equal(prefill.states, golden.tensor("conv.states")));
}

TEST_CASE("causal_conv equals the plain form, over trees and for any number of taps") {
  const PackedTokens batch = several_trees().tokens_on(at::kCPU);
  for (const int64_t kernel : {1, 2, 4, 6}) {
    for (const int64_t channels : {3, 70}) {
      CAPTURE(kernel);
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        compare([&](const auto& in) { return causal_conv(in[0], in[1], batch.segments); },
                [&](const auto& in) { return reference::causal_conv(in[0], in[1], batch.segments); },
                {random({batch.tokens(), channels}).to(dtype), random({channels, kernel})},
                dtype == at::kFloat ? 3e-6 : 1e-2);
      }
    }
  }
}

TEST_CASE("causal_conv: steps and pieces go on where a prompt ended") {
  const int64_t tokens = 9, channels = 5, kernel = 4;
  const Tensor x = random({tokens, channels}), weight = random({channels, kernel});
  const Tensor whole = causal_conv(x, weight, {{0, tokens}});
  for (const int64_t prompt : {0, 1, 2, 5}) {
    CAPTURE(prompt);
    const std::vector<Segment> first = {{0, prompt}};
    CausalConvResult got = causal_conv_prefill(x.narrow(0, 0, prompt), weight, first, {0});
    CHECK(worst(got.out, whole.narrow(0, 0, prompt)) < 1e-6);
    // A piece of two, the second half of which is a child, then tokens one by one.
    const std::vector<Segment> piece = {{0, 1}, {1, 1, 0}, {1, 2, 1}};
    got = causal_conv_prefill(x.narrow(0, prompt, 2), weight, piece, {2}, got.states);
    CHECK(worst(got.out, whole.narrow(0, prompt, 2)) < 1e-6);
    for (int64_t t = prompt + 2; t < tokens; ++t)
      CHECK(worst(causal_conv_step(x.narrow(0, t, 1), weight, got.states), whole.narrow(0, t, 1)) < 1e-6);
  }
}

TEST_CASE("causal_conv: an end without tokens keeps what stood before it") {
  const Tensor x = random({2, 3}), weight = random({3, 4}), initial = random({2, 3, 3});
  const std::vector<Segment> segments = {{0, 0}, {0, 2}, {2, 2, 1}};
  const Tensor states = causal_conv_prefill(x, weight, segments, {0, 1, 2}, initial).states;
  CHECK(at::equal(states[0], initial[0]));
  CHECK(at::equal(states[1], states[2]));
  CHECK(at::equal(states[1].narrow(1, 1, 2), x.t()));
  CHECK(at::equal(states[1].select(1, 0), initial[1].select(1, 2)));
}

TEST_CASE("causal_conv: shapes that do not fit are an error") {
  CHECK_THROWS_WITH(causal_conv(random({2, 3}), random({4, 4}), {{0, 2}}),
                    "causal_conv: weights of 4 channels, inputs of 3");
  CHECK_THROWS_WITH(causal_conv(random({2, 3}), random({3, 4}), {{0, 3}}),
                    "causal_conv: 2 tokens, segments of 3");
}
