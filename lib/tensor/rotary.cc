// Turning the heads of queries and keys, and splitting what the fused product gives into heads.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/accelerator/ops.h"
#include "tensor/kernels.h"
#include "tensor/ops.h"
#include "tensor/vec.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 16;  // rows a thread takes at least

// Turns src [N, heads, D] (any row stride) into dst (contiguous heads, own row stride); sign -1 turns back.
template <typename T>
void rotate(const T* src, int64_t src_row, T* dst, int64_t dst_row, const RotaryAngles& angles, float sign,
            int64_t tokens, int64_t heads, int64_t size) {
  const int64_t half = angles.cos.size(1);
  const float *cos = angles.cos.const_data_ptr<float>(), *sin = angles.sin.const_data_ptr<float>();
  const auto apart = [&](const T* in, T* out, const float* c, const float* s) {
    vec::for_each(half, [&](int64_t i, int64_t n) {
      const auto a = vec::load(in + i, n), b = vec::load(in + half + i, n);
      const auto ci = vec::load(c + i, n), si = vec::load(s + i, n) * vec::Floats(sign);
      vec::store(out + i, a * ci - b * si, n);
      vec::store(out + half + i, b * ci + a * si, n);
    });
  };
  const auto beside = [&](const T* in, T* out, const float* c, const float* s) {
    for (int64_t i = 0; i < half; ++i) {
      const auto a = static_cast<float>(in[2 * i]), b = static_cast<float>(in[2 * i + 1]);
      out[2 * i] = static_cast<T>(a * c[i] - b * s[i] * sign);
      out[2 * i + 1] = static_cast<T>(b * c[i] + a * s[i] * sign);
    }
  };
  at::parallel_for(0, tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const T* in = src + t * src_row + h * size;
        T* out = dst + t * dst_row + h * size;
        if (angles.interleaved)
          beside(in, out, cos + t * half, sin + t * half);
        else
          apart(in, out, cos + t * half, sin + t * half);
        std::copy(in + 2 * half, in + size, out + 2 * half);
      }
    }
  });
}

template <typename T>
void copy_heads(const T* src, int64_t src_row, T* dst, int64_t dst_row, int64_t tokens, int64_t width) {
  for (int64_t t = 0; t < tokens; ++t) std::copy_n(src + t * src_row, width, dst + t * dst_row);
}

// `to` becomes x [N, heads, D] turned, by views; on an accelerator.
void rotate_on_device(const Tensor& x, const RotaryAngles& angles, double sign, const Tensor& to) {
  const int64_t turning = 2 * angles.cos.size(1), rest = x.size(2) - turning;
  const Tensor in = x.narrow(2, 0, turning), out = to.narrow(2, 0, turning);
  if (angles.interleaved) {
    const auto pairs = [](const Tensor& t) { return t.unflatten(2, {-1, 2}).transpose(2, 3).flatten(2); };
    Tensor turned = at::empty(in.sizes(), in.options());
    on_device::rotate(pairs(in).contiguous(), angles.cos, angles.sin, sign, turned);
    out.copy_(turned.unflatten(2, {2, -1}).transpose(2, 3).flatten(2));
  } else {
    on_device::rotate(in, angles.cos, angles.sin, sign, out);
  }
  if (rest > 0) to.narrow(2, turning, rest).copy_(x.narrow(2, turning, rest));
}

Tensor rotated(const Tensor& x, const RotaryAngles& angles, float sign) {
  Tensor y = at::empty(x.sizes(), x.options());
  if (!x.is_cpu()) {
    rotate_on_device(x, angles, sign, y);
    return y;
  }
  const int64_t row = x.size(1) * x.size(2);
  dispatch(x.scalar_type(), "rotary", [&](auto zero) {
    using T = decltype(zero);
    rotate(x.const_data_ptr<T>(), row, y.mutable_data_ptr<T>(), row, angles, sign, x.size(0), x.size(1),
           x.size(2));
  });
  return y;
}

struct Rotary : Function<Rotary> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& cos, const Tensor& sin,
                        bool interleaved) {
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["interleaved"] = interleaved;
    return rotated(x, {cos, sin, interleaved}, 1.0f);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const RotaryAngles angles{saved[0], saved[1], ctx->saved_data["interleaved"].toBool()};
    return {rotated(grads[0].contiguous(), angles, -1.0f), Tensor(), Tensor(), Tensor()};
  }
};

std::vector<Tensor> split_forward(const Tensor& x, int64_t q_heads, int64_t kv_heads,
                                  const RotaryAngles& angles) {
  const int64_t n = x.size(0), row = x.size(1), d = row / (q_heads + 2 * kv_heads);
  const bool turns = angles.cos.defined();
  if (!x.is_cpu()) {
    // Views: attention reads rows of any stride.
    const Tensor heads = x.view({n, q_heads + 2 * kv_heads, d});
    Tensor turned = heads.narrow(1, 0, q_heads + kv_heads);
    if (turns) turned = rotated(turned, angles, 1.0f);
    return {turned.narrow(1, 0, q_heads), turned.narrow(1, q_heads, kv_heads),
            heads.narrow(1, q_heads + kv_heads, kv_heads)};
  }
  Tensor q = at::empty({n, q_heads, d}, x.options()), k = at::empty({n, kv_heads, d}, x.options());
  Tensor v = at::empty({n, kv_heads, d}, x.options());
  dispatch(x.scalar_type(), "split_heads", [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.const_data_ptr<T>();
    if (turns) {
      rotate(in, row, q.mutable_data_ptr<T>(), q_heads * d, angles, 1.0f, n, q_heads, d);
      rotate(in + q_heads * d, row, k.mutable_data_ptr<T>(), kv_heads * d, angles, 1.0f, n, kv_heads, d);
    } else {
      copy_heads(in, row, q.mutable_data_ptr<T>(), q_heads * d, n, q_heads * d);
      copy_heads(in + q_heads * d, row, k.mutable_data_ptr<T>(), kv_heads * d, n, kv_heads * d);
    }
    copy_heads(in + (q_heads + kv_heads) * d, row, v.mutable_data_ptr<T>(), kv_heads * d, n, kv_heads * d);
  });
  return {q, k, v};
}

