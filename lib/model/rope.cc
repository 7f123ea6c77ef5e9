#include "model/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace temper {
namespace {

// Llama 3.1's ramp between f / factor and f.
float llama3(const Rope& rope, float f) {
  const auto original = static_cast<double>(rope.original_max_positions);
  const double wavelength = 2.0 * M_PI / f;
  const double low = original / rope.low_freq_factor, high = original / rope.high_freq_factor;
  if (wavelength > low) return static_cast<float>(f / rope.factor);
  if (wavelength < high) return f;
  const double smooth =
      (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return static_cast<float>((1.0 - smooth) * f / rope.factor + smooth * f);
}

// YaRN's ramp: 1 where pair i keeps its frequency, 0 where it is divided.
class YarnRamp {
 public:
  YarnRamp(const Rope& rope, int64_t turning) : turning_(static_cast<double>(turning)) {
    low_ = correction(rope, rope.beta_fast);
    high_ = correction(rope, rope.beta_slow);
    if (rope.truncate) low_ = std::floor(low_), high_ = std::ceil(high_);
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, turning_ - 1);
    if (low_ == high_) high_ += 0.001;
  }
  double kept(int64_t i) const {
    return 1.0 - std::clamp((static_cast<double>(i) - low_) / (high_ - low_), 0.0, 1.0);
  }

 private:
  // The pair that turns so often within the original length.
  double correction(const Rope& rope, double rotations) const {
    return turning_ * std::log(static_cast<double>(rope.original_max_positions) / (rotations * 2 * M_PI)) /
           (2 * std::log(rope.theta));
  }
  double turning_, low_ = 0, high_ = 0;
};

}  // namespace

at::Tensor rope_frequencies(const Rope& rope, int64_t head_dim, int64_t longest) {
  const bool proportional = rope.type == "proportional";
  const auto turning = static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial);
  const int64_t width = proportional ? head_dim : turning;  // the exponents divide by it
  at::Tensor inverse = at::zeros({width / 2}, at::kFloat);
  float* f = inverse.mutable_data_ptr<float>();
  double theta = rope.theta;
  const auto original = static_cast<double>(rope.original_max_positions);
  if (rope.type == "dynamic" && static_cast<double>(longest) > original) {
    const auto d = static_cast<double>(width);
    theta *= std::pow(rope.factor * static_cast<double>(longest) / original - (rope.factor - 1), d / (d - 2));
  }
  const YarnRamp yarn(rope, width);
  const auto& factors = longest > rope.original_max_positions ? rope.long_factors : rope.short_factors;
  for (int64_t i = 0; i < turning / 2; ++i) {
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(width);
    f[i] = 1.0f / std::pow(static_cast<float>(theta), exponent);
    if (rope.type == "linear" || proportional) {
      f[i] /= static_cast<float>(rope.factor);
    } else if (rope.type == "llama3") {
      f[i] = llama3(rope, f[i]);
    } else if (rope.type == "yarn") {
      const auto kept = static_cast<float>(yarn.kept(i));
      f[i] = f[i] / static_cast<float>(rope.factor) * (1.0f - kept) + f[i] * kept;
    } else if (rope.type == "longrope") {
      f[i] /= static_cast<float>(factors.at(static_cast<size_t>(i)));
    } else if (rope.type != "default" && rope.type != "dynamic") {
      bug("rope scaling \"{}\" passed the config check", rope.type);
    }
  }
  return inverse;
}

RotaryAngles rope_angles(const Rope& rope, const at::Tensor& frequencies, const at::Tensor& positions,
                         bool interleaved) {
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  at::Tensor cos = at::cos(angles), sin = at::sin(angles);
  if (rope.amplitude != 1.0) cos.mul_(rope.amplitude), sin.mul_(rope.amplitude);
  return {cos, sin, interleaved};
}

}  // namespace temper
