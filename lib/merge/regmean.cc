// RegMean (arXiv 2212.09849): for each linear the weights whose outputs are nearest, in the mean square, to
// each model's own on the inputs it has seen,
//   W = (sum_i w_i W_i C_i) (sum_i w_i C_i)^-1, W_i [out, in], C_i the mean of x x^T with what stands off its
// diagonal multiplied by `off_diagonal`. Other tensors are the weighted mean.
// Directions that no input had have no answer. With C = sum_i w_i C_i, `ridge` mean(diagonal of C) is added
// to C's diagonal and the same times the models' mean to the left, so that there W is the mean; the authors
// have no such term and leave out the rows that are all 0.
#include <ATen/ATen.h>

#include "base/error.h"
#include "base/json.h"
#include "merge/by_statistics.h"
#include "merge/kinds.h"

namespace temper {
namespace {

struct RegMean : MergeMethod {
  double off_diagonal, ridge;
  RegMean(double off_diagonal, double ridge) : off_diagonal(off_diagonal), ridge(ridge) {}

  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    const auto module = module_with_gram(t);
    if (!module) return weighted_mean(t);
    const int64_t out = t.shape()[0], in = t.shape()[1];
    const std::vector<double> weights = normalised(t.weights);
    const auto options = at::TensorOptions(at::kDouble);
    at::Tensor left = at::zeros({out, in}, options), mean = at::zeros({out, in}, options),
               sum = at::zeros({in, in}, options);
    for (size_t i = 0; i < t.models.size(); ++i) {
      const at::Tensor gram = scale_off_diagonal(
          statistic(*t.statistics[i], *module + ".gram", {in, in}).to(at::kDouble), off_diagonal);
      const at::Tensor w = t.models[i].whole().to(at::kDouble);
      left.addmm_(w, gram, 1, weights[i]);
      mean.add_(w, weights[i]);
      sum.add_(gram, weights[i]);
    }
    const double added = ridge * sum.diagonal().mean().item<double>();
    sum.diagonal().add_(added);
    left.add_(mean, added);
    const auto [factor, info] = at::linalg_cholesky_ex(sum);
    if (info.item<int64_t>() != 0) {
      user_error(
          "{}: the inputs of {} have directions in which no data stand; give more data, or a larger ridge or "
          "a "
          "smaller off_diagonal",
          t.statistics[0]->path(), *module);
    }
    const at::Tensor w = at::cholesky_solve(left.t(), factor).t();
    figures["from_mean"] = (w - mean).norm().item<double>() / mean.norm().item<double>();
    return w.to(t.dtype).contiguous();
  }
};

struct RegMeanOptions : MergeOptions {
  double off_diagonal = 0.9, ridge = 1e-6;
  void fields(FieldVisitor& v) override {
    v.field("off_diagonal", off_diagonal,
            {.help = "factor on what stands off the diagonal of the Gram matrices", .min = 0, .max = 1});
    v.field("ridge", ridge,
            {.help = "pull to the models' mean, in means of the Gram matrix's diagonal", .min = 0});
  }
  MergeNeeds needs() const override { return {.weights = MergeNeeds::kPositive, .statistics = "gram"}; }
  std::unique_ptr<MergeMethod> make() const override {
    return std::make_unique<RegMean>(off_diagonal, ridge);
  }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_regmean() {
  return std::make_unique<RegMeanOptions>();
}

}  // namespace temper
