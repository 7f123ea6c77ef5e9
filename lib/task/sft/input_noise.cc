// NEFTune (arXiv 2310.05914): to the embeddings of a training example of L tokens and width d, uniform noise
// in
// (-alpha, alpha) / sqrt(L d) is added. TRL's L is the padded length; here nothing is padded.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "base/random.h"
#include "task/sft/input_kinds.h"
#include "train/session.h"

namespace temper {
namespace {

struct Neftune : InputTransform {
  explicit Neftune(double alpha) : alpha(alpha) {}
  at::Tensor embedding_noise(Session& s, const std::vector<Drawn>& drawn, const MicroBatch& batch) override {
    const int64_t width = s.model->config().hidden;
    std::vector<int64_t> begin = {0};
    for (const int64_t i : batch.sequences)
      begin.push_back(begin.back() + static_cast<int64_t>(drawn[i].example.ids.size()));
    at::Tensor noise = at::empty({begin.back(), width}, at::kFloat);
    float* values = noise.mutable_data_ptr<float>();
    const auto examples = static_cast<int64_t>(batch.sequences.size());
    at::parallel_for(0, examples, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t count = (begin[i + 1] - begin[i]) * width;
        RandomStream random(static_cast<uint64_t>(s.config.seed), "neftune",
                            static_cast<uint64_t>(s.state.step), static_cast<uint64_t>(batch.sequences[i]));
        const double scale = alpha / std::sqrt(static_cast<double>(count));
        float* to = values + begin[i] * width;
        for (int64_t k = 0; k < count; ++k) to[k] = static_cast<float>(scale * (2 * random.uniform() - 1));
      }
    });
    return noise.to(s.device());
  }
  double alpha;
};

struct NeftuneOptions : InputOptions {
  double alpha = 5;
  void fields(FieldVisitor& v) override {
    v.field("alpha", alpha, {.help = "size of the noise; the paper tries 5 to 15", .min = 0});
  }
  std::unique_ptr<InputTransform> make() const override { return std::make_unique<Neftune>(alpha); }
};

}  // namespace

std::unique_ptr<InputOptions> neftune_input() {
  return std::make_unique<NeftuneOptions>();
}

}  // namespace temper
