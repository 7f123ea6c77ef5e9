// DARE (arXiv 2311.03099): each entry of a task vector is dropped with probability 1 - density and the rest
// is divided by density; then
//   combine "sum":  W = W_0 + scale sum_i w_i T_i, as task arithmetic
//   combine "ties": signs are elected and W = W_0 + scale (mean of the entries that agree)
// mergekit scales what is left so that the sum of magnitudes is that of before (its `rescale`), which is the
// paper's 1 / density in the mean alone; here it is the paper's.
#include "merge/dare.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/json.h"
#include "base/random.h"
#include "merge/kinds.h"
#include "merge/task_vectors.h"

namespace temper {

at::Tensor dare_mask(uint64_t seed, const std::string& tensor, uint64_t model, double density, int64_t begin,
                     int64_t end) {
  using namespace random_parts;
  const uint64_t key = mix(shared_key(seed, "merge.dare." + tensor, 0) ^ mix(model + 3 * kGolden));
  at::Tensor out = at::empty({end - begin}, at::kFloat);
  float* mask = out.mutable_data_ptr<float>();
  at::parallel_for(0, end - begin, 1 << 15, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const uint64_t bits = mix(key + kGolden * static_cast<uint64_t>(begin + i + 1));
      mask[i] = static_cast<double>(bits >> 11) * 0x1.0p-53 < density ? 1.0f : 0.0f;
    }
  });
  return out;
}

namespace {

struct DareOptions : MergeOptions {
  double density = 0.5, scale = 1.0;
  std::string combine = "sum";
  int64_t seed = 1;
  void fields(FieldVisitor& v) override {
    v.field("density", density, {.help = "share of each task vector that is kept", .min = 1e-6, .max = 1});
    v.field("combine", combine, {.help = "how the rest is joined", .choices = {"sum", "ties"}});
    v.field("scale", scale, {.help = "factor on what is added to the base"});
    v.field("seed", seed,
            {.help = "of the draws, which depend on it, the tensor's name and the model's place", .min = 0});
  }
  MergeNeeds needs() const override {
    const auto weights = combine == "ties" ? MergeNeeds::kPositive : MergeNeeds::kAny;
    return {.base = MergeNeeds::kRequired, .least_models = 1, .weights = weights};
  }
  std::unique_ptr<MergeMethod> make() const override;
};

struct Dare : MergeMethod {
  DareOptions o;
  explicit Dare(const DareOptions& options) : o(options) {}

  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    Votes votes;
    int64_t kept = 0;
    const at::Tensor out = made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      at::Tensor base = t.base->piece(begin, end);
      std::vector<at::Tensor> dropped;
      for (size_t i = 0; i < t.models.size(); ++i) {
        const at::Tensor mask = dare_mask(static_cast<uint64_t>(o.seed), t.name, i, o.density, begin, end);
        kept += static_cast<int64_t>(mask.sum(at::kDouble).item<double>());
        dropped.push_back(task_vector(t, i, base, begin, end).mul_(mask).div_(o.density));
      }
      if (o.combine == "ties") return base.add_(elected(dropped, t.weights, true, votes), o.scale);
      for (size_t i = 0; i < dropped.size(); ++i) base.add_(dropped[i], o.scale * t.weights[i]);
      return base;
    });
    const auto entries = static_cast<double>(t.numel()) * static_cast<double>(t.models.size());
    figures["kept"] = entries == 0 ? 0.0 : static_cast<double>(kept) / entries;
    return out;
  }
};

std::unique_ptr<MergeMethod> DareOptions::make() const {
  return std::make_unique<Dare>(*this);
}

}  // namespace

std::unique_ptr<MergeOptions> merge_dare() {
  return std::make_unique<DareOptions>();
}

}  // namespace temper
