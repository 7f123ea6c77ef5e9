#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "tensor/experts/experts.h"
#include "tensor/kernels.h"
#include "tensor/vec.h"

// The way to the experts' order and back. Every loop goes over tokens, which own their k rows alone.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kTokenGrain = 8;  // tokens a thread takes at least

// y[n] = sum_j w[n][j] x[place[n][j]], or the plain sum without weights. x [M, H] -> [N, H].
Tensor weighted_sum(const Tensor& x, const Tensor& weights, const Tensor& place) {
  const int64_t tokens = place.size(0), choices = place.size(1), width = x.size(1);
  const Tensor y = at::empty({tokens, width}, x.options());
  const int64_t* p = place.const_data_ptr<int64_t>();
  const float* w = weights.defined() ? weights.const_data_ptr<float>() : nullptr;
  dispatch(x.scalar_type(), "combine_rows", [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.const_data_ptr<T>();
    T* out = y.mutable_data_ptr<T>();
    at::parallel_for(0, tokens, kTokenGrain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        vec::for_each(width, [&](int64_t i, int64_t n) {
          vec::Floats sum(0.0f);
          for (int64_t j = t * choices; j < (t + 1) * choices; ++j)
            sum = sum + vec::load(in + p[j] * width + i, n) * vec::Floats(w == nullptr ? 1.0f : w[j]);
          vec::store(out + t * width + i, sum, n);
        });
      }
    });
  });
  return y;
}

// dx[place[n][j]] = w[n][j] dy[n], and dw[n][j] = dy[n] . x[place[n][j]]; either may be undefined.
void weighted_sum_backward(const Tensor& dy, const Tensor& x, const Tensor& weights, const Tensor& place,
                           const Tensor& dx, const Tensor& dw) {
  const int64_t tokens = place.size(0), choices = place.size(1), width = dy.size(1);
  const int64_t* p = place.const_data_ptr<int64_t>();
  const float* w = weights.const_data_ptr<float>();
  dispatch(dy.scalar_type(), "combine_rows", [&](auto zero) {
    using T = decltype(zero);
    const T* d = dy.const_data_ptr<T>();
    at::parallel_for(0, tokens, kTokenGrain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const T* row = d + t * width;
        for (int64_t j = t * choices; j < (t + 1) * choices; ++j) {
          if (dx.defined()) {
            T* out = dx.mutable_data_ptr<T>() + p[j] * width;
            vec::for_each(width, [&](int64_t i, int64_t n) {
              vec::store(out + i, vec::load(row + i, n) * vec::Floats(w[j]), n);
            });
          }
          if (dw.defined()) {
            const T* in = x.const_data_ptr<T>() + p[j] * width;
            dw.mutable_data_ptr<float>()[j] = vec::sum_over(
                width, [&](int64_t i, int64_t n) { return vec::load(row + i, n) * vec::load(in + i, n); });
          }
        }
      }
    });
  });
}

struct GatherRows : Function<GatherRows> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& token, const Tensor& place) {
    ctx->save_for_backward({place});
    return x.index_select(0, token);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {weighted_sum(grads[0].contiguous(), {}, ctx->get_saved_variables()[0]), Tensor(), Tensor()};
  }
};

struct CombineRows : Function<CombineRows> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weights, const Tensor& place) {
    ctx->save_for_backward({weights.requires_grad() ? x : Tensor(), weights, place});
    return weighted_sum(x, weights, place);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weights = saved[1], &place = saved[2];
    const Tensor dy = grads[0].contiguous();
    Tensor dx, dw;
    if (ctx->needs_input_grad(0)) dx = at::empty({place.numel(), dy.size(1)}, dy.options());
    if (ctx->needs_input_grad(1)) dw = at::empty_like(weights);
    weighted_sum_backward(dy, x, weights, place, dx, dw);
    return {dx, dw, Tensor()};
  }
};

bool fused(const Tensor& x) {
  return x.is_cpu() && has_kernel(x);
}

}  // namespace

ExpertRows sort_by_expert(const Tensor& experts, int64_t count) {
  const Tensor chosen = experts.cpu().contiguous();
  const int64_t choices = chosen.size(1), rows = chosen.numel();
  const int64_t* e = chosen.const_data_ptr<int64_t>();
  ExpertRows out;
  out.begin.assign(count + 1, 0);
  for (int64_t i = 0; i < rows; ++i) {
    if (e[i] < 0 || e[i] >= count)
      bug("sort_by_expert: token {} chose expert {} of {}", i / choices, e[i], count);
    ++out.begin[e[i] + 1];
  }
  for (int64_t i = 0; i < count; ++i) out.begin[i + 1] += out.begin[i];
  std::vector<int64_t> next(out.begin.begin(), out.begin.end() - 1);
  out.token = at::empty({rows}, at::kLong);
  out.place = at::empty(chosen.sizes(), at::kLong);
  int64_t *token = out.token.mutable_data_ptr<int64_t>(), *place = out.place.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows; ++i) {
    place[i] = next[e[i]]++;
    token[place[i]] = i / choices;
  }
  out.token = out.token.to(experts.device());
  out.place = out.place.to(experts.device());
  return out;
}

Tensor gather_rows(const Tensor& x, const ExpertRows& rows) {
  if (!fused(x)) return reference::gather_rows(x, rows);
  return wants_grad({&x}) ? GatherRows::apply(x, rows.token, rows.place) : x.index_select(0, rows.token);
}

Tensor combine_rows(const Tensor& x, const Tensor& weights, const ExpertRows& rows) {
  if (weights.sizes() != rows.place.sizes() || x.size(0) != rows.place.numel())
    bug("combine_rows: weights {} and {} rows for the choices {}", c10::str(weights.sizes()), x.size(0),
        c10::str(rows.place.sizes()));
  if (!fused(x)) return reference::combine_rows(x, weights, rows);
  const Tensor in = x.contiguous(), w = weights.to(at::kFloat).contiguous();
  return wants_grad({&in, &w}) ? CombineRows::apply(in, w, rows.place) : weighted_sum(in, w, rows.place);
}

namespace reference {

Tensor gather_rows(const Tensor& x, const ExpertRows& rows) {
  return x.index_select(0, rows.token);
}

Tensor combine_rows(const Tensor& x, const Tensor& weights, const ExpertRows& rows) {
  const Tensor chosen = x.index_select(0, rows.place.flatten()).to(at::kFloat);
  const Tensor parts = chosen.reshape({rows.place.size(0), rows.place.size(1), x.size(1)});
  return (parts * weights.to(at::kFloat).unsqueeze(-1)).sum(1).to(x.scalar_type());
}

}  // namespace reference
}  // namespace temper
