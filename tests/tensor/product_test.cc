// Matrix products by every path against ATen's in fp32 or fp64.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "tensor/compare.h"
#include "tensor/product/few_rows.h"
#include "tensor/product/mm.h"
#include "test.h"

using at::Tensor;
using namespace temper;

namespace {

// The product in fp64 of what the operands hold.
Tensor exact(const Tensor& a, const Tensor& b) {
  return at::mm(a.to(at::kDouble), b.to(at::kDouble));
}

void check_close(const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE(got.sizes() == want.sizes());
  if (got.numel() == 0) return;
  const double scale = std::max(1.0, want.abs().max().item<double>());
  CHECK((got.to(at::kDouble) - want).abs().max().item<double>() <= tolerance * scale);
}

}  // namespace

TEST_CASE("products of fp32 and bf16 equal those in fp64, for any number of rows") {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const double rounding = type == at::kFloat ? 2e-6 : 4e-3;
    for (const int64_t n : {1, 2, 3, 4, 5, 7, 12, 13, 32, 33, 140, 600}) {
      for (const auto& [in, out] : {std::pair<int64_t, int64_t>{24, 40}, {33, 7}, {130, 129}}) {
        CAPTURE(n);
        CAPTURE(in);
        const Tensor x = random({n, in}).to(type), w = random({out, in}).to(type),
                     bias = random({out}).to(type);
        const Tensor want = exact(x, w.t());
        check_close(product(x, w), want, rounding);
        check_close(product(x, w, bias), want + bias.to(at::kDouble), 2 * rounding);
        check_close(product_f32(x, w), want, 2e-6);
        check_close(training_product(x, w, bias), want + bias.to(at::kDouble), 2 * rounding);
        check_close(matrix_product(x, w.t()), want, rounding);
        check_close(mm_f32(x, w.t()), want, 2e-6);
        const Tensor dy = random({n, out}).to(type);
        check_close(matrix_product(dy, w), exact(dy, w), rounding);
        check_close(mm_f32(dy.t(), x), exact(dy.t(), x), 2e-6);
        // Rows and columns of larger matrices.
        const Tensor wide = random({n, in + 3}).to(type).narrow(1, 2, in);
        check_close(product(wide, w), exact(wide, w.t()), rounding);
        check_close(matrix_product(wide, w.t()), exact(wide, w.t()), rounding);
      }
    }
  }
}

TEST_CASE("products of nothing") {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto of = at::TensorOptions().dtype(type);
    CHECK(product(at::zeros({0, 5}, of), at::zeros({3, 5}, of)).sizes() == at::IntArrayRef{0, 3});
    const Tensor none = mm_f32(at::zeros({2, 0}, of), at::zeros({0, 3}, of));
    CHECK(none.sizes() == at::IntArrayRef{2, 3});
    CHECK(none.abs().max().item<float>() == 0);
  }
}

TEST_CASE("a product refuses inputs whose gradient it would lose") {
  const Tensor x = random({2, 4}).requires_grad_(true), w = random({3, 4});
  CHECK_THROWS_WITH(product(x, w), "product: its result has no gradient; linear() has one");
}

TEST_CASE("few rows: a row's result has the same bytes alone, among others, and on any number of threads") {
  const int64_t in = 77, out = 1030;
  const Tensor x = random({13, in}).to(at::kBFloat16), w = random({out, in}).to(at::kBFloat16);
  const auto run = [&](const Tensor& rows) {
    const Tensor y = at::empty({rows.size(0), out});
    few_rows_product<c10::BFloat16, float>(rows.const_data_ptr<c10::BFloat16>(), rows.size(0),
                                           w.const_data_ptr<c10::BFloat16>(), out, in, nullptr,
                                           y.mutable_data_ptr<float>());
    return y;
  };
  const Tensor all = run(x);
  check_close(all, exact(x, w.t()), 2e-6);
  for (int64_t r = 0; r < x.size(0); ++r) CHECK(at::equal(run(x.narrow(0, r, 1)), all.narrow(0, r, 1)));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  CHECK(at::equal(run(x), all));
  at::set_num_threads(threads);
}
