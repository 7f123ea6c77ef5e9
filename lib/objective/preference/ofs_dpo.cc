// OFS-DPO (arXiv 2406.05534): two adapters on one base, fast F and slow S, that differ in their learning
// rates. With h_M = beta (lp_M(w) - lp_M(l)) of M in F, S and the reference:
//   L(M) = -logsigmoid(h_M - h_ref), L_FS = -logsigmoid(h_F - h_S)
//   loss = L(F) + alpha L_FS (S detached) + L(S) - alpha L_FS (F detached)
// Every swap_every steps the adapter with the lower mean L becomes F; the trainer does that
// (adapter/lora/pair.h).
#include "objective/preference/kinds.h"

namespace temper::objective {
namespace {

struct OfsOptions : PreferenceLossOptions {
  double beta = 0.1, alpha = 0.1;
  int64_t swap_every = 100;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the reference model", .min = 1e-6});
    v.field("alpha", alpha, {.help = "weight of the term that keeps fast and slow apart", .min = 0});
    v.field(
        "swap_every", swap_every,
        {.help = "the adapter with the lower mean DPO loss over so many steps is the fast one of the next; "
                 "0: no change",
         .unit = "steps",
         .min = 0});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

class Ofs : public PreferenceLoss {
 public:
  explicit Ofs(const OfsOptions& options) : o_(options) {}
  PreferenceNeeds needs() const override {
    return {.logp_ref = true, .other = true, .swap_every = o_.swap_every};
  }
  at::Tensor reward(const Responses& r) const override { return o_.beta * r.ratio(); }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const auto [fast, slow] = losses(n);
    const at::Tensor f = margin(n.chosen.logp, n.rejected.logp), s = margin(n.chosen.other, n.rejected.other);
    return fast - o_.alpha * at::log_sigmoid(f - s.detach()) + slow +
           o_.alpha * at::log_sigmoid(f.detach() - s);
  }

  // loss_fast, loss_slow: L(F) and L(S), which decide who is fast.
  std::map<std::string, at::Tensor> metrics(const PreferenceNumbers& n) const override {
    const auto [fast, slow] = losses(n);
    return {{"loss_fast", fast.detach()}, {"loss_slow", slow.detach()}};
  }

 private:
  at::Tensor margin(const at::Tensor& chosen, const at::Tensor& rejected) const {
    return o_.beta * (chosen - rejected);
  }
  std::pair<at::Tensor, at::Tensor> losses(const PreferenceNumbers& n) const {
    const at::Tensor ref = margin(n.chosen.ref, n.rejected.ref);
    return {-at::log_sigmoid(margin(n.chosen.logp, n.rejected.logp) - ref),
            -at::log_sigmoid(margin(n.chosen.other, n.rejected.other) - ref)};
  }
  OfsOptions o_;
};

std::unique_ptr<PreferenceLoss> OfsOptions::make() const {
  return std::make_unique<Ofs>(*this);
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> ofs_dpo() {
  return std::make_unique<OfsOptions>();
}

}  // namespace temper::objective
