#include "tensor/activations.h"

#include <ATen/ATen.h>

#include "tensor/compare.h"

using namespace temper;
using at::Tensor;

TEST_CASE("geglu equals the plain form") {
  for (const int64_t width : {32, 19, 1}) {
    const auto fast = [](const auto& x) { return geglu(x[0]); };
    const auto slow = [](const auto& x) { return reference::geglu(x[0]); };
    compare(fast, slow, {random({40, 2 * width}, 3.0)}, 5e-6);
    compare(fast, slow, {random({40, 2 * width}, 3.0).to(at::kBFloat16)}, 1e-2);
  }
}

TEST_CASE("clamped_swiglu equals the plain form, clamped values too") {
  for (const int64_t width : {32, 19, 8, 1}) {
    const auto fast = [](const auto& x) { return clamped_swiglu(x[0], 2.0, 1.702); };
    const auto slow = [](const auto& x) { return reference::clamped_swiglu(x[0], 2.0, 1.702); };
    compare(fast, slow, {random({40, 2 * width}, 3.0)}, 5e-6);
    compare(fast, slow, {random({40, 2 * width}, 3.0).to(at::kBFloat16)}, 1e-2);
  }
}

TEST_CASE("clamped_swiglu's even columns are gates, and its defaults are gpt-oss'") {
  const Tensor x = at::tensor({1.0f, 2.0f, 9.0f, -8.0f, -20.0f, 0.5f}).reshape({1, 6});
  const auto glu = [](double g) { return g / (1 + std::exp(-1.702 * g)); };
  const Tensor expected = at::tensor({glu(1) * 3, glu(7) * -6, glu(-20) * 1.5}, at::kFloat).reshape({1, 3});
  CHECK(worst(clamped_swiglu(x), expected) < 1e-5);
  const Tensor grad =
      gradients([](const auto& in) { return clamped_swiglu(in[0]); }, {x}, at::ones({1, 3}))[0];
  CHECK(grad[0][2].item<float>() == 0);  // above the limit
  CHECK(grad[0][3].item<float>() == 0);
  CHECK(std::abs(grad[0][1].item<double>() - glu(1)) < 1e-5);
}

TEST_CASE("gated activations of no rows and of far values are finite") {
  for (const auto f :
       {+[](const Tensor& x) { return geglu(x); }, +[](const Tensor& x) { return clamped_swiglu(x); }}) {
    CHECK(f(at::empty({0, 8})).sizes() == at::IntArrayRef({0, 4}));
    const Tensor x = at::tensor({-3e4f, 3e4f, -200.0f, 200.0f, 0.0f, -100.0f, 100.0f, 90.0f}).reshape({2, 4});
    CHECK(at::isfinite(f(x)).all().item<bool>());
    const auto g = gradients([&](const auto& in) { return f(in[0]); }, {x}, at::ones({2, 2}));
    CHECK(at::isfinite(g[0]).all().item<bool>());
  }
}
