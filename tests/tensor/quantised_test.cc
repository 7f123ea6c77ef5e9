#include "tensor/quantised.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstring>

#include "tensor/safetensors.h"
#include "test.h"

using namespace temper;
using at::Tensor;
using Kind = QuantFormat::Kind;

namespace {

const QuantFormat kFormats[] = {{Kind::kInt8}, {Kind::kNf4, false}, {Kind::kNf4, true}};

std::string name_of(const QuantFormat& f) {
  return std::string(quant_name(f.kind)) + (f.kind == Kind::kNf4 && f.double_quantisation ? "_double" : "");
}

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor x = a.contiguous(), y = b.contiguous();
  return x.scalar_type() == y.scalar_type() && x.sizes() == y.sizes() &&
         (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

Tensor random_matrix(int64_t rows, int64_t columns, uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({rows, columns});
}

QuantisedParts quantised(const std::vector<Tensor>& dense, const QuantFormat& format) {
  QuantisedParts out;
  for (const Tensor& w : dense) out.emplace_back(std::make_shared<QuantisedMatrix>(quantise(w, format)));
  return out;
}

double relative(const Tensor& a, const Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

}  // namespace

TEST_CASE("codes, magnitudes and values are bitsandbytes' own") {
  const SafetensorsFile golden(test_file("tensor/golden/quantised.safetensors"));
  for (const std::string name :
       {"rows_of_64", "blocks_cross_rows", "odd_rows", "even_rest", "a_row_of_zeros", "large"}) {
    const Tensor w = golden.tensor(name + ".w");
    for (const QuantFormat& format : kFormats) {
      const std::string stem = name + "." + name_of(format) + ".";
      CAPTURE(stem);
      const QuantisedMatrix m = quantise(w, format);
      CHECK(same_bits(m.codes, golden.tensor(stem + "codes")));
      CHECK(same_bits(m.absmax, golden.tensor(stem + "absmax")));
      if (m.absmax_scale.defined()) {
        CHECK(same_bits(m.absmax_scale, golden.tensor(stem + "absmax_scale")));
        CHECK(m.absmax_mean == golden.tensor(stem + "absmax_mean").item<float>());
      }
      CHECK(same_bits(dequantise(m, 0, m.rows, w.scalar_type()), golden.tensor(stem + "values")));
      CHECK(same_bits(reference::dequantise(m, w.scalar_type()), golden.tensor(stem + "values")));
    }
  }
}

TEST_CASE("the dynamic map is bitsandbytes' own") {
  const Tensor map = SafetensorsFile(test_file("tensor/golden/quantised.safetensors")).tensor("dynamic_map");
  CHECK(std::memcmp(map.const_data_ptr(), signed_map().values(), 256 * sizeof(float)) == 0);
}

TEST_CASE("any rows dequantise to the rows of the whole, in both types") {
  for (const int64_t columns : {1, 33, 64, 70, 96, 200}) {
    for (const QuantFormat& format : kFormats) {
      const QuantisedMatrix m = quantise(random_matrix(9, columns, 1), format);
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        CAPTURE(columns);
        CAPTURE(name_of(format));
        const Tensor whole = reference::dequantise(m, dtype);
        for (const auto& [begin, end] : {std::pair{0, 9}, {3, 4}, {1, 8}, {8, 9}, {4, 4}}) {
          CHECK(same_bits(dequantise(m, begin, end, dtype), whole.narrow(0, begin, end - begin)));
          CHECK(same_bits(reference::dequantise(m, begin, end, dtype), whole.narrow(0, begin, end - begin)));
        }
      }
    }
  }
}

TEST_CASE("the error that is told is the error that is made") {
  for (const QuantFormat& format : kFormats) {
    const Tensor w = random_matrix(700, 65, 2);
    const QuantisedMatrix m = quantise(w, format);
    const Tensor off = reference::dequantise(m, at::kFloat) - w;
    CHECK(m.error.rms() == doctest::Approx((off.norm() / w.norm()).item<double>()).epsilon(1e-5));
    CHECK(m.error.worst() ==
          doctest::Approx((off.abs().max() / w.square().mean().sqrt()).item<double>()).epsilon(1e-5));
    // Of normal weights: steps of absmax / 127, and QLoRA's 4 bits.
    CHECK(m.error.rms() > (format.kind == Kind::kInt8 ? 0.003 : 0.08));
    CHECK(m.error.rms() < (format.kind == Kind::kInt8 ? 0.009 : 0.11));
  }
}

TEST_CASE("a shape without storage has the bytes of the matrix") {
  for (const QuantFormat& format : kFormats) {
    const QuantisedMatrix m = quantise(random_matrix(37, 901, 3), format);
    CHECK(quantised_shape(37, 901, format, at::kMeta).bytes() == m.bytes());
  }
  // 4 bits a weight, 8 a block of 64, 32 a block of these of 256.
  CHECK(quantised_shape(256, 64 * 64, {Kind::kNf4, true}, at::kMeta).bytes() ==
        256 * 64 * 32 + 256 * 64 + 64 * 4);
}

TEST_CASE("products and their gradients equal those of the dequantised weights") {
  // Rows above and below the few that another product is for; matrices of more than a slab of 2^20 elements.
  struct Case {
    int64_t rows, in;
    std::vector<int64_t> outs;
    bool bias;
  };
  const Case cases[] = {{1, 96, {64, 32, 32}, true},
                        {5, 33, {7, 10}, false},
                        {24, 160, {18, 5}, true},
                        {200, 70, {30, 40}, true},
                        {33, 1000, {1500, 1200}, true}};
  for (const Case& c : cases) {
    std::vector<Tensor> dense;
    int64_t outs = 0;
    for (const int64_t out : c.outs) {
      dense.push_back(random_matrix(out, c.in, static_cast<uint64_t>(outs + out)));
      outs += out;
    }
    for (const QuantFormat& format : kFormats) {
      const QuantisedParts weights = quantised(dense, format);
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        CAPTURE(c.rows);
        CAPTURE(c.in);
        CAPTURE(name_of(format));
        CAPTURE(std::string(c10::toString(dtype)));
        const double tolerance = dtype == at::kFloat ? 2e-6 : 4e-3;
        const Tensor x = random_matrix(c.rows, c.in, 4).to(dtype).requires_grad_(true);
        const Tensor twin = x.detach().clone().requires_grad_(true);
        const Tensor bias = c.bias ? random_matrix(1, outs, 5)[0].to(dtype) : Tensor();
        const Tensor y = quantised_linear(x, weights, bias);
        const Tensor expected = reference::quantised_linear(twin, weights, bias);
        CHECK((y.scalar_type() == dtype));
        CHECK(relative(y.detach(), expected.detach()) < tolerance);
        const Tensor dy = random_matrix(c.rows, outs, 6).to(dtype);
        torch::autograd::backward({y}, {dy});
        torch::autograd::backward({expected}, {dy});
        CHECK((x.grad().scalar_type() == dtype));
        CHECK(relative(x.grad(), twin.grad()) < tolerance);
        const at::NoGradGuard no_grad;
        CHECK(relative(quantised_linear(x, weights, bias), expected.detach()) < tolerance);
      }
    }
  }
}
