#include "rollout/speculate/find_skips.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/json.h"
#include "rollout/letters.h"
#include "rollout/tiny_model.h"
#include "test.h"
#include "told.h"

using namespace temper;

TEST_CASE("the search for skips finds sub-layers that are not missed") {
  // Of four blocks the third adds next to nothing.
  const Letters letters;
  ModelConfig config = tiny_config("llama");
  config.layers = 4;
  const auto model = Model::initialise(config, make_precision("f32", "cpu"), 5);
  {
    at::NoGradGuard guard;
    for (Parameter* p : model->parameters()) {
      if (p->compute.dim() != 2) continue;
      p->compute.mul_(p->name.find("embed") != std::string::npos ? 30 : 12);
      const bool out =
          p->name.find("o_proj") != std::string::npos || p->name.find("down_proj") != std::string::npos;
      if (out && p->name.find("layers.2.") != std::string::npos) p->compute.mul_(1e-4);
    }
  }
  SamplingOptions sampling;
  sampling.max_new_tokens = 30, sampling.temperature = 0.5;
  std::vector<GenerateRequest> requests = {{{1, 2, 3}, 3}, {{9, 4}, 3}};
  std::vector<SkipTrial> all;
  const SkipTrial best =
      find_skips(*model, letters, requests, sampling, {}, 40,
                 [&](int64_t, const SkipTrial& tried, const SkipTrial&) { all.push_back(tried); });
  CHECK(all.size() > 30);
  double most = 0;
  for (const SkipTrial& tried : all) most = std::max(most, tried.speed_up);
  CHECK(best.speed_up == most);
  CHECK(best.speed_up > 1);
  CHECK(std::count(best.attention.begin(), best.attention.end(), 2) == 1);
  CHECK(std::count(best.mlp.begin(), best.mlp.end(), 2) == 1);
  CHECK(find_skips(*model, letters, requests, sampling, {}, 40).to_json() == best.to_json());
  CHECK(read_speculation(best.to_json().dump(), "x") != nullptr);
}

TEST_CASE("what a pass costs without sub-layers") {
  // 2 blocks of 3072 + 4608 weights, a head of 1280.
  const ModelConfig config = tiny_config("llama");
  CHECK(cost_without(config, {{1}, {1}}) == doctest::Approx(1 - 7680.0 / 16640));
  CHECK(cost_without(config, {}) == 1);
}

TEST_CASE("a model of one layer has nothing to skip") {
  const Letters letters;
  ModelConfig config = tiny_config("llama");
  config.layers = 1;
  const auto model = Model::initialise(config, make_precision("f32", "cpu"), 5);
  CHECK(has(problem([&] { find_skips(*model, letters, {{{1}}}, {}, {}, 3); }), "one layer"));
}
