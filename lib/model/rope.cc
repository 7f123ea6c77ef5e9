#include "model/rope.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"

namespace temper {

at::Tensor rope_frequencies(const ModelConfig& config) {
  const int64_t half = config.head_dim / 2;
  at::Tensor inverse = at::empty({half}, at::kFloat);
  float* f = inverse.mutable_data_ptr<float>();
  const RopeScaling& rope = config.rope;
  for (int64_t i = 0; i < half; ++i) {
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    f[i] = 1.0f / std::pow(static_cast<float>(config.rope_theta), exponent);
    if (rope.type == "linear") {
      f[i] /= static_cast<float>(rope.factor);
    } else if (rope.type == "llama3") {
      const double original = static_cast<double>(rope.original_max_positions);
      const double wavelength = 2.0 * M_PI / f[i];
      const double low = original / rope.low_freq_factor, high = original / rope.high_freq_factor;
      if (wavelength > low) {
        f[i] = static_cast<float>(f[i] / rope.factor);
      } else if (wavelength >= high) {
        const double smooth =
            (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
        f[i] = static_cast<float>((1.0 - smooth) * f[i] / rope.factor + smooth * f[i]);
      }
    } else if (rope.type != "default") {
      bug("rope scaling \"{}\" passed the config check", rope.type);
    }
  }
  return inverse;
}

std::pair<at::Tensor, at::Tensor> rope_angles(const at::Tensor& frequencies, const at::Tensor& positions) {
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  return {at::cos(angles), at::sin(angles)};
}

}  // namespace temper
