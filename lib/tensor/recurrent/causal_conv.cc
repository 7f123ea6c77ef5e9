#include "tensor/recurrent/causal_conv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "tensor/kernels.h"
#include "tensor/recurrent/trees.h"
#include "tensor/vec.h"

// A token's inputs are found by a table of rows, taps[t][j], so that segments and their parents need no
// copies.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kTokenGrain = 16;     // tokens a thread takes at least
constexpr int64_t kBlockChannels = 64;  // channels that a thread takes at a time in backward
constexpr int64_t kBlockTokens = 256;   // tokens whose weight gradients are summed before they join the whole

// [N, K] int64: the row of x that tap j of token t reads, -1 for a zero.
Tensor taps_of(const std::vector<Segment>& segments, int64_t kernel) {
  const std::vector<int64_t> previous = previous_tokens(segments);
  const Tensor taps = at::empty({static_cast<int64_t>(previous.size()), kernel}, at::kLong);
  int64_t* p = taps.mutable_data_ptr<int64_t>();
  for (size_t t = 0; t < previous.size(); ++t) {
    auto row = static_cast<int64_t>(t);
    for (int64_t j = kernel - 1; j >= 0; --j) {
      p[static_cast<int64_t>(t) * kernel + j] = row;
      row = row < 0 ? -1 : previous[row];
    }
  }
  return taps;
}

// weight [C, K] -> [K, C] fp32
Tensor by_tap(const Tensor& weight) {
  return weight.detach().to(at::kFloat).t().contiguous();
}

Tensor conv_forward(const Tensor& x, const Tensor& weight, const Tensor& taps) {
  const int64_t tokens = taps.size(0), kernel = taps.size(1), channels = x.size(1);
  const Tensor y = at::empty({tokens, channels}, x.options()), w = by_tap(weight);
  const int64_t* tap = taps.const_data_ptr<int64_t>();
  const float* wp = w.const_data_ptr<float>();
  dispatch(x.scalar_type(), "causal_conv", [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.const_data_ptr<T>();
    T* out = y.mutable_data_ptr<T>();
    at::parallel_for(0, tokens, kTokenGrain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t* rows = tap + t * kernel;
        vec::for_each(channels, [&](int64_t c, int64_t n) {
          vec::Floats sum(0.0f);
          for (int64_t j = 0; j < kernel; ++j) {
            if (rows[j] < 0) continue;
            sum = at::vec::fmadd(vec::load(in + rows[j] * channels + c, n),
                                 vec::load(wp + j * channels + c, n), sum);
          }
          vec::store(out + t * channels + c, sum, n);
        });
      }
    });
  });
  return y;
}

// Gradients of x and weight [K, C], fp32, zeros at first. A thread has some channels of all tokens.
template <typename T>
void conv_backward(const T* dy, const T* x, const float* weight, const Tensor& taps, int64_t channels,
                   float* dx, float* dw) {
  const int64_t tokens = taps.size(0), kernel = taps.size(1);
  const int64_t* tap = taps.const_data_ptr<int64_t>();
  at::parallel_for(0, (channels + kBlockChannels - 1) / kBlockChannels, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> sums(kernel * kBlockChannels);
    for (int64_t from = begin * kBlockChannels; from < std::min(channels, end * kBlockChannels);
         from += kBlockChannels) {
      const int64_t width = std::min(kBlockChannels, channels - from);
      for (int64_t first = 0; first < tokens; first += kBlockTokens) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t t = first; t < std::min(tokens, first + kBlockTokens); ++t) {
          for (int64_t j = 0; j < kernel; ++j) {
            const int64_t row = tap[t * kernel + j];
            if (row < 0) continue;
            vec::for_each(width, [&](int64_t i, int64_t n) {
              const vec::Floats d = vec::load(dy + t * channels + from + i, n);
              float *to = dx + row * channels + from + i, *sum = sums.data() + j * kBlockChannels + i;
              vec::store(
                  to, at::vec::fmadd(d, vec::load(weight + j * channels + from + i, n), vec::load(to, n)), n);
              vec::store(
                  sum, at::vec::fmadd(d, vec::load(x + row * channels + from + i, n), vec::load(sum, n)), n);
            });
          }
        }
        for (int64_t j = 0; j < kernel; ++j)
          for (int64_t i = 0; i < width; ++i) dw[j * channels + from + i] += sums[j * kBlockChannels + i];
      }
    }
  });
}

struct CausalConv : Function<CausalConv> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const Tensor& taps) {
    ctx->save_for_backward({x, weight, taps});
    return conv_forward(x, weight, taps);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &taps = saved[2];
    const Tensor dy = grads[0].contiguous(), w = by_tap(weight);
    const Tensor dx = at::zeros(x.sizes(), w.options()), dw = at::zeros_like(w);
    dispatch(x.scalar_type(), "causal_conv", [&](auto zero) {
      using T = decltype(zero);
      conv_backward(dy.const_data_ptr<T>(), x.const_data_ptr<T>(), w.const_data_ptr<float>(), taps, x.size(1),
                    dx.mutable_data_ptr<float>(), dw.mutable_data_ptr<float>());
    });
    return {dx.to(x.scalar_type()), dw.t().to(weight.scalar_type()).contiguous(), Tensor()};
  }
};

