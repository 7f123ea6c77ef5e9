// Cross entropy: -log p of each target.
#include "objective/kinds.h"

namespace temper::objective {
namespace {

struct Nll : SupervisedLoss {
  at::Tensor operator()(const at::Tensor& logp) const override { return -logp; }
};

struct NllOptions : SupervisedOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<SupervisedLoss> make() const override { return std::make_unique<Nll>(); }
};

}  // namespace

std::unique_ptr<SupervisedOptions> nll() {
  return std::make_unique<NllOptions>();
}

}  // namespace temper::objective
