// Spherical interpolation (Shoemake, SIGGRAPH 1985), each tensor as one vector:
//   W = (sin((1 - t) a) W_0 + sin(t a) W_1) / sin(a), a the angle between W_0 and W_1
// As in mergekit, vectors that nearly lie on a line (|cos a| > 0.9995) are interpolated on it, where the arc
// has no direction. So is a pair with a zero vector, which has no angle (mergekit takes a right one).
#include <ATen/ATen.h>

#include <cmath>

#include "base/json.h"
#include "merge/kinds.h"

namespace temper {
namespace {

constexpr double kOnALine = 0.9995;

struct Slerp : MergeMethod {
  double t;
  explicit Slerp(double t) : t(t) {}

  at::Tensor merge(const MergeTensor& x, Json& figures) const override {
    double aa = 0, bb = 0, ab = 0;
    in_pieces(x.numel(), [&](int64_t begin, int64_t end) {
      const at::Tensor a = x.models[0].piece(begin, end).to(at::kDouble);
      const at::Tensor b = x.models[1].piece(begin, end).to(at::kDouble);
      aa += a.dot(a).item<double>();
      bb += b.dot(b).item<double>();
      ab += a.dot(b).item<double>();
    });
    std::vector<double> weights = {1 - t, t};
    if (aa > 0 && bb > 0) {
      const double cosine = ab / std::sqrt(aa) / std::sqrt(bb);
      figures["cosine"] = cosine;
      if (std::abs(cosine) <= kOnALine) {
        const double angle = std::acos(cosine);
        weights = {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)};
      }
    }
    return made_in_pieces(x.shape(), x.dtype, [&](int64_t begin, int64_t end) {
      return weighted_sum(x.models, weights, begin, end);
    });
  }
};

struct SlerpOptions : MergeOptions {
  double t = 0.5;
  void fields(FieldVisitor& v) override {
    v.field("t", t, {.help = "how far from the first model to the second", .min = 0, .max = 1});
  }
  MergeNeeds needs() const override { return {.most_models = 2}; }
  std::unique_ptr<MergeMethod> make() const override { return std::make_unique<Slerp>(t); }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_slerp() {
  return std::make_unique<SlerpOptions>();
}

}  // namespace temper
