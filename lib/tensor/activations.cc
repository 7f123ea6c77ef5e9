#include "tensor/activations.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "tensor/kernels.h"
#include "tensor/vec.h"

// A gated activation is a function of (gate, up) with its two derivatives; one pass over the rows serves all,
// whatever the columns' order.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using vec::Floats;

constexpr int64_t kRowGrain = 16;  // rows a thread takes at least

Floats sigmoid(const Floats& x) {
  const Floats one(1.0f);
  return one / (one + x.neg().exp_u20());
}

struct Derivatives {
  Floats gate, up;
};

// (1 + tanh(z)) / 2 = sigmoid(2 z)
struct GeGlu {
  static constexpr bool kAlternating = false;
  Floats twice(const Floats& g) const {  // 2 sqrt(2/pi) (g + 0.044715 g^3)
    return Floats(1.5957691216057308f) * g * (Floats(1.0f) + Floats(0.044715f) * g * g);
  }
  Floats value(const Floats& gate, const Floats& up) const { return gate * sigmoid(twice(gate)) * up; }
  Derivatives derivatives(const Floats& gate, const Floats& up) const {
    const Floats one(1.0f), s = sigmoid(twice(gate));
    const Floats slope = Floats(1.5957691216057308f) * (one + Floats(0.134145f) * gate * gate);
    return {up * (s + gate * s * (one - s) * slope), gate * s};
  }
};

// Its gradient at the limits themselves is that of LibTorch 2.15's clamp: none.
struct ClampedSwiGlu {
  static constexpr bool kAlternating = true;
  float limit, alpha;
  Floats value(const Floats& gate, const Floats& up) const {
    const Floats g = at::vec::clamp_max(gate, Floats(limit));
    const Floats u = at::vec::clamp(up, Floats(-limit), Floats(limit));
    return g * sigmoid(Floats(alpha) * g) * (u + Floats(1.0f));
  }
  Derivatives derivatives(const Floats& gate, const Floats& up) const {
    const Floats one(1.0f), top(limit), g = at::vec::clamp_max(gate, top);
    const Floats u = at::vec::clamp(up, top.neg(), top), s = sigmoid(Floats(alpha) * g);
    return {gate.lt(top) * (u + one) * s * (one + Floats(alpha) * g * (one - s)), up.abs().lt(top) * g * s};
  }
};

// Numbers [i, i + n) of the gates and of the ups of a row of 2 width columns.
template <bool alternating, typename T>
std::pair<Floats, Floats> load_both(const T* row, int64_t width, int64_t i, int64_t n) {
  if constexpr (!alternating) return {vec::load(row + i, n), vec::load(row + width + i, n)};
  const int64_t first = std::min(2 * n, vec::kWidth);
  return at::vec::deinterleave2(vec::load(row + 2 * i, first), vec::load(row + 2 * i + first, 2 * n - first));
}

template <bool alternating, typename T>
void store_both(T* row, int64_t width, int64_t i, int64_t n, const Floats& gate, const Floats& up) {
  if constexpr (!alternating) {
    vec::store(row + i, gate, n);
    vec::store(row + width + i, up, n);
  } else {
    const int64_t first = std::min(2 * n, vec::kWidth);
    const auto [low, high] = at::vec::interleave2(gate, up);
    vec::store(row + 2 * i, low, first);
    if (2 * n > first) vec::store(row + 2 * i + first, high, 2 * n - first);
  }
}

template <typename A>
Tensor forward(const Tensor& x, const A& activation) {
  const int64_t rows = x.size(0), width = x.size(1) / 2;
  const Tensor y = at::empty({rows, width}, x.options());
  dispatch(x.scalar_type(), "gated activation", [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.const_data_ptr<T>();
    T* out = y.mutable_data_ptr<T>();
    at::parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        vec::for_each(width, [&](int64_t i, int64_t n) {
          const auto [gate, up] = load_both<A::kAlternating>(in + r * 2 * width, width, i, n);
          vec::store(out + r * width + i, activation.value(gate, up), n);
        });
      }
    });
  });
  return y;
}

template <typename A>
Tensor backward(const Tensor& dy, const Tensor& x, const A& activation) {
  const int64_t rows = x.size(0), width = x.size(1) / 2;
  const Tensor dx = at::empty_like(x);
  dispatch(x.scalar_type(), "gated activation", [&](auto zero) {
    using T = decltype(zero);
    const T *in = x.const_data_ptr<T>(), *d = dy.const_data_ptr<T>();
    T* out = dx.mutable_data_ptr<T>();
    at::parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        vec::for_each(width, [&](int64_t i, int64_t n) {
          const auto [gate, up] = load_both<A::kAlternating>(in + r * 2 * width, width, i, n);
          const Derivatives by = activation.derivatives(gate, up);
          const Floats di = vec::load(d + r * width + i, n);
          store_both<A::kAlternating>(out + r * 2 * width, width, i, n, di * by.gate, di * by.up);
        });
      }
    });
  });
  return dx;
}

struct GeGluFunction : Function<GeGluFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return temper::forward(x, GeGlu{});
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {temper::backward(grads[0].contiguous(), ctx->get_saved_variables()[0], GeGlu{})};
  }
};

struct ClampedSwiGluFunction : Function<ClampedSwiGluFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double limit, double alpha) {
    ctx->save_for_backward({x});
    ctx->saved_data["limit"] = limit;
    ctx->saved_data["alpha"] = alpha;
    return temper::forward(x, of(limit, alpha));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const ClampedSwiGlu activation =
        of(ctx->saved_data["limit"].toDouble(), ctx->saved_data["alpha"].toDouble());
    return {temper::backward(grads[0].contiguous(), ctx->get_saved_variables()[0], activation), Tensor(),
            Tensor()};
  }
  static ClampedSwiGlu of(double limit, double alpha) {
    return {static_cast<float>(limit), static_cast<float>(alpha)};
  }
};

}  // namespace

Tensor geglu(const Tensor& x) {
  if (!x.is_cpu() || !has_kernel(x)) return reference::geglu(x);
  const Tensor in = x.contiguous();
  return wants_grad({&in}) ? GeGluFunction::apply(in) : forward(in, GeGlu{});
}

Tensor clamped_swiglu(const Tensor& x, double limit, double alpha) {
  if (!x.is_cpu() || !has_kernel(x)) return reference::clamped_swiglu(x, limit, alpha);
  const Tensor in = x.contiguous();
  return wants_grad({&in}) ? ClampedSwiGluFunction::apply(in, limit, alpha)
                           : forward(in, ClampedSwiGluFunction::of(limit, alpha));
}

namespace reference {

Tensor geglu(const Tensor& x) {
  const auto halves = x.to(at::kFloat).chunk(2, -1);
  return (at::gelu(halves[0], "tanh") * halves[1]).to(x.scalar_type());
}

Tensor clamped_swiglu(const Tensor& x, double limit, double alpha) {
  const Tensor pairs = x.to(at::kFloat).reshape({x.size(0), -1, 2});
  const Tensor gate = pairs.select(-1, 0).clamp_max(limit), up = pairs.select(-1, 1).clamp(-limit, limit);
  return (gate * at::sigmoid(alpha * gate) * (up + 1)).to(x.scalar_type());
}

}  // namespace reference
}  // namespace temper
