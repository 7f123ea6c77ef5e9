// Timber (arXiv 2509.23595): of the difference D = W_1 - W_0 of an instruct model and its base, with singular
// values s and p = s / sum s, the first k = ceil(exp(-sum p ln p)) are kept (D's effective rank) and the rest
// is multiplied by `tail`. Tensors of fewer than two dimensions are the model's own. The authors take the SVD
// of D in fp64. Here the singular vectors of D's shorter side are the eigenvectors of its Gram matrix in
// fp64, which costs a fraction and no fp64 copy of D: with V the first k,
//   D' = tail D + (1 - tail) D V V^T.
// Singular values below sqrt(side 2.2e-16) of the largest are lost in the Gram matrix's rounding and count as
// 0.
#include <ATen/ATen.h>

#include <cmath>

#include "base/json.h"
#include "merge/kinds.h"

namespace temper {
namespace {

// e to the entropy of the singular values as shares. 0 for none.
double effective_rank(const at::Tensor& singular) {
  const double sum = singular.sum().item<double>();
  if (!(sum > 0)) return 0;
  const at::Tensor p = singular / sum;
  return std::exp(-at::xlogy(p, p).sum().item<double>());
}

struct Timber : MergeMethod {
  double tail;
  explicit Timber(double tail) : tail(tail) {}

  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    const StoredTensor &instruct = t.models[0], &base = *t.base;
    if (t.shape().size() < 2)
      return made_in_pieces(t.shape(), t.dtype,
                            [&](int64_t begin, int64_t end) { return instruct.piece(begin, end); });
    at::Tensor delta = made_in_pieces(t.shape(), at::kFloat, [&](int64_t begin, int64_t end) {
      return instruct.piece(begin, end).sub_(base.piece(begin, end));
    });
    at::Tensor tall = delta.view({t.shape()[0], -1});  // its rows are on the longer side
    if (tall.size(0) < tall.size(1)) tall = tall.t();
    const int64_t rows = std::max<int64_t>(1, kMergePiece / std::max<int64_t>(1, tall.size(1)));
    const auto in_blocks = [&](const auto& work) {
      for (int64_t at = 0; at < tall.size(0); at += rows)
        work(tall.narrow(0, at, std::min(rows, tall.size(0) - at)));
    };

    at::Tensor gram = at::zeros({tall.size(1), tall.size(1)}, at::kDouble);
    in_blocks([&](const at::Tensor& block) {
      const at::Tensor wide = block.to(at::kDouble);
      gram.addmm_(wide.t(), wide);
    });
    auto [values, vectors] = at::linalg_eigh(gram);
    values = values.flip(0);
    const auto side = static_cast<double>(values.numel());
    const double floor = side == 0 ? 0 : std::max(0.0, values[0].item<double>()) * side * 2.2e-16;
    const at::Tensor singular = at::where(values > floor, values.clamp_min(0).sqrt(), 0.0);
    const double rank = effective_rank(singular);
    const auto kept = static_cast<int64_t>(std::ceil(rank));
    figures["effective_rank"] = rank;
    figures["kept"] = kept;
    const at::Tensor first = vectors.flip(1).narrow(1, 0, kept).to(at::kFloat);  // [side, kept]
    in_blocks([&](const at::Tensor& block) {
      block.copy_(block.mul(tail).add_(at::mm(at::mm(block, first), first.t()), 1 - tail));
    });

    const at::Tensor row = delta.view({-1});
    return made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      return base.piece(begin, end).add_(row.narrow(0, begin, end - begin));
    });
  }
};

struct TimberOptions : MergeOptions {
  double tail = 0.2;
  void fields(FieldVisitor& v) override {
    v.field("tail", tail, {.help = "factor on the singular values beyond the effective rank; 0: cut off"});
  }
  MergeNeeds needs() const override {
    return {.base = MergeNeeds::kRequired, .least_models = 1, .most_models = 1, .refines_model = true};
  }
  std::unique_ptr<MergeMethod> make() const override { return std::make_unique<Timber>(tail); }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_timber() {
  return std::make_unique<TimberOptions>();
}

}  // namespace temper
