#include "tensor/gather_logp.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/accelerator/logits.h"
#include "tensor/kernels.h"
#include "tensor/logits.h"
#include "tensor/product/add_rows.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Runs f(first row, rows, hidden rows [rows, H], logits [rows, V]) for each chunk.
template <typename T, typename F>
void for_each_chunk(const Tensor& hidden, const Tensor& head, const Tensor& source, const LogitsLaw& law,
                    int64_t chunk_rows, const F& f) {
  const int64_t all = source.size(0), vocab = head.size(0), width = head.size(1);
  const int64_t rows = std::min(chunk_rows > 0 ? chunk_rows : default_chunk_rows(vocab), all);
  Tensor logits = at::empty({rows, vocab}, at::kFloat);
  for (int64_t first = 0; first < all; first += rows) {
    const int64_t n = std::min(rows, all - first);
    const Tensor h = hidden.index_select(0, source.narrow(0, first, n));
    gemm(Trans::kNo, Trans::kYes, n, vocab, width, h.const_data_ptr<T>(), width, head.const_data_ptr<T>(),
         width, false, logits.mutable_data_ptr<float>(), vocab);
    apply_law(law, logits.mutable_data_ptr<float>(), n, vocab);
    f(first, n, h, logits.const_data_ptr<float>());
  }
}

template <typename T>
void run_backward(const Tensor& hidden, const Tensor& head, const Tensor& source, const Tensor& token,
                  const Tensor& lse, const Tensor& grad, const LogitsLaw& law, int64_t chunk_rows,
                  Tensor& dhidden, Tensor& dhead) {
  const int64_t vocab = head.size(0), width = head.size(1), draws = token.size(1);
  Tensor drows = at::empty({source.size(0), width}, at::kFloat), dlogits;
  for_each_chunk<T>(hidden, head, source, law, chunk_rows,
                    [&](int64_t first, int64_t n, const Tensor& h, const float* logits) {
                      if (!dlogits.defined()) dlogits = at::empty({n, vocab}, hidden.options());
                      T* d = dlogits.mutable_data_ptr<T>();
                      at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
                        for (int64_t r = begin; r < end; ++r) {
                          const float* g = grad.const_data_ptr<float>() + (first + r) * draws;
                          const int64_t* tokens = token.const_data_ptr<int64_t>() + (first + r) * draws;
                          const float* row = logits + r * vocab;
                          T* out = d + r * vocab;
                          float total = 0;
                          for (int64_t k = 0; k < draws; ++k) total += g[k];
                          const vec::Floats l(lse.const_data_ptr<float>()[first + r]), by(-total);
                          vec::for_each(vocab, [&](int64_t i, int64_t count) {
                            vec::store(out + i, (vec::load(row + i, count) - l).exp_u20() * by, count);
                          });
                          for (int64_t k = 0; k < draws; ++k)
                            out[tokens[k]] = static_cast<T>(static_cast<float>(out[tokens[k]]) + g[k]);
                          law_backward(law, row, vocab, out);
                        }
                      });
                      logits_backward(
                          d, h.const_data_ptr<T>(), head.const_data_ptr<T>(), n, width, vocab,
                          dhidden.defined() ? drows.mutable_data_ptr<float>() + first * width : nullptr,
                          dhead.defined() ? dhead.mutable_data_ptr<float>() : nullptr);
                    });
  if (dhidden.defined()) add_rows(dhidden, source, drows);
}

struct GatherLogp : Function<GatherLogp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& head,
                        const Tensor& head_master, const Tensor& source, const Tensor& token, double scale,
                        double softcap, int64_t chunk_rows) {
    const LogitsLaw law{scale, softcap};
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["softcap"] = softcap;
    const int64_t all = source.size(0), vocab = head.size(0), draws = token.size(1);
    ctx->saved_data["chunk_rows"] = chunk_rows;
    ctx->saved_data["master_dtype"] = static_cast<int64_t>(head_master.scalar_type());
    if (!hidden.is_cpu()) {
      ctx->save_for_backward({hidden, head, source, token, Tensor()});
      return on_device::gather_logp_forward(hidden, head, source, token, law, chunk_rows);
    }
    Tensor logp = at::empty({all, draws}, at::kFloat), lse = at::empty({all}, at::kFloat);
    dispatch(hidden.scalar_type(), "gather_logp", [&](auto zero) {
      using T = decltype(zero);
      for_each_chunk<T>(hidden, head, source, law, chunk_rows,
                        [&](int64_t first, int64_t n, const Tensor&, const float* logits) {
                          at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
                            for (int64_t r = begin; r < end; ++r) {
                              const float* row = logits + r * vocab;
                              const float sum = log_sum_exp(row, vocab);
                              lse.mutable_data_ptr<float>()[first + r] = sum;
                              const int64_t* tokens = token.const_data_ptr<int64_t>() + (first + r) * draws;
                              float* out = logp.mutable_data_ptr<float>() + (first + r) * draws;
                              for (int64_t k = 0; k < draws; ++k) out[k] = row[tokens[k]] - sum;
                            }
                          });
                        });
    });
    ctx->save_for_backward({hidden, head, source, token, lse});
    return logp;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &hidden = saved[0], &head = saved[1];
    Tensor dhidden, dhead;
    const auto floats = hidden.options().dtype(at::kFloat);
    if (ctx->needs_input_grad(0)) dhidden = at::zeros(hidden.sizes(), floats);
    if (ctx->needs_input_grad(2)) dhead = at::zeros(head.sizes(), floats);
    const Tensor grad = grads[0].contiguous();
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt();
    const LogitsLaw law{ctx->saved_data["scale"].toDouble(), ctx->saved_data["softcap"].toDouble()};
    if (!hidden.is_cpu()) {
      on_device::gather_logp_backward(hidden, head, saved[2], saved[3], grad, law, chunk_rows, dhidden,
                                      dhead);
    } else {
      dispatch(hidden.scalar_type(), "gather_logp", [&](auto zero) {
        run_backward<decltype(zero)>(hidden, head, saved[2], saved[3], saved[4], grad, law, chunk_rows,
                                     dhidden, dhead);
      });
    }
    if (dhidden.defined()) dhidden = dhidden.to(hidden.scalar_type());
    if (dhead.defined())
      dhead = dhead.to(static_cast<at::ScalarType>(ctx->saved_data["master_dtype"].toInt()));
    return {dhidden, Tensor(), dhead, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor gather_logp(const Tensor& hidden, const Tensor& head, const Tensor& head_master, const Tensor& source,
                   const Tensor& token, const LogitsLaw& law, int64_t chunk_rows) {
  if (!has_kernel(hidden)) return reference::gather_logp(hidden, head, head_master, source, token, law);
  return GatherLogp::apply(hidden.contiguous(), head.detach(), head_master, source, token.contiguous(),
                           law.scale, law.softcap, chunk_rows);
}

namespace reference {

Tensor gather_logp(const Tensor& hidden, const Tensor& head, const Tensor& head_master, const Tensor& source,
                   const Tensor& token, const LogitsLaw& law) {
  const Tensor weight = head_master.requires_grad() ? head_master : head;
  const Tensor products =
      at::matmul(hidden.to(at::kFloat).index_select(0, source), weight.to(at::kFloat).t());
  return at::log_softmax(lawful(products, law), -1).gather(1, token);
}

}  // namespace reference
}  // namespace temper
