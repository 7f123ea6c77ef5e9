#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "base/error.h"
#include "tensor/accelerator/ops.h"
#include "tensor/experts/experts.h"
#include "tensor/kernels.h"
#include "tensor/product/gemm.h"
#include "tensor/product/mm.h"

// One product an expert. On the CPU the products are cut into blocks of rows and columns, the same for any
// number of threads; each block is one product of ATen's on one thread, and a thread takes the next block
// when it is free, because experts differ in rows.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Enough rows to be limited by arithmetic, not by reading the weights; and few heights of blocks, since
// oneDNN compiles a product for each.
constexpr int64_t kBlockRows = 128;
constexpr int64_t kBlockColumns = 1024;

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

struct Block {
  int64_t expert;
  Range rows, columns;  // of the result
};

// [begin, end) in even parts of at most `size`.
std::vector<Range> parts_of(int64_t begin, int64_t end, int64_t size) {
  const int64_t count = (end - begin + size - 1) / size;
  std::vector<Range> parts;
  for (int64_t i = 0; i < count; ++i)
    parts.push_back({begin + (end - begin) * i / count, begin + (end - begin) * (i + 1) / count});
  return parts;
}

// Blocks of a result [M, width].
std::vector<Block> blocks_of(const ExpertRows& rows, int64_t width) {
  std::vector<Block> blocks;
  const std::vector<Range> columns = parts_of(0, width, kBlockColumns);
  for (int64_t e = 0; e < rows.experts(); ++e) {
    for (const Range& r : parts_of(rows.begin[e], rows.begin[e + 1], kBlockRows)) {
      for (const Range& c : columns) blocks.push_back({e, r, c});
    }
  }
  return blocks;
}

// f(block) for all, each on one thread, without autograd.
template <typename F>
void run_blocks(const std::vector<Block>& blocks, const F& f) {
  std::atomic<size_t> next = 0;
  const auto workers = std::min<int64_t>(at::get_num_threads(), static_cast<int64_t>(blocks.size()));
  at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    for (size_t i = next++; i < blocks.size(); i = next++) f(blocks[i]);
  });
}

Tensor part(const Tensor& x, const Range& rows) {
  return x.narrow(0, rows.begin, rows.size());
}

Range rows_of(const ExpertRows& rows, int64_t e) {
  return {rows.begin[e], rows.begin[e + 1]};
}

Tensor forward_product(const Tensor& x, const ExpertRows& rows, const Tensor& weight, const Tensor& bias) {
  const Tensor y = at::empty({x.size(0), weight.size(1)}, x.options());
  if (!x.is_cpu()) {
    for (int64_t e = 0; e < rows.experts(); ++e) {
      const Range r = rows_of(rows, e);
      if (r.size() == 0) continue;
      part(y, r).copy_(
          training_product(part(x, r), weight.select(0, e), bias.defined() ? bias.select(0, e) : bias));
    }
    return y;
  }
  run_blocks(blocks_of(rows, weight.size(1)), [&](const Block& b) {
    const Tensor w = part(weight.select(0, b.expert), b.columns);
    const Tensor offset = bias.defined() ? part(bias.select(0, b.expert), b.columns) : bias;
    part(y, b.rows)
        .narrow(1, b.columns.begin, b.columns.size())
        .copy_(training_product(part(x, b.rows), w, offset));
  });
  return y;
}

// dx = dy W
Tensor input_gradient(const Tensor& dy, const ExpertRows& rows, const Tensor& weight) {
  const Tensor dx = at::empty({dy.size(0), weight.size(2)}, dy.options());
  if (!dy.is_cpu()) {
    for (int64_t e = 0; e < rows.experts(); ++e) {
      const Range r = rows_of(rows, e);
      if (r.size() > 0) part(dx, r).copy_(matrix_product(part(dy, r), weight.select(0, e)));
    }
    return dx;
  }
  run_blocks(blocks_of(rows, weight.size(2)), [&](const Block& b) {
    const Tensor w = weight.select(0, b.expert).narrow(1, b.columns.begin, b.columns.size());
    part(dx, b.rows).narrow(1, b.columns.begin, b.columns.size()).copy_(matrix_product(part(dy, b.rows), w));
  });
  return dx;
}

// dW[e] = dy^T x over the rows of e, in fp32: [E, out, in].
Tensor weight_gradient(const Tensor& dy, const Tensor& x, const ExpertRows& rows) {
  const int64_t out = dy.size(1), in = x.size(1);
  const Tensor dw = at::empty({rows.experts(), out, in}, x.options().dtype(at::kFloat));
  std::vector<Block> blocks;
  for (int64_t e = 0; e < rows.experts(); ++e) {
    const Range r = rows_of(rows, e);
    if (r.size() == 0)
      dw.select(0, e).zero_();
    else if (!x.is_cpu())
      dw.select(0, e).copy_(on_device::mm_f32(part(dy, r).t(), part(x, r)));
    else if (!has_kernel(x))
      dw.select(0, e).copy_(at::mm(part(dy, r).t(), part(x, r)));
    else
      for (const Range& o : parts_of(0, out, kBlockColumns)) blocks.push_back({e, r, o});
  }
  if (blocks.empty()) return dw;
  dispatch(x.scalar_type(), "grouped_linear", [&](auto zero) {
    using T = decltype(zero);
    const T *d = dy.const_data_ptr<T>(), *xp = x.const_data_ptr<T>();
    float* to = dw.mutable_data_ptr<float>();
    run_blocks(blocks, [&](const Block& b) {
      gemm(Trans::kYes, Trans::kNo, b.columns.size(), in, b.rows.size(),
           d + b.rows.begin * out + b.columns.begin, out, xp + b.rows.begin * in, in, false,
           to + (b.expert * out + b.columns.begin) * in, in);
    });
  });
  return dw;
}

