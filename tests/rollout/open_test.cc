// Sequences that go on over several calls.
#include <ATen/ATen.h>

#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/tiny_model.h"
#include "test.h"

using namespace temper;

namespace {

std::vector<GenerateRequest> some_questions() {
  RandomStream random(2, "prompts");
  std::vector<GenerateRequest> out;
  for (const int64_t length : {3, 40, 12, 5}) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i) request.prompt.push_back(static_cast<int64_t>(1 + random.below(30)));
    request.samples = 3;
    request.stream_index = out.size();
    out.push_back(request);
  }
  return out;
}

// Calls of a few tokens each until all have ended; `calls` counts them.
std::vector<std::vector<Completion>> in_steps(Model& model, const SamplingOptions& sampling,
                                              EngineOptions options, int64_t& calls) {
  const Letters letters;
  auto requests = some_questions();
  std::vector<std::vector<Completion>> out;
  for (const auto& r : requests) out.emplace_back(static_cast<size_t>(r.samples));
  for (auto& completions : out)
    for (Completion& c : completions) c.finish = FinishReason::kOpen;
  for (calls = 0;; ++calls) {
    bool open = false;
    for (size_t r = 0; r < requests.size(); ++r) {
      requests[r].begun.clear();
      for (size_t s = 0; s < out[r].size(); ++s) {
        if (out[r][s].finish != FinishReason::kOpen) continue;
        requests[r].begun.push_back({static_cast<int64_t>(s), out[r][s].ids, out[r][s].logp_full});
        open = true;
      }
      requests[r].samples = static_cast<int64_t>(requests[r].begun.size());
    }
    if (!open) return out;
    options.step = static_cast<uint64_t>(calls);
    const auto further = generate(model, letters, requests, sampling, options);
    for (size_t r = 0; r < requests.size(); ++r) {
      for (size_t i = 0; i < further[r].size(); ++i) {
        Completion& c = out[r][static_cast<size_t>(requests[r].begun[i].sample)];
        const auto before = c.ids.size();
        c = further[r][i];
        CHECK(c.ids.size() - before <= static_cast<size_t>(options.step_tokens));
        if (c.finish == FinishReason::kOpen)
          CHECK(c.ids.size() - before == static_cast<size_t>(options.step_tokens));
      }
    }
  }
}

}  // namespace

TEST_CASE("greedy sequences that go on over several calls are those of one call") {
  const Letters letters;
  for (const std::string family : {"llama", "mistral"}) {
    CAPTURE(family);
    const auto model = tiny_model(family);
    SamplingOptions sampling;
    sampling.temperature = 0, sampling.max_new_tokens = 50;
    sampling.stop = {"ab", "qz"};
    sampling.repetition_penalty = 1.3;
    EngineOptions options;
    options.end_ids = {0, 33, 12};
    const auto whole = generate(*model, letters, some_questions(), sampling, options);
    for (const int64_t step_tokens : {1, 7, 49, 50}) {
      for (const int64_t max_batch : {2, 64}) {
        CAPTURE(step_tokens);
        options.step_tokens = step_tokens, options.max_batch = max_batch;
        int64_t calls = 0;
        const auto parts = in_steps(*model, sampling, options, calls);
        for (size_t r = 0; r < whole.size(); ++r) {
          for (size_t s = 0; s < whole[r].size(); ++s) {
            CHECK(parts[r][s].ids == whole[r][s].ids);
            CHECK(parts[r][s].text == whole[r][s].text);
            CHECK(parts[r][s].finish == whole[r][s].finish);
            REQUIRE(parts[r][s].logp_full.size() == whole[r][s].logp_full.size());
            for (size_t t = 0; t < parts[r][s].logp_full.size(); ++t)
              CHECK(parts[r][s].logp_full[t] == doctest::Approx(whole[r][s].logp_full[t]).epsilon(1e-4));
          }
        }
        if (step_tokens == 7) CHECK(calls > 2);
      }
    }
  }
}

TEST_CASE("each call draws from streams of its own, whoever shares the batch") {
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 40;
  sampling.temperature = 4;
  EngineOptions options;
  options.end_ids = {0, 33};
  options.step_tokens = 6;
  std::vector<std::vector<std::vector<Completion>>> all;
  for (const int64_t max_batch : {1, 5, 64}) {
    options.max_batch = max_batch;
    int64_t calls = 0;
    all.push_back(in_steps(*model, sampling, options, calls));
  }
  int64_t longer = 0, repeated = 0;
  for (size_t r = 0; r < all[0].size(); ++r) {
    for (size_t s = 0; s < all[0][r].size(); ++s) {
      CHECK(all[1][r][s].ids == all[0][r][s].ids);
      CHECK(all[2][r][s].ids == all[0][r][s].ids);
      // A new call does not begin its draws anew.
      const auto& ids = all[0][r][s].ids;
      if (ids.size() <= 12) continue;
      ++longer;
      repeated += std::equal(ids.begin(), ids.begin() + 6, ids.begin() + 6) ? 1 : 0;
    }
  }
  CHECK(longer > 4);
  CHECK(repeated == 0);
}
