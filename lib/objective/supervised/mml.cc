// Losses over a prompt's buffer of solutions (Ni et al., arXiv 2205.14318, code microsoft/TraceCodegen), with
// P_i the probability of solution i:
//   mml_weight (-1/beta) logsumexp_i(beta log P_i) + mle_weight sum_i(-log P_i), the mean over prompts.
// beta 1: maximum marginal likelihood, which one likely solution satisfies; towards 0 all solutions count
// alike. mle_norm: the mean over i for the sum. In the code beta also multiplies the second term; here it
// does not.
#include <ATen/ATen.h>

#include "objective/supervised/kinds.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct MmlOptions : SupervisedOptions {
  double beta = 1, mml_weight = 1, mle_weight = 0;
  bool mle_norm = false;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "1: marginal likelihood; smaller: more of the solutions count", .max = 1});
    v.field("mml_weight", mml_weight, {.help = "weight of the marginal term", .min = 0});
    v.field("mle_weight", mle_weight, {.help = "weight of every solution's own -log P", .min = 0});
    v.field("mle_norm", mle_norm, {.help = "that term is the solutions' mean rather than their sum"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (!(beta > 0)) problems.push_back(where + ".beta: must be above 0 and at most 1");
    if (mml_weight == 0 && mle_weight == 0)
      problems.push_back(where + ": mml_weight and mle_weight are both 0, so nothing is learnt");
  }
  std::unique_ptr<SupervisedLoss> make() const override;
};

struct Mml : SupervisedLoss {
  explicit Mml(const MmlOptions& o) : options(o) {}
  SupervisedNeeds needs() const override { return {.group = true}; }
  SupervisedUnit unit() const override { return SupervisedUnit::kGroup; }
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    const at::Tensor total = segment_sum(batch.logp, batch.sequence, batch.sequences);
    const at::Tensor scaled = options.beta * total;
    const at::Tensor top = segment_max(scaled.detach(), batch.group, batch.groups);
    const at::Tensor sum =
        segment_sum((scaled - gather_sequence(top, batch.group)).exp(), batch.group, batch.groups);
    at::Tensor loss = -options.mml_weight / options.beta * (top + sum.log());
    if (options.mle_weight > 0) {
      const at::Tensor each = options.mle_norm ? segment_mean(total, batch.group, batch.groups)
                                               : segment_sum(total, batch.group, batch.groups);
      loss = loss - options.mle_weight * each;
    }
    return loss;
  }
  MmlOptions options;
};

std::unique_ptr<SupervisedLoss> MmlOptions::make() const {
  return std::make_unique<Mml>(*this);
}

}  // namespace

std::unique_ptr<SupervisedOptions> mml() {
  return std::make_unique<MmlOptions>();
}

}  // namespace temper::objective
