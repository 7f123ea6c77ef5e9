#include "adapter/lora/product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "adapter/random_bits.h"
#include "base/random.h"
#include "tensor/product/mm.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor rows_in_line(const Tensor& t) {
  return t.stride(1) == 1 && t.stride(0) >= t.size(1) ? t : t.contiguous();
}

// s a^T b in fp32, [p, q], from a [N, p] and b [N, q] of one dtype.
Tensor outer_sum(const Tensor& a, const Tensor& b, double s) {
  const Tensor out = mm_f32(rows_in_line(a).t(), rows_in_line(b));
  return s == 1.0 ? out : out.mul_(s);
}

// y += h b^T, rounded once.
void add_product(const Tensor& y, const Tensor& h, const Tensor& b) {
  if (y.is_cpu() && y.scalar_type() == at::kBFloat16)
    y.add_(mm_f32(h, b.t()));
  else
    y.addmm_(h, b.t());
}

// Autograd sees x, y and the masters, a and b of each part in turn.
struct LoraProduct : torch::autograd::Function<LoraProduct> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, Tensor y, at::TensorList masters,
                        const Tensor& a_work, const std::vector<LoraPart>* parts, const Dropout& dropout) {
    const Tensor dropped = dropout.p > 0 ? x * dropout_mask(dropout, x.size(0), x.size(1), x.options()) : x;
    const Tensor h = training_product(dropped, a_work);
    int64_t row = 0;
    // The mask is drawn again in backward: keeping it would double what LoRA holds.
    // x is wanted for A alone.
    const bool a_trains = std::any_of(parts->begin(), parts->end(),
                                      [](const LoraPart& part) { return part.a.requires_grad(); });
    variable_list saved = {a_trains ? x : Tensor(), h, a_work};
    std::vector<int64_t> columns, ranks, outs;
    std::vector<double> scales;
    for (const LoraPart& part : *parts) {
      const int64_t rank = part.b_work.size(1), out = part.b_work.size(0);
      add_product(y.narrow(1, part.column, out), h.narrow(1, row, rank), part.b_work);
      row += rank;
      saved.push_back(part.b_work);
      columns.push_back(part.column);
      ranks.push_back(rank);
      outs.push_back(out);
      scales.push_back(part.scale);
    }
    ctx->mark_dirty({y});
    ctx->save_for_backward(saved);
    ctx->saved_data["columns"] = columns;
    ctx->saved_data["ranks"] = ranks;
    ctx->saved_data["outs"] = outs;
    ctx->saved_data["scales"] = scales;
    ctx->saved_data["columns_of_x"] = x.size(1);
    ctx->saved_data["p"] = dropout.p;
    for (const auto& [name, value] : {std::pair("seed", dropout.seed), std::pair("step", dropout.step),
                                      std::pair("index", dropout.index)}) {
      ctx->saved_data[name] = static_cast<int64_t>(value);
    }
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &h = saved[1], &a_work = saved[2];
    const auto columns = ctx->saved_data["columns"].toIntVector(),
               ranks = ctx->saved_data["ranks"].toIntVector(), outs = ctx->saved_data["outs"].toIntVector();
    const auto scales = ctx->saved_data["scales"].toDoubleVector();
    auto number = [&](const char* name) { return static_cast<uint64_t>(ctx->saved_data[name].toInt()); };
    const Dropout dropout{ctx->saved_data["p"].toDouble(), number("seed"), number("step"), number("index")};
    const Tensor dy = rows_in_line(grads[0]);
    const size_t parts = columns.size();
    variable_list out(2 + 2 * parts + 3);
    Tensor dh = at::empty_like(h);
    int64_t row = 0;
    for (size_t i = 0; i < parts; ++i) {
      const Tensor part = dy.narrow(1, columns[i], outs[i]);
      Tensor slice = dh.narrow(1, row, ranks[i]);
      if (parts == 1)
        dh = matrix_product(part, saved[3]);
      else
        slice.copy_(matrix_product(part, saved[3 + i]));
      if (ctx->needs_input_grad(2 + 2 * i + 1))
        out[2 + 2 * i + 1] = outer_sum(part, h.narrow(1, row, ranks[i]), scales[i]);
      row += ranks[i];
    }
    const Tensor mask =
        dropout.p > 0 ? dropout_mask(dropout, h.size(0), ctx->saved_data["columns_of_x"].toInt(), h.options())
                      : Tensor();
    const Tensor da = x.defined() ? outer_sum(dh, mask.defined() ? x * mask : x, 1.0) : Tensor();
    row = 0;
    for (size_t i = 0; i < parts; ++i) {
      if (ctx->needs_input_grad(2 + 2 * i)) out[2 + 2 * i] = da.narrow(0, row, ranks[i]);
      row += ranks[i];
    }
    if (ctx->needs_input_grad(0)) {
      out[0] = matrix_product(dh, a_work);
      if (mask.defined()) out[0].mul_(mask);
    }
    if (ctx->needs_input_grad(1)) out[1] = grads[0];
    return out;
  }
};

}  // namespace

