#include "tensor/ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/accelerator/ops.h"
#include "tensor/kernels.h"
#include "tensor/vec.h"

// Each operation: a kernel of the CPU templated on the activation's dtype, an autograd Function around it,
// which takes the form in namespace on_device elsewhere, and the public entry, which takes the composite in
// namespace reference for other types.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 16;  // rows a thread takes at least

// ------------------------------------------------------------------------------------------------ RMS norm

// y [R, H], rstd of each row
std::pair<Tensor, Tensor> rms_norm_forward(const Tensor& x, const Tensor& weight, double eps) {
  if (!x.is_cpu()) return on_device::rms_norm(x, weight.detach(), eps);
  const int64_t width = x.size(-1), rows = x.numel() / std::max<int64_t>(width, 1);
  Tensor y = at::empty_like(x), rstd = at::empty({rows}, x.options().dtype(at::kFloat));
  const Tensor w = weight.detach().to(at::kFloat).contiguous();
  dispatch(x.scalar_type(), "rms_norm", [&](auto zero) {
    using T = decltype(zero);
    const T* xp = x.const_data_ptr<T>();
    T* yp = y.mutable_data_ptr<T>();
    const float* wp = w.const_data_ptr<float>();
    float* rp = rstd.mutable_data_ptr<float>();
    at::parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* row = xp + r * width;
        const float squares = vec::sum_over(width, [&](int64_t i, int64_t n) {
          const auto v = vec::load(row + i, n);
          return v * v;
        });
        const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + static_cast<float>(eps));
        rp[r] = scale;
        const vec::Floats s(scale);
        vec::for_each(width, [&](int64_t i, int64_t n) {
          vec::store(yp + r * width + i, vec::load(row + i, n) * s * vec::load(wp + i, n), n);
        });
      }
    });
  });
  return {y, rstd};
}

struct RmsNorm : Function<RmsNorm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, double eps) {
    auto [y, rstd] = rms_norm_forward(x, weight, eps);
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &rstd = saved[2];
    const Tensor dy = grads[0].contiguous();
    const bool weight_grad = ctx->needs_input_grad(1);
    if (!x.is_cpu()) {
      const auto [dx, dw] = on_device::rms_norm_backward(dy, x, weight.detach(), rstd, weight_grad);
      return {dx, dw.defined() ? dw.to(weight.scalar_type()) : dw, Tensor()};
    }
    const int64_t width = x.size(-1), rows = rstd.size(0);
    const Tensor w = weight.detach().to(at::kFloat).contiguous();
    Tensor dx = at::empty_like(x);
    // One partial sum a block of rows, added in order: the result does not depend on the thread count.
    constexpr int64_t kBlock = 64;
    const int64_t blocks = (rows + kBlock - 1) / kBlock;
    Tensor partial = weight_grad ? at::zeros({blocks, width}, rstd.options()) : Tensor();
    dispatch(x.scalar_type(), "rms_norm", [&](auto zero) {
      using T = decltype(zero);
      const T *xp = x.const_data_ptr<T>(), *gp = dy.const_data_ptr<T>();
      T* dp = dx.mutable_data_ptr<T>();
      const float *wp = w.const_data_ptr<float>(), *rp = rstd.const_data_ptr<float>();
      at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          float* sums = weight_grad ? partial.mutable_data_ptr<float>() + b * width : nullptr;
          for (int64_t r = b * kBlock; r < std::min(rows, (b + 1) * kBlock); ++r) {
            const T *row = xp + r * width, *g = gp + r * width;
            const float dot = vec::sum_over(width, [&](int64_t i, int64_t n) {
              return vec::load(row + i, n) * vec::load(g + i, n) * vec::load(wp + i, n);
            });
            const vec::Floats s(rp[r]), c(dot * rp[r] * rp[r] / static_cast<float>(width));
            vec::for_each(width, [&](int64_t i, int64_t n) {
              const auto xi = vec::load(row + i, n), gi = vec::load(g + i, n);
              vec::store(dp + r * width + i, s * (gi * vec::load(wp + i, n) - xi * c), n);
              if (sums != nullptr) vec::store(sums + i, vec::load(sums + i, n) + gi * xi * s, n);
            });
          }
        }
      });
    });
    Tensor dw = weight_grad ? partial.sum(0).to(weight.scalar_type()) : Tensor();
    return {dx, dw, Tensor()};
  }
};

// ------------------------------------------------------------------------------------------------ SwiGLU

Tensor swiglu_forward(const Tensor& x) {
  if (!x.is_cpu()) return on_device::swiglu(x);
  const int64_t rows = x.size(0), width = x.size(1) / 2;
  Tensor y = at::empty({rows, width}, x.options());
  dispatch(x.scalar_type(), "swiglu", [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.const_data_ptr<T>();
    T* out = y.mutable_data_ptr<T>();
    at::parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
      const vec::Floats one(1.0f);
      for (int64_t r = begin; r < end; ++r) {
        const T *g = in + r * 2 * width, *u = g + width;
        vec::for_each(width, [&](int64_t i, int64_t n) {
          const auto gi = vec::load(g + i, n);
          vec::store(out + r * width + i, gi / (one + gi.neg().exp_u20()) * vec::load(u + i, n), n);
        });
      }
    });
  });
  return y;
}

struct SwiGlu : Function<SwiGlu> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return swiglu_forward(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor x = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    if (!x.is_cpu()) return {on_device::swiglu_backward(dy, x)};
    const int64_t rows = x.size(0), width = x.size(1) / 2;
    Tensor dx = at::empty_like(x);
    dispatch(x.scalar_type(), "swiglu", [&](auto zero) {
      using T = decltype(zero);
      const T *in = x.const_data_ptr<T>(), *gp = dy.const_data_ptr<T>();
      T* out = dx.mutable_data_ptr<T>();
      at::parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
        const vec::Floats one(1.0f);
        for (int64_t r = begin; r < end; ++r) {
          const T *g = in + r * 2 * width, *u = g + width, *d = gp + r * width;
          T *dg = out + r * 2 * width, *du = dg + width;
          vec::for_each(width, [&](int64_t i, int64_t n) {
            const auto gi = vec::load(g + i, n), ui = vec::load(u + i, n), di = vec::load(d + i, n);
            const auto s = one / (one + gi.neg().exp_u20());
            vec::store(dg + i, di * ui * s * (one + gi * (one - s)), n);
            vec::store(du + i, di * gi * s, n);
          });
        }
      });
    });
    return {dx};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  if (!has_kernel(x)) return reference::rms_norm(x, weight, eps);
  const Tensor in = x.contiguous();
  return wants_grad({&in, &weight}) ? RmsNorm::apply(in, weight, eps)
                                    : rms_norm_forward(in, weight, eps).first;
}

Tensor swiglu(const Tensor& x) {
  if (!has_kernel(x)) return reference::swiglu(x);
  const Tensor in = x.contiguous();
  return wants_grad({&in}) ? SwiGlu::apply(in) : swiglu_forward(in);
}

namespace reference {

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor f = x.to(at::kFloat);
  return (f * at::rsqrt(f.pow(2).mean({-1}, true) + eps) * weight.to(at::kFloat)).to(x.scalar_type());
}

Tensor swiglu(const Tensor& x) {
  const auto halves = x.to(at::kFloat).chunk(2, -1);
  return (at::silu(halves[0]) * halves[1]).to(x.scalar_type());
}

}  // namespace reference
}  // namespace temper