// Sums of dy over the rows of each expert, in fp32: [E, out].
Tensor bias_gradient(const Tensor& dy, const ExpertRows& rows) {
  const Tensor db = at::empty({rows.experts(), dy.size(1)}, dy.options().dtype(at::kFloat));
  for (int64_t e = 0; e < rows.experts(); ++e)
    db.select(0, e).copy_(at::sum(part(dy, rows_of(rows, e)), {0}, false, at::kFloat));
  return db;
}

struct GroupedLinear : Function<GroupedLinear> {
  struct Rows : torch::CustomClassHolder {
    explicit Rows(const ExpertRows& rows) { begin.begin = rows.begin; }
    ExpertRows begin;  // without its tensors
  };
  // Tensors first: needs_input_grad counts these alone.
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& compute, const Tensor& master,
                        const std::optional<Tensor>& bias_master, const std::optional<Tensor>& bias,
                        const ExpertRows* rows) {
    // Frozen weights need no x in backward.
    ctx->save_for_backward({master.requires_grad() ? x : Tensor(), compute});
    ctx->saved_data["rows"] = c10::IValue::make_capsule(c10::make_intrusive<Rows>(*rows));
    ctx->saved_data["master"] = master.scalar_type();
    if (bias_master) ctx->saved_data["bias_master"] = bias_master->scalar_type();
    return forward_product(x, *rows, compute, bias.value_or(Tensor()));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto capsule = ctx->saved_data["rows"].toCapsule();
    const ExpertRows& rows = static_cast<const Rows&>(*capsule).begin;
    const Tensor dy = grads[0].contiguous();
    variable_list out(6);
    if (ctx->needs_input_grad(0)) out[0] = input_gradient(dy, rows, saved[1]);
    if (ctx->needs_input_grad(2))
      out[2] = weight_gradient(dy, saved[0], rows).to(ctx->saved_data["master"].toScalarType());
    if (ctx->saved_data.count("bias_master") != 0 && ctx->needs_input_grad(3))
      out[3] = bias_gradient(dy, rows).to(ctx->saved_data["bias_master"].toScalarType());
    return out;
  }
};

void check(const char* what, const Tensor& x, const ExpertRows& rows, int64_t experts) {
  if (experts != rows.experts()) bug("{}: weights of {} experts, rows of {}", what, experts, rows.experts());
  if (x.size(0) != rows.begin.back()) bug("{}: {} rows, {} were sorted", what, x.size(0), rows.begin.back());
}

// Results of experts one after the other; experts without rows are left out.
template <typename F>
Tensor expert_by_expert(const Tensor& x, const ExpertRows& rows, int64_t width, const F& f) {
  std::vector<int64_t> counts;
  for (int64_t e = 0; e < rows.experts(); ++e) counts.push_back(rows.count(e));
  const auto parts = x.split_with_sizes(counts);
  std::vector<Tensor> results;
  for (int64_t e = 0; e < rows.experts(); ++e) {
    if (counts[e] > 0) results.push_back(f(parts[e], e));
  }
  return results.empty() ? at::zeros({0, width}, x.options()) : at::cat(results);
}

}  // namespace

Tensor grouped_linear(const Tensor& x, const ExpertRows& rows, const Tensor& compute, const Tensor& master,
                      const Tensor& bias, const Tensor& bias_master) {
  check("grouped_linear", x, rows, compute.size(0));
  const Tensor in = x.contiguous();
  if (!wants_grad({&in, &master, &bias_master})) return forward_product(in, rows, compute, bias);
  return GroupedLinear::apply(in, compute.detach(), master, maybe(bias_master),
                              maybe(bias.defined() ? bias.detach() : bias), &rows);
}

Tensor grouped_quantised_linear(const Tensor& x, const ExpertRows& rows,
                                const std::shared_ptr<const QuantisedMatrix>& weights, const Tensor& bias) {
  const int64_t out = weights->rows / rows.experts();
  check("grouped_quantised_linear", x, rows, weights->rows % rows.experts() == 0 ? rows.experts() : -1);
  return expert_by_expert(x, rows, out, [&](const Tensor& own, int64_t e) {
    return quantised_linear(own, {{weights, e * out, (e + 1) * out}},
                            bias.defined() ? bias.select(0, e) : bias);
  });
}

namespace reference {

Tensor grouped_linear(const Tensor& x, const ExpertRows& rows, const Tensor& weight, const Tensor& bias) {
  return expert_by_expert(x, rows, weight.size(1), [&](const Tensor& own, int64_t e) {
    return at::linear(own, weight.select(0, e), maybe(bias.defined() ? bias.select(0, e) : bias));
  });
}

}  // namespace reference
}  // namespace temper
