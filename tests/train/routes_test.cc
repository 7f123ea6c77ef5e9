// The experts that decoding sent tokens to, compared with those of the update's pass and replayed in it.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/file.h"
#include "model/golden_families.h"
#include "model/model.h"
#include "rollout/engine.h"
#include "test.h"
#include "text/fake_tokenizer.h"
#include "train/micro_batch.h"

using namespace temper;

namespace {

struct Sampled {
  std::vector<GenerateRequest> requests;
  std::vector<std::vector<Completion>> completions;
  // One packed batch, each prompt shared by its completions.
  MicroBatch batch() const {
    std::vector<Sequence> sequences;
    for (size_t r = 0; r < requests.size(); ++r)
      for (const Completion& c : completions[r])
        sequences.push_back({.prompt = &requests[r].prompt,
                             .completion = &c.ids,
                             .group = static_cast<int64_t>(r),
                             .routes = &c.routes});
    return cut_into_micro_batches(sequences, 1 << 20, true, at::kCPU).at(0);
  }
};

Sampled sampled_from(Model& model, const std::string& folder) {
  Sampled out;
  const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
  for (const size_t i : {1, 2})
    out.requests.push_back({.prompt = golden[i].ids, .samples = 3, .stream_index = i});
  SamplingOptions sampling;
  sampling.max_new_tokens = 20;
  EngineOptions options;
  options.keep_routes = true;
  options.max_batch = 4;  // sequences join while others are under way
  out.completions = generate(model, FakeTokenizer({}), out.requests, sampling, options);
  return out;
}

}  // namespace

TEST_CASE("routes: given experts get the weights that the router gives them") {
  Experts e;
  e.count = 4, e.chosen = 2, e.renormalised = true;
  const at::Tensor logits = at::tensor({0.0, 1.0, 2.0, 3.0}, at::kDouble).repeat({2, 1}).requires_grad_(true);
  const at::Tensor given = at::tensor({0, 1, -1, -1}, at::kShort).view({2, 2});
  const Routing routing = route(logits, e, {}, {}, given);
  CHECK(at::equal(routing.experts, at::tensor({0, 1, 3, 2}, at::kLong).view({2, 2})));
  CHECK(at::equal(routing.own, at::tensor({3, 2, 3, 2}, at::kLong).view({2, 2})));
  const double first = 1 / (1 + std::exp(1.0));  // e^0 / (e^0 + e^1)
  CHECK(routing.weights[0][0].item<double>() == doctest::Approx(first));
  CHECK(routing.weights[1][1].item<double>() == doctest::Approx(first));
  routing.weights.select(1, 0).sum().backward();
  CHECK(logits.grad()[0][0].item<double>() == doctest::Approx(first * (1 - first)));
  RouterCounts counts;
  counts.add(routing, at::ones({2}));
  counts.compare(routing, given, at::ones({2}));
  CHECK(at::equal(counts.chosen, at::tensor({1.0, 1.0, 1.0, 1.0}, at::kDouble)));
  CHECK(counts.compared == 2);
  CHECK(counts.same == 0);
}

TEST_CASE("routes: decoding sends tokens to the experts of training, and others can be replayed") {
  const at::NoGradGuard no_grad;
  int mixtures = 0;
  for (const std::string& folder : golden_folders()) {
    CAPTURE(folder);
    const auto model = Model::load(folder, Precision{});
    const ModelConfig& config = model->config();
    if (config.experts.count == 0) continue;
    ++mixtures;
    model->expect_length(100);
    const Sampled sampled = sampled_from(*model, folder);
    const int64_t width = config.sparse_layers() * config.experts.chosen;
    for (size_t r = 0; r < sampled.requests.size(); ++r) {
      for (const Completion& c : sampled.completions[r]) {
        const auto rows = static_cast<int64_t>(sampled.requests[r].prompt.size() + c.ids.size());
        REQUIRE(static_cast<int64_t>(c.routes.size()) == rows * width);
        CHECK(std::count(c.routes.begin(), c.routes.end(), -1) == width);  // the last token was not read
      }
    }
    const MicroBatch batch = sampled.batch();
    REQUIRE(batch.routes.size(0) == batch.tokens.tokens());
    RouterCounts counts;
    ForwardOptions options;
    options.router_counts = &counts;
    options.routes = batch.routes;
    const at::Tensor own = model->hidden(batch.tokens, options);
    CHECK(counts.compared > 0);
    CHECK(counts.same == counts.compared);

    options.replay_routes = true;
    CHECK((model->hidden(batch.tokens, options) - own).abs().max().item<double>() < 1e-5);
    // Every token to the next expert.
    options.routes =
        at::where(batch.routes < 0, batch.routes, (batch.routes + 1).remainder(config.experts.count));
    counts = {};
    CHECK((model->hidden(batch.tokens, options) - own).abs().max().item<double>() > 1e-3);
    CHECK(counts.same < counts.compared);
    const at::Tensor known = options.routes.index({options.routes.select(1, 0) >= 0});
    CHECK(counts.chosen.sum().item<double>() >= static_cast<double>(known.numel()));
  }
  CHECK(mixtures >= 5);
}
