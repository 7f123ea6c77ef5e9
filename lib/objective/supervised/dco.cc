// DCO (arXiv 2502.07154, allanraventos/refine): the loss of passing at least once in N tries. With P the
// probability of a sequence's targets: L = -log(1 - (1 - P)^N); N = 1 is cross entropy. Its gradient by log P
// is -N(1-P)^(N-1) P / (1 - (1-P)^N): a sequence that already passes often weighs little. Far below P N = 1,
// L is -log(P N). A sequence's loss is spread evenly over its tokens, as the trainer adds up tokens; the
// authors divide by their number.
#include <cmath>

#include "objective/math.h"
#include "objective/supervised/kinds.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct Dco : SupervisedLoss {
  explicit Dco(int64_t n) : n(static_cast<double>(n)) {}
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    const at::Tensor total = segment_sum(batch.logp, batch.sequence, batch.sequences);
    const at::Tensor rare = (total + std::log(n)).lt(-20.0);
    // Each branch sees only the numbers that it is exact for.
    const at::Tensor fails =
        n * log1mexp(at::where(rare, at::full_like(total, -1.0), total));  // log (1 - P)^N
    const at::Tensor value = at::where(rare, -(total + std::log(n)), -(-at::expm1(fails)).log());
    const at::Tensor length =
        segment_count(batch.sequence, batch.sequences).to(total.scalar_type()).clamp_min(1);
    return gather_sequence(value / length, batch.sequence);
  }
  double n;
};

struct DcoOptions : SupervisedOptions {
  int64_t n = 16;
  void fields(FieldVisitor& v) override {
    v.field("n", n, {.help = "number of tries that training is for", .unit = "samples", .min = 1});
  }
  std::unique_ptr<SupervisedLoss> make() const override { return std::make_unique<Dco>(n); }
};

}  // namespace

std::unique_ptr<SupervisedOptions> dco() {
  return std::make_unique<DcoOptions>();
}

}  // namespace temper::objective
