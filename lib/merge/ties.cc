// TIES-Merging (arXiv 2306.01708): of each task vector the `density` largest magnitudes are kept, signs are
// elected, and W = W_0 + scale (mean of the entries that agree).
//   trim "model":  the largest of the whole task vector, as the paper and its code do
//   trim "tensor": the largest of each tensor, as mergekit does
// Kept are floor(density n) entries and all that are equal to the smallest of them (in bf16 many are;
// mergekit takes some, the paper's code one entry more). The paper's code gives an exactly cancelled sum the
// sign of the whole vector's sum, here as in mergekit it is +.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "base/json.h"
#include "merge/kinds.h"
#include "merge/task_vectors.h"

namespace temper {
namespace {

using Show = std::function<void(const at::Tensor&)>;

struct TiesOptions : MergeOptions {
  double density = 0.2, scale = 1.0;
  std::string trim = "model";
  bool mean = true;
  void fields(FieldVisitor& v) override {
    v.field("density", density, {.help = "share of each task vector that is kept", .min = 0, .max = 1});
    v.field("trim", trim, {.help = "by what the share is counted", .choices = {"model", "tensor"}});
    v.field("mean", mean, {.help = "the mean of the entries that agree; false: their sum"});
    v.field("scale", scale, {.help = "factor on what is added to the base"});
  }
  MergeNeeds needs() const override {
    return {.base = MergeNeeds::kRequired, .weights = MergeNeeds::kPositive};
  }
  std::unique_ptr<MergeMethod> make() const override;
};

class Ties : public MergeMethod {
 public:
  explicit Ties(const TiesOptions& options) : o_(options) {}

  void prepare(const MergeInput& input) override {
    if (o_.trim != "model") return;
    int64_t all = 0;
    for (const MergeTensor& t : input.tensors) all += t.numel();
    for (size_t i = 0; i < input.models.size(); ++i) {
      thresholds_.push_back(threshold(all, [&](const Show& show) {
        for (const MergeTensor& t : input.tensors) show_magnitudes(t, i, show);
      }));
    }
  }

  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    std::vector<float> thresholds = thresholds_;
    if (o_.trim == "tensor") {
      for (size_t i = 0; i < t.models.size(); ++i)
        thresholds.push_back(threshold(t.numel(), [&](const Show& show) { show_magnitudes(t, i, show); }));
    }
    Votes votes;
    const at::Tensor out = made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      at::Tensor base = t.base->piece(begin, end);
      std::vector<at::Tensor> trimmed;
      for (size_t i = 0; i < t.models.size(); ++i) {
        const at::Tensor delta = task_vector(t, i, base, begin, end);
        trimmed.push_back(delta.mul_(delta.abs().ge(thresholds[i])));
      }
      return base.add_(elected(trimmed, t.weights, o_.mean, votes), o_.scale);
    });
    const auto share = [](int64_t part, int64_t whole) {
      return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
    };
    figures["kept"] = share(votes.kept, votes.entries);
    figures["agreeing"] = share(votes.agreeing, votes.kept);
    return out;
  }

 private:
  static void show_magnitudes(const MergeTensor& t, size_t model, const Show& show) {
    in_pieces(t.numel(), [&](int64_t begin, int64_t end) {
      show(task_vector(t, model, t.base->piece(begin, end), begin, end));
    });
  }
  // The smallest magnitude that is kept of so many.
  float threshold(int64_t entries, const std::function<void(const Show&)>& visit) const {
    const auto kept = static_cast<int64_t>(o_.density * static_cast<double>(entries));
    return kept == 0 ? std::numeric_limits<float>::infinity() : kth_largest_magnitude(kept, visit);
  }

  TiesOptions o_;
  std::vector<float> thresholds_;  // of the models, with trim "model"
};

std::unique_ptr<MergeMethod> TiesOptions::make() const {
  return std::make_unique<Ties>(*this);
}

}  // namespace

std::unique_ptr<MergeOptions> merge_ties() {
  return std::make_unique<TiesOptions>();
}

}  // namespace temper
