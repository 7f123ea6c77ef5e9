// EMO (Ren et al., arXiv 2310.04691, code DRSY/EMO): an upper bound of the earth mover's distance between the
// model's distribution q and the target token y, moving probability costs 1 - cos of the head's rows E.
//   d = 1 - sum_v (q_v - sg(q_y) [v = y]) cos(E_v, E_y);  loss = (CE + sg(CE / (d + 1e-10)) d) / 2
// The head in the cosine is detached.
#include <ATen/ATen.h>

#include "objective/supervised/kinds.h"

namespace temper::objective {
namespace {

struct Emo : SupervisedLoss {
  SupervisedNeeds needs() const override { return {.cosine = true}; }
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    const at::Tensor ce = -batch.logp;
    const at::Tensor d = 1 - (batch.cosine - batch.logp.detach().exp());
    return 0.5 * (ce + (ce / (d + 1e-10)).detach() * d);
  }
};

struct EmoOptions : SupervisedOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<SupervisedLoss> make() const override { return std::make_unique<Emo>(); }
};

}  // namespace

std::unique_ptr<SupervisedOptions> emo() {
  return std::make_unique<EmoOptions>();
}

}  // namespace temper::objective
