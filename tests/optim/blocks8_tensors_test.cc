#include "optim/blocks8_tensors.h"

#include <ATen/ATen.h>

#include <random>
#include <vector>

#include "test.h"

using namespace temper;

TEST_CASE("blocks by operators on tensors are the same blocks") {
  for (const DynamicMap* map : {&signed_map(), &unsigned_map()}) {
    const MapTensors tensors(*map, at::kCPU);
    std::vector<float> all;  // values and middles as they are, then at any scale
    for (int code = 0; code < 256; ++code) {
      all.push_back(map->value(static_cast<uint8_t>(code)));
      if (code < 255) all.push_back(map->middles()[code]);
      if (code % 64 == 0) all.push_back(1.0f);
    }
    std::mt19937 engine(2);
    for (int i = 0; i < 5000; ++i) {
      const float x = static_cast<float>(engine() >> 8) / 0x1p20f;
      all.push_back(map == &signed_map() && engine() % 2 == 0 ? -x : x);
    }
    all.resize(all.size() + 600, 0.0f);  // blocks of zeros, the last one short
    const auto size = static_cast<int64_t>(all.size());
    const auto [codes, absmax] = quantise8(as_blocks8(at::tensor(all)), tensors);
    REQUIRE(absmax.numel() == blocks8(size));
    const at::Tensor flat = codes.view(-1).narrow(0, 0, size), back = dequantise8(flat, absmax, tensors);
    size_t wrong = 0;
    for (int64_t begin = 0; begin < size; begin += kBlockSize8) {
      const int64_t n = std::min(kBlockSize8, size - begin);
      uint8_t wanted[kBlockSize8];
      float largest = 0, numbers[kBlockSize8];
      quantise8(all.data() + begin, n, *map, wanted, &largest);
      dequantise8(wanted, largest, n, *map, numbers);
      CHECK(absmax[begin / kBlockSize8].item<float>() == largest);
      for (int64_t i = 0; i < n; ++i) {
        wrong += flat.const_data_ptr<uint8_t>()[begin + i] != wanted[i];
        wrong += back.const_data_ptr<float>()[begin + i] != numbers[i];
      }
    }
    CHECK(wrong == 0);
  }
}
