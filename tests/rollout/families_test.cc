// Decoding gives the log-probs of training, in every family.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/file.h"
#include "model/golden_families.h"
#include "rollout/engine.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

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
    SamplingOptions sampling;
    sampling.max_new_tokens = 60;
    const auto completions = generate(*model, FakeTokenizer({}), requests, sampling, {});
    for (size_t r = 0; r < requests.size(); ++r) {
      Packer packer;
      const int64_t prompt = packer.add_segment(requests[r].prompt);
      std::vector<float> said;
      for (const Completion& c : completions[r]) {
        packer.add_targets(packer.add_segment(c.ids, prompt), 0, static_cast<int64_t>(c.ids.size()), 0);
        said.insert(said.end(), c.logp.begin(), c.logp.end());
      }
      REQUIRE(said.size() == 180);
      const at::Tensor trained =
          model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp;
      CHECK((trained - at::tensor(said)).abs().max().item<double>() < 3e-5);
    }
  }
}
