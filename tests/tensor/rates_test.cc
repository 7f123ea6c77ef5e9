// What this machine gives through the libraries that the products use; scripts/bench/run.sh asks for it.
//   build/bin/tensor_test -tc="rates: *" --no-skip       a line of JSON each
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/json.h"
#include "tensor/product/mm.h"
#include "tensor/safetensors.h"
#include "test.h"

using namespace temper;

namespace {

// Of the fastest of so many calls, after one that is not counted.
double seconds_of(int calls, const std::function<void()>& body) {
  body();
  double best = 1e30;
  for (int i = 0; i < calls; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void print(const Json& line) {
  std::printf("%s\n", dump_line(line).c_str());
}

}  // namespace

TEST_CASE("rates: products in fp32 and bf16, of many rows and of few" * doctest::skip()) {
  for (const auto& [name, dtype] : {std::pair{"f32", at::kFloat}, {"bf16", at::kBFloat16}}) {
    for (const int64_t rows : {2048, 32, 1}) {
      const int64_t in = 1536, out = 1536;
      const at::Tensor x = at::randn({rows, in}).to(dtype), w = at::randn({out, in}).to(dtype);
      // ATen's own and the programs' form; the machine gives what the faster one does.
      at::Tensor aten, ours;
      const int calls = rows > 100 ? 3 : 50;
      const auto gflops = [&](const std::function<void()>& body) {
        return 2e-9 * static_cast<double>(rows * in * out) / seconds_of(calls, body);
      };
      const double a = gflops([&] { aten = at::linear(x, w); }), b = gflops([&] { ours = product(x, w); });
      CHECK(at::allclose(aten.to(at::kFloat), ours.to(at::kFloat), 0.02, 0.5));
      print({{"what", "gemm"},
             {"dtype", name},
             {"rows", rows},
             {"gflops", std::max(a, b)},
             {"aten", a},
             {"programs", b}});
    }
  }
}

TEST_CASE("rates: memory that is read and that is copied" * doctest::skip()) {
  const int64_t count = 64 << 20;  // 256 MB, beyond any cache
  const at::Tensor from = at::ones({count}, at::kFloat), to = at::empty_like(from);
  const auto bytes = static_cast<double>(from.nbytes());
  double sum = 0;
  const double read = seconds_of(5, [&] { sum = from.sum().item<double>(); });
  CHECK(sum == static_cast<double>(count));
  print({{"what", "read"}, {"gb_per_s", 1e-9 * bytes / read}, {"threads", at::get_num_threads()}});
  const double copy = seconds_of(5, [&] { to.copy_(from); });
  print({{"what", "copy"}, {"gb_per_s", 2e-9 * bytes / copy}, {"threads", at::get_num_threads()}});
}

// TEMPER_RATES_FILE: a .safetensors file, which is in the page cache after the call that is not counted.
TEST_CASE("rates: a safetensors file is read" * doctest::skip()) {
  const char* path = std::getenv("TEMPER_RATES_FILE");
  REQUIRE(path != nullptr);
  double bytes = 0;
  const double seconds = seconds_of(3, [&] {
    bytes = 0;
    const SafetensorsFile file(path);
    for (const TensorInfo& info : file.tensors())
      bytes += static_cast<double>(file.tensor(info).clone().nbytes());
  });
  CHECK(bytes > 0);
  print({{"what", "safetensors"}, {"bytes", bytes}, {"seconds", seconds}});
}