void check(const Tensor& x, const Tensor& weight, const Tensor& taps) {
  if (weight.size(0) != x.size(1))
    bug("causal_conv: weights of {} channels, inputs of {}", weight.size(0), x.size(1));
  if (taps.size(0) != x.size(0)) bug("causal_conv: {} tokens, segments of {}", x.size(0), taps.size(0));
}

bool fused(const Tensor& x) {
  return x.is_cpu() && has_kernel(x);
}

// Rows of x and one of zeros behind them for taps that read nothing. x [N, C], taps [.., K] -> [.., K, C]
Tensor windows(const Tensor& x, const Tensor& taps) {
  const Tensor padded = at::cat({x, x.new_zeros({1, x.size(1)})});
  const Tensor rows = at::where(taps < 0, x.size(0), taps).to(x.device());
  return padded.index_select(0, rows.flatten()).reshape({taps.size(0), taps.size(1), x.size(1)});
}

Tensor composite(const Tensor& x, const Tensor& weight, const Tensor& taps) {
  const auto type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return (windows(x, taps).to(type) * weight.to(type).t()).sum(1).to(x.scalar_type());
}

}  // namespace

Tensor causal_conv(const Tensor& x, const Tensor& weight, const std::vector<Segment>& segments) {
  if (!fused(x)) return reference::causal_conv(x, weight, segments);
  const Tensor in = x.contiguous(), taps = taps_of(segments, weight.size(1));
  check(in, weight, taps);
  return wants_grad({&in, &weight}) ? CausalConv::apply(in, weight, taps) : conv_forward(in, weight, taps);
}

CausalConvResult causal_conv_prefill(const Tensor& x, const Tensor& weight,
                                     const std::vector<Segment>& segments, const std::vector<int64_t>& ends,
                                     const Tensor& initial) {
  const at::NoGradGuard no_grad;
  const int64_t kernel = weight.size(1), behind = kernel - 1, channels = x.size(1);
  Tensor in = x.contiguous(), taps = taps_of(segments, kernel);
  check(in, weight, taps);
  // What a root goes on from are more rows behind x's own.
  if (initial.defined())
    in = at::cat({in, initial.to(x.scalar_type()).transpose(1, 2).reshape({-1, channels})});
  const Tensor last = at::full({static_cast<int64_t>(ends.size()), behind}, -1, at::kLong);
  auto tap = taps.accessor<int64_t, 2>(), rest = last.accessor<int64_t, 2>();
  std::vector<int64_t> root(segments.size());
  int64_t roots = 0;
  for (size_t s = 0; s < segments.size(); ++s)
    root[s] = segments[s].parent < 0 ? roots++ : root[segments[s].parent];
  // Row i of the last ones of a root's initial state, i = 0 the newest.
  const auto older = [&](size_t s, int64_t i) { return x.size(0) + root[s] * behind + behind - 1 - i; };
  for (size_t s = 0; s < segments.size() && initial.defined(); ++s) {
    for (int64_t t = segments[s].begin; t < segments[s].end; ++t)
      for (int64_t j = behind - 1, missing = 0; j >= 0; --j)
        if (tap[t][j] < 0) tap[t][j] = older(s, missing++);
  }
  for (size_t e = 0; e < ends.size(); ++e) {
    int64_t s = ends[e];
    while (s >= 0 && segments[s].length() == 0) s = segments[s].parent;
    for (int64_t j = 0; j < behind; ++j) {
      if (s >= 0)
        rest[e][j] = tap[segments[s].end - 1][j + 1];
      else if (initial.defined())
        rest[e][j] = older(ends[e], behind - 1 - j);
    }
  }
  return {fused(x) ? conv_forward(in, weight, taps) : composite(in, weight, taps),
          windows(in, last).transpose(1, 2).contiguous()};
}

Tensor causal_conv_step(const Tensor& x, const Tensor& weight, Tensor& state) {
  const at::NoGradGuard no_grad;
  const Tensor inputs = at::cat({state, x.unsqueeze(-1).to(state.scalar_type())}, -1);  // [B, C, K]
  state.copy_(inputs.narrow(-1, 1, state.size(-1)));
  return (inputs.to(at::kFloat) * weight.to(at::kFloat)).sum(-1).to(x.scalar_type());
}

namespace reference {

Tensor causal_conv(const Tensor& x, const Tensor& weight, const std::vector<Segment>& segments) {
  return composite(x, weight, taps_of(segments, weight.size(1)));
}

}  // namespace reference
}  // namespace temper
