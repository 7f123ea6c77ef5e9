#include "adapter/input_covariance.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"

namespace temper {
namespace {

class Recorder : public LinearDelta {
 public:
  Recorder(Model& model, const std::vector<bool>& chosen)
      : sum(chosen.size()), model_(model), chosen_(chosen), before_(model.delta()) {
    model_.set_delta(this);
  }
  ~Recorder() override { model_.set_delta(before_); }

  at::Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>&, const at::Tensor& x,
                   const at::Tensor& y, bool) override {
    at::Tensor moments;
    for (const int64_t id : modules) {
      if (!chosen_[static_cast<size_t>(id)]) continue;
      if (!moments.defined()) {
        const at::Tensor scaled = x.to(at::kFloat) / x.max().to(at::kFloat).abs();
        moments = at::mm(scaled.t(), scaled);
      }
      at::Tensor& to = sum[static_cast<size_t>(id)];
      to = to.defined() ? to + moments : moments;
    }
    return y;
  }

  std::vector<at::Tensor> sum;

 private:
  Model& model_;
  const std::vector<bool>& chosen_;
  LinearDelta* before_;
};

}  // namespace

std::vector<at::Tensor> input_covariance(Model& model, const std::vector<bool>& chosen,
                                         const std::vector<std::vector<int64_t>>& samples) {
  const at::NoGradGuard no_grad;
  Recorder recorder(model, chosen);
  int64_t count = 0;
  for (const auto& ids : samples) {
    if (ids.empty()) continue;
    Packer packer;
    packer.add_segment(ids);
    model.hidden(packer.tokens_on(model.precision().device));
    ++count;
  }
  if (count == 0)
    user_error("adapter.init: corda needs samples, and its data have none that fits data.max_tokens");
  for (at::Tensor& sum : recorder.sum) {
    if (sum.defined()) sum = sum / static_cast<double>(count);
  }
  return recorder.sum;
}

}  // namespace temper
