#include "merge/conjugate_gradient.h"

#include <ATen/ATen.h>

#include <cmath>

namespace temper {
namespace {

double fp64_dot(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.reshape({-1}), y = b.reshape({-1});
  double sum = 0;
  constexpr int64_t kPiece = 1 << 20;  // what is held in fp64 at a time
  for (int64_t at = 0; at < x.numel(); at += kPiece) {
    const int64_t n = std::min(kPiece, x.numel() - at);
    sum += x.narrow(0, at, n).to(at::kDouble).dot(y.narrow(0, at, n).to(at::kDouble)).item<double>();
  }
  return sum;
}

}  // namespace

CgResult conjugate_gradient(const std::function<at::Tensor(const at::Tensor&)>& product, at::Tensor b,
                            at::Tensor x, int64_t iterations, double tolerance) {
  CgResult out;
  const double b_norm = std::sqrt(fp64_dot(b, b));
  at::Tensor residual = b.sub_(product(x));
  double squared = fp64_dot(residual, residual);
  const auto relative = [&] { return b_norm > 0 ? std::sqrt(squared) / b_norm : std::sqrt(squared); };
  out.first = relative();
  at::Tensor direction = residual.clone();
  while (out.iterations < iterations && relative() > tolerance) {
    const at::Tensor image = product(direction);
    const double curvature = fp64_dot(direction, image);
    if (!(curvature > 0)) break;
    const double step = squared / curvature;
    x.add_(direction, step);
    residual.sub_(image, step);
    const double before = squared;
    squared = fp64_dot(residual, residual);
    direction.mul_(squared / before).add_(residual);
    ++out.iterations;
  }
  out.x = x;
  out.last = relative();
  return out;
}

}  // namespace temper
