// NCCL in a group of one, on a machine with a GPU alone: TEMPER_TEST_DEVICE=cuda device_test -tc="nccl*".
#include "dist/nccl.h"

#include <ATen/ATen.h>

#include <cstdlib>
#include <string>

#include "tensor/device.h"
#include "test.h"

using namespace temper;

namespace {

bool has_gpu() {
  const char* name = std::getenv("TEMPER_TEST_DEVICE");
  return name != nullptr && std::string(name) == "cuda";
}

}  // namespace

TEST_CASE("nccl: what one GPU gives itself" * doctest::skip(!has_gpu())) {
  load_cuda();
  const Nccl group(Nccl::fresh_id(), 0, 1);
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kLong}) {
    const at::Tensor host = at::arange(1000).to(dtype), there = host.to(at::kCUDA);
    group.sum({there, there.clone()}, {});
    CHECK(at::equal(there.cpu(), host));
    group.sum_to(0, {there}, {});
    group.copy_from(0, {there}, {});
    CHECK(at::equal(there.cpu(), host));
  }
}

TEST_CASE("nccl: without a GPU there is none" * doctest::skip(has_gpu())) {
  CHECK_THROWS_WITH(Nccl::fresh_id(), doctest::Contains("is device \"cuda\"?"));
}
