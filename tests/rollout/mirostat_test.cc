#include "rollout/mirostat.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/tiny_model.h"
#include "test.h"
#include "told.h"

using namespace temper;

TEST_CASE("mirostat draws what the authors' loop draws") {
  const Json golden = read_json_file(test_file("rollout/golden/decoding.json"));
  REQUIRE(golden["mirostat"].size() == 5);
  for (const Json& entry : golden["mirostat"]) {
    SamplingOptions o;
    o.mirostat_tau = entry["tau"], o.mirostat_lr = entry["lr"], o.temperature = entry["temperature"];
    double mu = 2 * o.mirostat_tau;
    for (const Json& step : entry["steps"]) {
      auto logits = step["logits"].get<std::vector<float>>();
      const auto token =
          sample_mirostat(logits.data(), static_cast<int64_t>(logits.size()), o, {}, {}, step["uniform"], mu);
      CHECK(token.id == step["id"].get<int64_t>());
      CHECK(token.logp == doctest::Approx(step["logp"].get<double>()).epsilon(1e-4));
      CHECK(token.logp_full == doctest::Approx(step["logp_full"].get<double>()).epsilon(1e-4));
      CHECK(mu == doctest::Approx(step["mu"].get<double>()).epsilon(1e-4));
    }
  }
}

TEST_CASE("mirostat's k stays within the vocabulary, whatever the probabilities") {
  CHECK(mirostat_k({0.5, 0.5}, 3, 2) <= 2);
  CHECK(mirostat_k({1}, 3, 1) == 0);
  CHECK(mirostat_k({1, 0, 0}, 3, 3) == 0);
  const std::vector<double> even(101, 1e-3);
  CHECK(mirostat_k(even, 20, 1000) == 1000);  // s = 0
  CHECK(mirostat_k(even, -20, 1000) == 0);
  CHECK(mirostat_k({0.9, 0.1}, 1e6, 50) == 50);
  CHECK(mirostat_k({0.5, 0.25, 0.5 / 3}, 5, 1000) > 0);  // s = 1, where the formula divides 0 by 0
}

TEST_CASE("mirostat holds the mean surprise of a text") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const GenerateRequest request{{1, 2, 3}, 8};
  const auto surprise = [&](double tau) {
    SamplingOptions sampling;
    sampling.max_new_tokens = 200, sampling.mirostat_tau = tau, sampling.mirostat_lr = 1;
    sampling.temperature = 3;  // at 1 this model has little to choose from
    double bits = 0;
    const auto texts = generate(*model, letters, {request}, sampling, {});
    for (const Completion& c : texts[0])
      for (const float logp : c.logp_full) bits -= logp / std::log(2.0) / (8 * 200);
    return bits;
  };
  // Between the most probable token alone and all of them.
  const double least = surprise(1e-3), most = surprise(50);
  CHECK(most > least + 0.5);
  for (const double share : {0.3, 0.6}) {
    const double tau = least + share * (most - least);
    CHECK(surprise(tau) == doctest::Approx(tau).epsilon(0.05));
  }
}

TEST_CASE("what does not go with mirostat is told in one line") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto read = [](const char* json) {
    return problem([&] {
      SamplingOptions o;
      read_fields(o, parse_json(json, "test"), "options", ".");
    });
  };
  CHECK(read(R"({"mirostat_tau": 3, "temperature": 0.7, "repetition_penalty": 1.2})") == "");
  CHECK(has(read(R"({"mirostat_tau": 3, "top_k": 5})"), "mirostat_tau: chooses how many tokens"));
  CHECK(has(read(R"({"mirostat_tau": 3, "temperature": 0})"), "temperature 0"));
  CHECK(has(read(R"({"mirostat_tau": -1})"), "mirostat_tau"));
  SamplingOptions sampling;
  sampling.mirostat_tau = 3;
  EngineOptions options;
  options.step_tokens = 4;
  CHECK(has(problem([&] { generate(*model, letters, {{{1}}}, sampling, options); }), "partial rollouts"));
}
