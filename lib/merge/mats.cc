// Matching models in their task subspaces (MaTS, arXiv 2312.04339): the W of
//   (sum_i w_i C_i) W = sum_i w_i C_i W_i
// by conjugate gradients, from `init`. C_i by `objective`:
//   gram    W -> W A_i, A_i the mean of x x^T (RegMean's problem)
//   fisher  W -> F_i * W, element by element, the diagonal Fisher's
//   kfac    W -> B_i W A_i, B_i the mean of g g^T: the blocks of the Fisher matrix, factored
// W is [out, in]. Tensors that have no such statistics are the weighted mean. About six copies of
// a tensor in fp32 are held at a time, beside its statistics.
#include <ATen/ATen.h>

#include "base/json.h"
#include "merge/by_statistics.h"
#include "merge/conjugate_gradient.h"
#include "merge/kinds.h"
#include "merge/task_vectors.h"

namespace temper {
namespace {

struct MatsOptions : MergeOptions {
  std::string objective = "gram", init = "average";
  int64_t iterations = 10;
  double tolerance = 1e-5, off_diagonal = 1.0, init_scale = 0.3;
  void fields(FieldVisitor& v) override {
    v.field("objective", objective, {.help = "what C is", .choices = {"gram", "fisher", "kfac"}});
    v.field("init", init, {.help = "where it starts", .choices = {"average", "task_arithmetic", "base"}});
    v.field("init_scale", init_scale, {.help = "factor on the task vectors of init \"task_arithmetic\""});
    v.field("iterations", iterations, {.help = "of the conjugate gradients, at most", .min = 0});
    v.field("tolerance", tolerance,
            {.help = "remaining share of the right side at which they stop", .min = 0});
    v.field("off_diagonal", off_diagonal,
            {.help = "factor on what stands off the diagonal of A and B", .min = 0, .max = 1});
  }
  MergeNeeds needs() const override {
    return {.base = init == "average" ? MergeNeeds::kNone : MergeNeeds::kRequired,
            .weights = MergeNeeds::kPositive,
            .statistics = objective};
  }
  std::unique_ptr<MergeMethod> make() const override;
};

struct Mats : MergeMethod {
  MatsOptions o;
  explicit Mats(const MatsOptions& options) : o(options) {}

  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    const std::vector<double> weights = normalised(t.weights);
    std::vector<std::function<at::Tensor(const at::Tensor&)>> products;  // of each model, its weight in it
    if (o.objective == "fisher") {
      for (size_t i = 0; i < t.models.size(); ++i) {
        const at::Tensor f = statistic(*t.statistics[i], t.name + ".fisher", t.shape()).mul_(weights[i]);
        products.push_back([f](const at::Tensor& w) { return f * w; });
      }
    } else {
      const auto module = module_with_gram(t);
      if (!module) return weighted_mean(t);
      const int64_t out = t.shape()[0], in = t.shape()[1];
      for (size_t i = 0; i < t.models.size(); ++i) {
        const SafetensorsFile& file = *t.statistics[i];
        const at::Tensor a =
            scale_off_diagonal(statistic(file, *module + ".gram", {in, in}), o.off_diagonal).mul_(weights[i]);
        at::Tensor b;
        if (o.objective == "kfac")
          b = scale_off_diagonal(statistic(file, *module + ".gradient_gram", {out, out}), o.off_diagonal);
        products.push_back([a, b](const at::Tensor& w) {
          const at::Tensor wa = at::mm(w, a);
          return b.defined() ? at::mm(b, wa) : wa;
        });
      }
    }
    at::Tensor right;
    for (size_t i = 0; i < products.size(); ++i) {
      const at::Tensor one = products[i](t.models[i].whole());
      right = right.defined() ? right.add_(one) : one;
    }
    const auto all = [&](const at::Tensor& w) {
      at::Tensor sum = products[0](w);
      for (size_t i = 1; i < products.size(); ++i) sum.add_(products[i](w));
      return sum;
    };
    const CgResult solved = conjugate_gradient(all, right, start(t, weights), o.iterations, o.tolerance);
    figures["iterations"] = solved.iterations;
    figures["residual_before"] = solved.first;
    figures["residual"] = solved.last;
    return solved.x.to(t.dtype);
  }

 private:
  at::Tensor start(const MergeTensor& t, const std::vector<double>& weights) const {
    if (o.init == "base") return t.base->whole();
    return made_in_pieces(t.shape(), at::kFloat, [&](int64_t begin, int64_t end) {
      if (o.init == "average") return weighted_sum(t.models, weights, begin, end);
      const at::Tensor base = t.base->piece(begin, end);
      at::Tensor sum = base.clone();
      for (size_t i = 0; i < t.models.size(); ++i)
        sum.add_(task_vector(t, i, base, begin, end), o.init_scale);
      return sum;
    });
  }
};

std::unique_ptr<MergeMethod> MatsOptions::make() const {
  return std::make_unique<Mats>(*this);
}

}  // namespace

std::unique_ptr<MergeOptions> merge_mats() {
  return std::make_unique<MatsOptions>();
}

}  // namespace temper
