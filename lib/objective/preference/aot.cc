// AOT (arXiv 2406.05882): the distributions of two numbers over the step's pairs are compared, quantile by
// quantile; with f(d) = -(1-e) logsigmoid(beta d) - e logsigmoid(-beta d), over the ranks k of the sorted
// numbers:
//   aot           f(m_(k) - r_(k)), m = logp_w - logp_l of the policy, r the same of the reference
//   aot_unpaired  f(x_(k) - y_(k)), x the log-ratios of the chosen, y of the rejected responses
// prepare() sorts the whole step; each pair then carries the value of its rank's partner, so any split gives
// the same.
#include "base/error.h"
#include "objective/preference/kinds.h"
#include "objective/preference/math.h"

namespace temper::objective {
namespace {

struct AotOptions : PreferenceLossOptions {
  explicit AotOptions(bool unpaired) : unpaired(unpaired) {}
  const bool unpaired;  // not a field
  double beta = 0.1, label_smoothing = 0.0;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the reference model", .min = 1e-6});
    v.field("label_smoothing", label_smoothing,
            {.help = "share of labels that are taken to be wrong", .min = 0, .max = 0.499});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

class Aot : public PreferenceLoss {
 public:
  explicit Aot(const AotOptions& options) : o_(options) {}
  PreferenceNeeds needs() const override { return {.logp_ref = true, .step = true}; }
  at::Tensor reward(const Responses& r) const override { return o_.beta * r.ratio(); }

  void prepare(const PreferenceNumbers& step) override {
    const auto [x, y] = sides(step);
    const at::Tensor kept = step.include.gt(0).nonzero().flatten();
    const auto [x_sorted, x_order] = x.detach().index_select(0, kept).sort();
    const auto [y_sorted, y_order] = y.detach().index_select(0, kept).sort();
    // partner_of_x_[i]: the y of the same rank as pair i's x; the other way round for y. Addressed by the
    // step's index.
    const int64_t size = step.index.numel() == 0 ? 0 : step.index.max().item<int64_t>() + 1;
    partner_of_x_ = at::zeros({size}, x.options().requires_grad(false));
    partner_of_y_ = at::zeros_like(partner_of_x_);
    const at::Tensor index = step.index.index_select(0, kept);
    partner_of_x_.index_put_({index.index_select(0, x_order)}, y_sorted);
    partner_of_y_.index_put_({index.index_select(0, y_order)}, x_sorted);
  }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    if (!partner_of_x_.defined()) bug("aot: prepare() was not called");
    const auto [x, y] = sides(n);
    const at::Tensor value = loss(x - partner_of_x_.index_select(0, n.index));
    if (!o_.unpaired) return value;
    const at::Tensor other = loss(partner_of_y_.index_select(0, n.index) - y);
    return value + other - other.detach();  // the value of x's rank, the gradient of both
  }

 private:
  std::pair<at::Tensor, at::Tensor> sides(const PreferenceNumbers& n) const {
    if (o_.unpaired) return {n.chosen.ratio(), n.rejected.ratio()};
    return {n.chosen.logp - n.rejected.logp, n.chosen.ref - n.rejected.ref};
  }
  at::Tensor loss(const at::Tensor& d) const { return smoothed_logistic(o_.beta * d, o_.label_smoothing); }

  AotOptions o_;
  at::Tensor partner_of_x_, partner_of_y_;
};

std::unique_ptr<PreferenceLoss> AotOptions::make() const {
  return std::make_unique<Aot>(*this);
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> aot() {
  return std::make_unique<AotOptions>(false);
}
std::unique_ptr<PreferenceLossOptions> aot_unpaired() {
  return std::make_unique<AotOptions>(true);
}

}  // namespace temper::objective
