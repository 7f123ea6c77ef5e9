#include "adapter/lora_product.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>

#include "base/random.h"
#include "tensor/gemm.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor rows_in_line(const Tensor& t) {
  return t.stride(1) == 1 && t.stride(0) >= t.size(1) ? t : t.contiguous();
}

// s a^T b in fp32, [p, q], from a [N, p] and b [N, q] of one dtype.
Tensor outer_sum(const Tensor& a_in, const Tensor& b_in, double s) {
  const Tensor a = rows_in_line(a_in), b = rows_in_line(b_in);
  const int64_t n = a.size(0), p = a.size(1), q = b.size(1);
  Tensor out;
  if (a.device().is_cpu() && (a.scalar_type() == at::kFloat || a.scalar_type() == at::kBFloat16)) {
    out = at::empty({p, q}, a.options().dtype(at::kFloat));
    float* c = out.mutable_data_ptr<float>();
    if (a.scalar_type() == at::kFloat) {
      gemm(Trans::kYes, Trans::kNo, p, q, n, a.const_data_ptr<float>(), a.stride(0),
           b.const_data_ptr<float>(), b.stride(0), false, c, q);
    } else {
      gemm(Trans::kYes, Trans::kNo, p, q, n, a.const_data_ptr<at::BFloat16>(), a.stride(0),
           b.const_data_ptr<at::BFloat16>(), b.stride(0), false, c, q);
    }
  } else {
    out = at::mm(a.to(at::kFloat).t(), b.to(at::kFloat));
  }
  return s == 1.0 ? out : out.mul_(s);
}

struct LoraProduct : torch::autograd::Function<LoraProduct> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& y, const Tensor& a,
                        const Tensor& b, const Tensor& a_work, const Tensor& b_work, double scale,
                        const Dropout& dropout) {
    const Tensor dropped = dropout.p > 0 ? x * dropout_mask(dropout, x.size(0), x.size(1), x.options()) : x;
    const Tensor h = at::mm(dropped, a_work.t());
    // The mask is drawn again in backward: keeping it would double what LoRA holds.
    ctx->save_for_backward({x, h, a_work, b_work});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["p"] = dropout.p;
    for (const auto& [name, value] : {std::pair("seed", dropout.seed), std::pair("step", dropout.step),
                                      std::pair("index", dropout.index)}) {
      ctx->saved_data[name] = static_cast<int64_t>(value);
    }
    return at::addmm(y, h, b_work.t());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &h = saved[1], &a_work = saved[2], &b_work = saved[3];
    auto number = [&](const char* name) { return static_cast<uint64_t>(ctx->saved_data[name].toInt()); };
    const Dropout dropout{ctx->saved_data["p"].toDouble(), number("seed"), number("step"), number("index")};
    const Tensor dy = rows_in_line(grads[0]);
    const Tensor dh = at::mm(dy, b_work);
    const Tensor mask = dropout.p > 0 ? dropout_mask(dropout, x.size(0), x.size(1), x.options()) : Tensor();
    variable_list out(8);
    if (ctx->needs_input_grad(0)) {
      out[0] = at::mm(dh, a_work);
      if (mask.defined()) out[0].mul_(mask);
    }
    if (ctx->needs_input_grad(1)) out[1] = grads[0];
    if (ctx->needs_input_grad(2)) out[2] = outer_sum(dh, mask.defined() ? x * mask : x, 1.0);
    if (ctx->needs_input_grad(3)) out[3] = outer_sum(dy, h, ctx->saved_data["scale"].toDouble());
    return out;
  }
};

}  // namespace

Tensor dropout_mask(const Dropout& dropout, int64_t rows, int64_t columns, const at::TensorOptions& options) {
  const auto threshold = static_cast<uint64_t>(std::lround(dropout.p * 65536.0));
  const float keep = static_cast<float>(65536.0 / (65536.0 - static_cast<double>(threshold)));
  Tensor mask = at::empty({rows, columns}, options.device(at::kCPU).dtype(at::kFloat));
  float* out = mask.mutable_data_ptr<float>();
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      RandomStream stream(dropout.seed, "dropout", dropout.step,
                          (dropout.index << 32) + static_cast<uint64_t>(row));
      float* line = out + row * columns;
      for (int64_t c = 0; c < columns; c += 4) {  // 16 bits an element
        uint64_t bits = stream.next();
        for (int64_t i = c; i < std::min(c + 4, columns); ++i, bits >>= 16)
          line[i] = (bits & 65535) < threshold ? 0.0f : keep;
      }
    }
  });
  return mask.to(options);
}

Tensor lora_product(const Tensor& x, Tensor y, const Tensor& a, const Tensor& b, const Tensor& a_work,
                    const Tensor& b_work, double scale, const Dropout& dropout) {
  const bool grad = at::GradMode::is_enabled() &&
                    (x.requires_grad() || y.requires_grad() || a.requires_grad() || b.requires_grad());
  if (grad) return LoraProduct::apply(x, y, a, b, a_work, b_work, scale, dropout);
  if (dropout.p == 0) return y.addmm_(at::mm(x, a_work.t()), b_work.t());
  return y.addmm_(at::mm(x * dropout_mask(dropout, x.size(0), x.size(1), x.options()), a_work.t()),
                  b_work.t());
}

namespace reference {

Tensor lora_product(const Tensor& x, const Tensor& y, const Tensor& a, const Tensor& b, double scale,
                    const Dropout& dropout) {
  const Tensor dropped = dropout.p > 0 ? x * dropout_mask(dropout, x.size(0), x.size(1), x.options()) : x;
  return y + scale * at::mm(at::mm(dropped.to(at::kFloat), a.t()), b.t()).to(y.scalar_type());
}

}  // namespace reference

}  // namespace temper
