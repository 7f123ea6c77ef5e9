// Task vectors T_i = W_i - W_0 added up:
//   task_arithmetic: W = W_0 + scale sum_i w_i T_i; a negative weight takes a task away
//   expo:            W = W_1 + alpha (W_1 - W_0) = W_0 + (1 + alpha) T_1, beyond the model
#include <ATen/ATen.h>

#include "base/json.h"
#include "merge/kinds.h"
#include "merge/task_vectors.h"

namespace temper {
namespace {

struct TaskArithmetic : MergeMethod {
  double scale;
  bool normalise;
  TaskArithmetic(double scale, bool normalise) : scale(scale), normalise(normalise) {}
  at::Tensor merge(const MergeTensor& t, Json&) const override {
    const std::vector<double> weights = normalise ? normalised(t.weights) : t.weights;
    return made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      at::Tensor base = t.base->piece(begin, end);
      at::Tensor sum;
      for (size_t i = 0; i < t.models.size(); ++i) {
        at::Tensor delta = task_vector(t, i, base, begin, end).mul_(weights[i]);
        sum = sum.defined() ? sum.add_(delta) : delta;
      }
      return base.add_(sum, scale);
    });
  }
};

struct TaskArithmeticOptions : MergeOptions {
  double scale = 1.0;
  bool normalise = false;
  void fields(FieldVisitor& v) override {
    v.field("scale", scale, {.help = "factor on the sum of the task vectors"});
    v.field("normalise", normalise, {.help = "the weights are divided by their sum"});
  }
  MergeNeeds needs() const override {
    return {.base = MergeNeeds::kRequired, .least_models = 1, .weights = MergeNeeds::kAny};
  }
  std::unique_ptr<MergeMethod> make() const override {
    return std::make_unique<TaskArithmetic>(scale, normalise);
  }
};

struct ExpoOptions : MergeOptions {
  double alpha = 0.5;
  void fields(FieldVisitor& v) override {
    v.field("alpha", alpha, {.help = "how far on, in lengths of the way from the base to the model"});
  }
  MergeNeeds needs() const override {
    return {.base = MergeNeeds::kRequired, .least_models = 1, .most_models = 1, .refines_model = true};
  }
  std::unique_ptr<MergeMethod> make() const override {
    return std::make_unique<TaskArithmetic>(1 + alpha, false);
  }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_task_arithmetic() {
  return std::make_unique<TaskArithmeticOptions>();
}
std::unique_ptr<MergeOptions> merge_expo() {
  return std::make_unique<ExpoOptions>();
}

}  // namespace temper
