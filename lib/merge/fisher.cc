// Fisher merging (arXiv 2111.09832): each element's mean, weighted by the models' diagonal Fisher information
// of it,
//   W = sum_i w_i F_i W_i / sum_i w_i F_i, with F_i raised to `floor` at least.
#include <ATen/ATen.h>

#include "base/json.h"
#include "merge/by_statistics.h"
#include "merge/kinds.h"

namespace temper {
namespace {

struct Fisher : MergeMethod {
  double floor;
  explicit Fisher(double floor) : floor(floor) {}
  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    std::vector<StoredTensor> information;
    for (const SafetensorsFile* file : t.statistics)
      information.push_back(stored_statistic(*file, t.name + ".fisher", t.shape()));
    int64_t floored = 0;
    const at::Tensor out = made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      at::Tensor sum = at::zeros({end - begin}), divisor = at::zeros({end - begin});
      for (size_t i = 0; i < t.models.size(); ++i) {
        at::Tensor f = information[i].piece(begin, end);
        floored += f.lt(floor).sum().item<int64_t>();
        f.clamp_min_(floor).mul_(t.weights[i]);
        sum.addcmul_(f, t.models[i].piece(begin, end));
        divisor.add_(f);
      }
      return sum.div_(divisor);
    });
    const double entries = static_cast<double>(t.numel()) * static_cast<double>(t.models.size());
    figures["floored"] = entries == 0 ? 0.0 : static_cast<double>(floored) / entries;
    return out;
  }
};

struct FisherOptions : MergeOptions {
  double floor = 1e-8;
  void fields(FieldVisitor& v) override {
    v.field("floor", floor, {.help = "smallest Fisher information of an element", .min = 1e-30});
  }
  MergeNeeds needs() const override { return {.weights = MergeNeeds::kPositive, .statistics = "fisher"}; }
  std::unique_ptr<MergeMethod> make() const override { return std::make_unique<Fisher>(floor); }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_fisher() {
  return std::make_unique<FisherOptions>();
}

}  // namespace temper
