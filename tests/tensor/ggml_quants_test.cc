// Blocks of few bits against ggml's own quantisers (scripts/oracles/ggml_quants.py).
#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "tensor/gguf.h"
#include "tensor/safetensors.h"
#include "test.h"

using namespace temper;

namespace {

struct Quantiser {
  GgmlType type;
  double error;  // of the dequantised weights, root mean square over that of the weights, of normal ones
};

const Quantiser kQuantisers[] = {{GgmlType::kQ8_0, 0.008}, {GgmlType::kQ4_0, 0.11}, {GgmlType::kQ5_0, 0.055},
                                 {GgmlType::kQ5_1, 0.055}, {GgmlType::kQ4_K, 0.09}, {GgmlType::kQ5_K, 0.045},
                                 {GgmlType::kQ6_K, 0.025}};

std::vector<uint8_t> quantised_blocks(GgmlType type, const at::Tensor& x) {
  std::vector<uint8_t> out(static_cast<uint64_t>(x.numel()) / ggml_block_elements(type) *
                           ggml_block_bytes(type));
  ggml_quantise(type, x.const_data_ptr<float>(), x.numel(), out.data());
  return out;
}

}  // namespace

TEST_CASE("ggml quantisers: the same bytes as ggml's, of awkward weights too") {
  const SafetensorsFile golden(test_file("tensor/golden/ggml_quants.safetensors"));
  const at::Tensor x = golden.tensor("values");
  for (const Quantiser& q : kQuantisers) {
    CAPTURE(std::string(ggml_type_name(q.type)));
    const at::Tensor wanted = golden.tensor(ggml_type_name(q.type));
    const std::vector<uint8_t> made = quantised_blocks(q.type, x);
    REQUIRE(static_cast<int64_t>(made.size()) == wanted.numel());
    const auto* bytes = static_cast<const uint8_t*>(wanted.const_data_ptr());
    const auto differs = std::mismatch(made.begin(), made.end(), bytes).first - made.begin();
    CHECK(differs == static_cast<int64_t>(made.size()));  // where the first differing byte stands
  }
}

TEST_CASE("ggml quantisers: what comes back is as near as so many bits can be") {
  at::manual_seed(3);
  const at::Tensor x = at::randn({64, 256}) * 0.05;
  for (const Quantiser& q : kQuantisers) {
    CAPTURE(std::string(ggml_type_name(q.type)));
    const std::vector<uint8_t> made = quantised_blocks(q.type, x);
    at::Tensor back = at::empty_like(x);
    ggml_dequantize(q.type, made.data(), x.numel(), back.mutable_data_ptr<float>());
    const double error = ((back - x).norm() / x.norm()).item<double>();
    CHECK(error < q.error);
    CHECK(error > q.error / 4);  // and the bound says something
  }
}
