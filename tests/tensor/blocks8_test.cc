#include "tensor/blocks8.h"

#include <cmath>
#include <random>

#include "test.h"

using namespace temper;

TEST_CASE("a code is that of the nearest value") {
  for (const DynamicMap* map : {&signed_map(), &unsigned_map()}) {
    for (int i = -2000; i <= 2000; ++i) {
      const float x = static_cast<float>(i) / 1999.0f;
      const auto distance = [&](int code) { return std::abs(x - map->value(static_cast<uint8_t>(code))); };
      int nearest = 0;
      for (int code = 1; code < 256; ++code) {
        if (distance(code) < distance(nearest)) nearest = code;
      }
      CHECK(map->nearest(x) == nearest);
    }
  }
}

TEST_CASE("a block's codes are those that halving finds: between codes, beside them, at every magnitude") {
  for (const DynamicMap* map : {&signed_map(), &unsigned_map()}) {
    std::vector<float> all = {0.0f, -0.0f, 1e-30f, -1e-30f};
    for (int code = 0; code < 256; ++code) {
      for (const float x :
           {map->value(static_cast<uint8_t>(code)), code < 255 ? map->middles()[code] : 1.0f}) {
        for (const float near : {x, std::nextafter(x, -2.0f), std::min(std::nextafter(x, 2.0f), 1.0f)})
          all.push_back(near);
      }
    }
    std::mt19937 engine(1);
    for (int i = 0; i < 20000; ++i) {
      const float x =
          std::ldexp(static_cast<float>(engine() >> 8) / 0x1p24f, -static_cast<int>(engine() % 30));
      all.push_back(engine() % 2 == 0 ? x : -x);
    }
    size_t wrong = 0;
    for (size_t begin = 0; begin < all.size(); begin += 200) {
      std::vector<float> block(all.begin() + begin, all.begin() + std::min(begin + 200, all.size()));
      block.push_back(1.0f);  // the block's largest: codes are of the numbers themselves
      uint8_t codes[kBlockSize8];
      float absmax = 0;
      quantise8(block.data(), static_cast<int64_t>(block.size()), *map, codes, &absmax);
      CHECK(absmax == 1.0f);
      for (size_t i = 0; i < block.size(); ++i) wrong += codes[i] != map->nearest(block[i]);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a block of zeros stays one") {
  const float zeros[7] = {};
  uint8_t codes[7];
  float absmax = 1, back[7];
  quantise8(zeros, 7, signed_map(), codes, &absmax);
  dequantise8(codes, absmax, 7, signed_map(), back);
  for (const float x : back) CHECK(x == 0.0f);
}