Tensor dropout_mask(const Dropout& dropout, int64_t rows, int64_t columns, const at::TensorOptions& options) {
  const auto threshold = static_cast<uint64_t>(std::lround(dropout.p * 65536.0));
  const float keep = static_cast<float>(65536.0 / (65536.0 - static_cast<double>(threshold)));
  if (!options.device().is_cpu()) {
    const Tensor bits = random_bits(dropout.seed, "dropout", dropout.step, dropout.index << 32, rows,
                                    (columns + 3) / 4, options.device());
    // The four quarters of a draw, the lowest first.
    const Tensor quarters = bits.view(at::kShort).narrow(1, 0, columns).to(at::kInt).bitwise_and_(65535);
    return (quarters >= static_cast<int64_t>(threshold)).to(options).mul_(keep);
  }
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

Tensor lora_product(const Tensor& x, Tensor y, const Tensor& a_work, const std::vector<LoraPart>& parts,
                    const Dropout& dropout) {
  bool grad = x.requires_grad() || y.requires_grad();
  std::vector<Tensor> masters;
  for (const LoraPart& part : parts) {
    grad = grad || part.a.requires_grad() || part.b.requires_grad();
    masters.push_back(part.a);
    masters.push_back(part.b);
  }
  if (grad && at::GradMode::is_enabled())
    return LoraProduct::apply(x, y, at::TensorList(masters), a_work, &parts, dropout);
  const Tensor dropped = dropout.p > 0 ? x * dropout_mask(dropout, x.size(0), x.size(1), x.options()) : x;
  const Tensor h = training_product(dropped, a_work);
  int64_t row = 0;
  for (const LoraPart& part : parts) {
    const int64_t rank = part.b_work.size(1);
    add_product(y.narrow(1, part.column, part.b_work.size(0)), h.narrow(1, row, rank), part.b_work);
    row += rank;
  }
  return y;
}

Tensor expert_a(const Tensor& a, int64_t experts) {
  return a.view({experts, a.size(0) / experts, a.size(1)});
}

Tensor expert_b(const Tensor& b, int64_t experts) {
  return b.view({b.size(0), b.size(1) / experts, experts}).permute({2, 0, 1});
}

Tensor grouped_lora_product(const Tensor& x, const ExpertRows& rows, Tensor y, const Tensor& a_work,
                            const Tensor& b_work, const Tensor& a, const Tensor& b, double scale) {
  const Tensor h = grouped_linear(x, rows, a_work, expert_a(a, rows.experts()));
  return y.add_(grouped_linear(h * scale, rows, b_work, expert_b(b, rows.experts())));
}

namespace reference {

Tensor lora_product(const Tensor& x, const Tensor& y, const std::vector<LoraPart>& parts,
                    const Dropout& dropout) {
  const Tensor dropped = dropout.p > 0 ? x * dropout_mask(dropout, x.size(0), x.size(1), x.options()) : x;
  Tensor out = y;
  for (const LoraPart& part : parts) {
    const Tensor update =
        part.scale * at::mm(at::mm(dropped.to(at::kFloat), part.a.t()), part.b.t()).to(y.scalar_type());
    out = out + at::constant_pad_nd(update, {part.column, y.size(1) - part.column - part.b.size(0)});
  }
  return out;
}

}  // namespace reference

}  // namespace temper
