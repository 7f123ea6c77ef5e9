// Decoding gives the log-probs of training, in every family.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "model/golden_families.h"
#include "rollout/engine.h"
#include "rollout/reading.h"
#include "rollout/speculate/skip.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

// The largest difference between what decoding and what training say of sampled tokens.
double difference(Model& model, const std::vector<GenerateRequest>& requests, int64_t new_tokens) {
  SamplingOptions sampling;
  sampling.max_new_tokens = new_tokens;
  const auto completions = generate(model, FakeTokenizer({}), requests, sampling, {});
  double worst = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    Packer packer;
    const int64_t prompt = packer.add_segment(requests[r].prompt);
    std::vector<float> said;
    for (const Completion& c : completions[r]) {
      packer.add_targets(packer.add_segment(c.ids, prompt), 0, static_cast<int64_t>(c.ids.size()), 0);
      said.insert(said.end(), c.logp.begin(), c.logp.end());
    }
    REQUIRE(static_cast<int64_t>(said.size()) == new_tokens * requests[r].samples);
    const at::Tensor trained =
        model_logp(model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp;
    worst = std::max(worst, (trained - at::tensor(said)).abs().max().item<double>());
  }
  return worst;
}

}  // namespace

TEST_CASE("families: what decoding says of its tokens is what training says of them") {
  const at::NoGradGuard no_grad;
  for (const std::string& folder : golden_folders()) {
    CAPTURE(folder);
    const auto model = Model::load(folder, Precision{});
    model->expect_length(100);
    const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
    std::vector<GenerateRequest> requests;
    for (const size_t i : {1, 2})  // prompts of 2 and 23 tokens
      requests.push_back({.prompt = golden[i].ids, .samples = 3, .stream_index = i});
    CHECK(difference(*model, requests, 60) < 3e-5);
  }
}

TEST_CASE("families: scaled rotary positions, chosen once, hold at four times the original length") {
  const at::NoGradGuard no_grad;
  size_t scaled = 0;
  for (const std::string& folder : golden_folders()) {
    CAPTURE(folder);
    const auto model = Model::load(folder, Precision{});
    const Rope& rope = model->config().rope;
    if (rope.type == "default" || rope.type == "linear") continue;
    const int64_t longest = 4 * rope.original_max_positions;
    if (longest > model->config().max_positions) continue;
    ++scaled;
    model->expect_length(longest);
    const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
    GenerateRequest request;
    request.samples = 2;
    while (static_cast<int64_t>(request.prompt.size()) < longest - 28)
      request.prompt.push_back(golden[3].ids[request.prompt.size() % 100]);
    CHECK(difference(*model, {request}, 28) < 3e-5);
    if (!rope.depends_on_length()) continue;
    Packer packer;  // a sequence beyond what the angles were chosen for
    request.prompt.resize(static_cast<size_t>(longest) + 1, 5);
    packer.add_segment(request.prompt);
    CHECK_THROWS_WITH_AS(model->hidden(packer.tokens_on(at::kCPU)), doctest::Contains("rotary angles"),
                         UserError);
  }
  CHECK(scaled >= 5);
}

TEST_CASE("families: layers that read another's keys and values, in drafts that leave that one out") {
  const at::NoGradGuard no_grad;
  const std::string folder = test_file("model/golden/families/gemma4_text");
  const auto model = Model::load(folder, Precision{});
  REQUIRE(model->config().lender(2) == 0);
  const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
  const std::vector<GenerateRequest> requests = {{.prompt = golden[2].ids, .samples = 2}};
  SamplingOptions sampling;
  sampling.max_new_tokens = 40;
  sampling.temperature = 0;
  const auto plain = generate(*model, FakeTokenizer({}), requests, sampling, {});
  SkipOptions skip;
  skip.attention = {0, 3}, skip.stop_below = 0;
  EngineOptions options;
  options.speculation = &skip;
  EngineProgress progress;
  const auto drafted = generate(*model, FakeTokenizer({}), requests, sampling, options,
                                [&](const EngineProgress& p) { progress = p; });
  CHECK(progress.drafted > 0);
  for (size_t s = 0; s < 2; ++s) CHECK(plain[0][s].ids == drafted[0][s].ids);
}

TEST_CASE("families: a cache has room for the keys and values of its layers alone") {
  const auto numbers = [](const char* name) {
    const auto model = Model::load(test_file("model/golden/families/") + name, Precision{});
    int64_t kept = 0;
    for (const KvHeads& l : kv_shape(*model).layers) kept += 2 * l.heads * l.head_dim;
    CHECK(kept == model->config().cached_numbers());
    return kept;
  };
  CHECK(numbers("gemma4_text") == 2 * (2 * 8 + 2 * 16));  // two of four layers, of two sizes
  CHECK(numbers("gemma4_moe") == 2 * (2 * 8 + 1 * 16));
  CHECK(numbers("lfm2") == 2 * 2 * 8);  // one of four layers
}
