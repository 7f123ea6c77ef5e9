// Losses of a unit of several responses, lp sums over tokens:
//   brio  candidates y_1 .. y_K to one prompt, best first, f_i = lp_i / |y_i|^length_power:
//         sum over gaps d = 1 .. K-1 of mean over i of relu(f_(i+d) - f_i + d margin); the preset adds the
//         token mean of -logp of the best (sft_weight). arXiv 2203.16804
//   sami  C prompts that differ in the constitution they carry and a response to each, M_ij the mean log-prob
//         of response j, without its end token, after prompt i: half the sum of the cross-entropies of the
//         rows and of the columns of M to the diagonal, each a mean over C; responses row by row.
//         arXiv 2404.14313
#include <cmath>

#include "base/error.h"
#include "objective/preference/kinds.h"

namespace temper::objective {
namespace {

struct BrioOptions : PreferenceLossOptions {
  double margin = 0.001, length_power = 2.0;
  void fields(FieldVisitor& v) override {
    v.field("margin", margin,
            {.help = "how much better each rank's score should be than the next's", .min = 0});
    v.field("length_power", length_power,
            {.help = "scores are log-probs divided by the length to this power", .min = 0, .max = 10});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

class Brio : public PreferenceLoss {
 public:
  explicit Brio(const BrioOptions& options) : o_(options) {}
  PreferenceNeeds needs() const override { return {.list = true}; }
  at::Tensor reward(const Responses& r) const override { return r.logp / r.length.pow(o_.length_power); }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const at::Tensor f = reward(n.candidates);
    at::Tensor loss = at::zeros_like(f.select(1, 0));
    for (int64_t gap = 1; gap < f.size(1); ++gap)
      loss = loss + at::relu(o_.margin * static_cast<double>(gap) - better(f, gap)).mean(1);
    return loss;
  }

  // rank_accuracy: of the pairs of a list, the share whose better response has the higher score.
  std::map<std::string, at::Tensor> metrics(const PreferenceNumbers& n) const override {
    const at::Tensor f = reward(n.candidates).detach();
    at::Tensor right = at::zeros_like(f.select(1, 0));
    for (int64_t gap = 1; gap < f.size(1); ++gap)
      right = right + better(f, gap).gt(0).to(f.scalar_type()).sum(1);
    const auto k = static_cast<double>(f.size(1));
    return {{"rank_accuracy", right / (k * (k - 1) / 2)},
            {"reward_best", f.select(1, 0)},
            {"reward_worst", f.select(1, -1)},
            {"logp_best", n.candidates.logp.detach().select(1, 0)}};
  }

 private:
  // [U, K - gap] how far each response's score is above that of the response `gap` ranks below.
  static at::Tensor better(const at::Tensor& f, int64_t gap) {
    return f.narrow(1, 0, f.size(1) - gap) - f.narrow(1, gap, f.size(1) - gap);
  }
  BrioOptions o_;
};

std::unique_ptr<PreferenceLoss> BrioOptions::make() const {
  return std::make_unique<Brio>(*this);
}

struct SamiOptions : PreferenceLossOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<PreferenceLoss> make() const override;
};

class Sami : public PreferenceLoss {
 public:
  PreferenceNeeds needs() const override { return {.list = true, .matrix = true}; }
  at::Tensor reward(const Responses& r) const override { return r.logp / r.length; }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const at::Tensor m = matrix(n);
    const auto to_diagonal = [&](int64_t dim) { return -at::log_softmax(m, dim).diagonal(0, 1, 2).mean(1); };
    return 0.5 * (to_diagonal(2) + to_diagonal(1));
  }

  // row_accuracy: of the constitutions, the share whose own response is the likeliest after it.
  // column_accuracy: of the responses, the share that is likeliest after its own constitution.
  std::map<std::string, at::Tensor> metrics(const PreferenceNumbers& n) const override {
    const at::Tensor m = matrix(n).detach(), own = at::arange(m.size(1), m.options().dtype(at::kLong));
    const auto share = [&](int64_t dim) { return m.argmax(dim).eq(own).to(m.scalar_type()).mean(1); };
    return {{"row_accuracy", share(2)}, {"column_accuracy", share(1)}};
  }

 private:
  at::Tensor matrix(const PreferenceNumbers& n) const {  // [U, C, C]
    const at::Tensor mean = reward(n.candidates);
    const auto c = std::llround(std::sqrt(static_cast<double>(mean.size(1))));
    if (c * c != mean.size(1)) bug("sami: {} responses are no square", mean.size(1));
    return mean.reshape({mean.size(0), c, c});
  }
};

std::unique_ptr<PreferenceLoss> SamiOptions::make() const {
  return std::make_unique<Sami>();
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> brio() {
  return std::make_unique<BrioOptions>();
}
std::unique_ptr<PreferenceLossOptions> sami() {
  return std::make_unique<SamiOptions>();
}

}  // namespace temper::objective
