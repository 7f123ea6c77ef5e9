#include "tensor/accelerator/ops.h"

#include <ATen/ATen.h>

namespace temper::on_device {

using at::Tensor;

namespace {

// Writes to distinct places have one result in any order, but ATen's deterministic mode sorts the places
// first, which takes many times as long.
class InAnyOrder {
 public:
  InAnyOrder() { at::globalContext().setDeterministicAlgorithms(false, false); }
  ~InAnyOrder() { at::globalContext().setDeterministicAlgorithms(deterministic_, warn_only_); }

 private:
  bool deterministic_ = at::globalContext().deterministicAlgorithms();
  bool warn_only_ = at::globalContext().deterministicAlgorithmsWarnOnly();
};

}  // namespace

void put_rows(Tensor& target, int64_t dim, const Tensor& index, const Tensor& rows) {
  const InAnyOrder guard;
  target.index_copy_(dim, index, rows);
}

void add_one_a_row(Tensor& target, const Tensor& index, const Tensor& values) {
  const InAnyOrder guard;
  target.scatter_add_(1, index.unsqueeze(1), values.unsqueeze(1));
}

Tensor mm_f32(const Tensor& a, const Tensor& b) {
  return a.scalar_type() == at::kFloat ? at::mm(a, b) : at::mm(a, b, at::kFloat);
}

void add_mm_f32(Tensor& sum, const Tensor& a, const Tensor& b) {
  if (a.scalar_type() == at::kFloat)
    sum.addmm_(a, b);
  else
    at::addmm_outf(sum, a, b, at::kFloat, 1, 1, sum);
}

void put_one_a_row(Tensor& target, const Tensor& index, const Tensor& values) {
  const InAnyOrder guard;
  target.scatter_(1, index.unsqueeze(1), values.to(target.scalar_type()).unsqueeze(1));
}

std::pair<Tensor, Tensor> rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  // The kernel wants one type; an fp32 master is rounded to bf16 for it, as all other weights are.
  auto [y, rstd] = at::_fused_rms_norm(x, x.size(-1), weight.to(x.scalar_type()), eps);
  return {y, rstd};
}

std::pair<Tensor, Tensor> rms_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                            const Tensor& rstd, bool weight_wanted) {
  Tensor dx = std::get<0>(
      at::_fused_rms_norm_backward(dy, x, x.size(-1), rstd, weight.to(x.scalar_type()), {true, false}));
  // The kernel's gradient of the weight would be in bf16.
  Tensor dw = weight_wanted ? (x * rstd).mul_(dy).view({-1, x.size(-1)}).sum(0) : Tensor();
  return {dx, dw};
}

void rotate(const Tensor& x, const Tensor& cos, const Tensor& sin, double sign, Tensor y) {
  const int64_t half = x.size(2) / 2;
  const Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1);
  const Tensor a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
  Tensor first = y.narrow(2, 0, half), second = y.narrow(2, half, half);
  // In fp32, rounded once.
  at::addcmul_out(first, a * c, b, s, -sign);
  at::addcmul_out(second, b * c, a, s, sign);
}

Tensor swiglu(const Tensor& x) {
  const int64_t width = x.size(1) / 2;
  return at::silu(x.narrow(1, 0, width)).mul_(x.narrow(1, width, width));
}

Tensor swiglu_backward(const Tensor& dy, const Tensor& x) {
  const int64_t width = x.size(1) / 2;
  const Tensor gate = x.narrow(1, 0, width), up = x.narrow(1, width, width);
  Tensor dx = at::empty_like(x);
  Tensor dgate = dx.narrow(1, 0, width), dup = dx.narrow(1, width, width);
  at::silu_backward_out(dgate, dy * up, gate);
  at::mul_out(dup, at::silu(gate), dy);
  return dx;
}

}  // namespace temper::on_device