struct SplitHeads : Function<SplitHeads> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, int64_t q_heads, int64_t kv_heads,
                               const std::optional<Tensor>& cos, const std::optional<Tensor>& sin,
                               bool interleaved) {
    const RotaryAngles angles{cos.value_or(Tensor()), sin.value_or(Tensor()), interleaved};
    ctx->save_for_backward({angles.cos, angles.sin});
    ctx->saved_data["interleaved"] = interleaved;
    return split_forward(x, q_heads, kv_heads, angles);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const RotaryAngles angles{saved[0], saved[1], ctx->saved_data["interleaved"].toBool()};
    const bool turns = angles.cos.defined();
    const int64_t n = grads[0].size(0), q_heads = grads[0].size(1), kv_heads = grads[1].size(1),
                  d = grads[0].size(2);
    const int64_t row = (q_heads + 2 * kv_heads) * d;
    Tensor dx = at::empty({n, row}, grads[0].options());
    const auto done = [&] { return variable_list{dx, {}, {}, {}, {}, {}}; };
    if (!dx.is_cpu()) {
      const Tensor heads = dx.view({n, q_heads + 2 * kv_heads, d});
      const auto turn_back = [&](const Tensor& from, int64_t first, int64_t count) {
        const Tensor to = heads.narrow(1, first, count);
        turns ? rotate_on_device(from, angles, -1.0, to) : void(to.copy_(from));
      };
      turn_back(grads[0], 0, q_heads);
      turn_back(grads[1], q_heads, kv_heads);
      heads.narrow(1, q_heads + kv_heads, kv_heads).copy_(grads[2]);
      return done();
    }
    const Tensor dq = grads[0].contiguous(), dk = grads[1].contiguous(), dv = grads[2].contiguous();
    dispatch(dq.scalar_type(), "split_heads", [&](auto zero) {
      using T = decltype(zero);
      T* out = dx.mutable_data_ptr<T>();
      const T *qp = dq.const_data_ptr<T>(), *kp = dk.const_data_ptr<T>();
      if (turns) {
        rotate(qp, q_heads * d, out, row, angles, -1.0f, n, q_heads, d);
        rotate(kp, kv_heads * d, out + q_heads * d, row, angles, -1.0f, n, kv_heads, d);
      } else {
        copy_heads(qp, q_heads * d, out, row, n, q_heads * d);
        copy_heads(kp, kv_heads * d, out + q_heads * d, row, n, kv_heads * d);
      }
      copy_heads(dv.const_data_ptr<T>(), kv_heads * d, out + (q_heads + kv_heads) * d, row, n, kv_heads * d);
    });
    return done();
  }
};

// As the kernels read them.
RotaryAngles in_rows(const RotaryAngles& angles) {
  if (!angles.cos.defined()) return angles;
  return {angles.cos.contiguous(), angles.sin.contiguous(), angles.interleaved};
}

}  // namespace

Tensor rotary(const Tensor& x, const RotaryAngles& given) {
  if (!has_kernel(x)) return reference::rotary(x, given);
  const Tensor in = x.contiguous();
  const RotaryAngles angles = in_rows(given);
  return wants_grad({&in}) ? Rotary::apply(in, angles.cos, angles.sin, angles.interleaved)
                           : rotated(in, angles, 1.0f);
}

std::vector<Tensor> split_heads(const Tensor& qkv, int64_t q_heads, int64_t kv_heads,
                                const RotaryAngles& given) {
  if (!has_kernel(qkv)) return reference::split_heads(qkv, q_heads, kv_heads, given);
  const Tensor in = qkv.contiguous();
  const RotaryAngles angles = in_rows(given);
  return wants_grad({&in}) ? SplitHeads::apply(in, q_heads, kv_heads, maybe(angles.cos), maybe(angles.sin),
                                               angles.interleaved)
                           : split_forward(in, q_heads, kv_heads, angles);
}

namespace reference {

Tensor rotary(const Tensor& x, const RotaryAngles& angles) {
  const int64_t turning = 2 * angles.cos.size(1);
  Tensor first = x.narrow(2, 0, turning).to(at::kFloat);
  if (angles.interleaved) first = first.unflatten(2, {-1, 2}).transpose(2, 3).flatten(2);
  const auto halves = first.chunk(2, -1);
  const Tensor c = angles.cos.unsqueeze(1), s = angles.sin.unsqueeze(1);
  Tensor turned = at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1);
  if (angles.interleaved) turned = turned.unflatten(2, {2, -1}).transpose(2, 3).flatten(2);
  return at::cat({turned.to(x.scalar_type()), x.narrow(2, turning, x.size(2) - turning)}, -1);
}

std::vector<Tensor> split_heads(const Tensor& qkv, int64_t q_heads, int64_t kv_heads,
                                const RotaryAngles& angles) {
  const Tensor heads = qkv.reshape({qkv.size(0), q_heads + 2 * kv_heads, -1});
  Tensor q = heads.narrow(1, 0, q_heads), k = heads.narrow(1, q_heads, kv_heads);
  const Tensor v = heads.narrow(1, q_heads + kv_heads, kv_heads);
  if (angles.cos.defined()) {
    q = reference::rotary(q, angles);
    k = reference::rotary(k, angles);
  }
  return {q, k, v};
}

}  // namespace reference
}  // namespace temper
