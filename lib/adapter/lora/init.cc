#include "adapter/lora/init.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace temper {
namespace {

using at::Tensor;

at::Tensor drawn(std::vector<int64_t> shape, RandomStream stream, double scale, bool normal) {
  Tensor out = at::empty(shape, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i)
    values[i] = static_cast<float>((normal ? stream.normal() : 2.0 * stream.uniform() - 1.0) * scale);
  return out;
}

// U [out, r], S [r], V^T [r, in] shared between the factors.
LoraFactors from_triples(const Tensor& u, const Tensor& s, const Tensor& vt, double scale) {
  const Tensor root = (s / scale).sqrt();
  return {(root.unsqueeze(1) * vt).contiguous(), (u * root).contiguous()};
}

Tensor orthonormal(const Tensor& columns) {
  return std::get<0>(at::linalg_qr(columns));
}

}  // namespace

LoraFactors kaiming_start(int64_t out, int64_t in, int64_t rank, uint64_t seed, const std::string& path) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  return {drawn({rank, in}, RandomStream(seed, "init." + path + ".lora_A"), bound, false),
          at::zeros({out, rank})};
}

LoraFactors gaussian_start(int64_t out, int64_t in, int64_t rank, double deviation, uint64_t seed,
                           const std::string& path) {
  return {drawn({rank, in}, RandomStream(seed, "init." + path + ".lora_A"), deviation, true),
          at::zeros({out, rank})};
}

LoraFactors pissa_start(const Tensor& weight, int64_t rank, double scale, int64_t iterations, uint64_t seed,
                        const std::string& path) {
  if (iterations == 0) {
    const auto [u, s, vt] = at::linalg_svd(weight, /*full_matrices=*/false);
    return from_triples(u.narrow(1, 0, rank), s.narrow(0, 0, rank), vt.narrow(0, 0, rank), scale);
  }
  const Tensor random = drawn({weight.size(1), rank}, RandomStream(seed, "init." + path + ".svd"), 1.0, true);
  Tensor q = orthonormal(at::mm(weight, random.to(weight.device())));
  for (int64_t i = 0; i < iterations; ++i)
    q = orthonormal(at::mm(weight, orthonormal(at::mm(weight.t(), q))));
  const auto [u, s, vt] = at::linalg_svd(at::mm(q.t(), weight), /*full_matrices=*/false);
  return from_triples(at::mm(q, u), s, vt, scale);
}

LoraFactors olora_start(const Tensor& weight, int64_t rank) {
  const auto [q, r] = at::linalg_qr(weight);
  return {r.narrow(0, 0, rank).contiguous(), q.narrow(1, 0, rank).contiguous()};
}

LoraFactors corda_start(const Tensor& weight, const Tensor& covariance, int64_t rank, double scale,
                        bool largest) {
  const Tensor identity = at::eye(covariance.size(0), covariance.options());
  const Tensor level = covariance.diagonal().mean();
  if (!(level.item<double>() > 0 && std::isfinite(level.item<double>())))
    user_error(
        "adapter.init: the samples give a linear no input, or one that is not finite; take other samples");
  Tensor damped, inverse;
  for (double damp = 0.01;; damp *= 2) {
    damped = covariance + damp * level * identity;
    inverse = at::linalg_inv(damped);
    if ((at::mm(damped, inverse) - identity).norm().item<double>() < 0.05) break;
  }
  const auto [u, s, vt] = at::linalg_svd(at::mm(weight, damped), /*full_matrices=*/false);
  const int64_t first = largest ? 0 : s.size(0) - rank;
  return from_triples(u.narrow(1, first, rank), s.narrow(0, first, rank),
                      at::mm(vt.narrow(0, first, rank), inverse), scale);
}

}  // namespace temper
