// Beam search and contrastive search.
#include <ATen/ATen.h>

#include <cmath>

#include "base/json.h"
#include "rollout/letters.h"
#include "rollout/search/beam.h"
#include "rollout/search/contrastive.h"
#include "rollout/tiny_model.h"
#include "tensor/packed.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::unique_ptr<Model> golden_model() {
  return Model::load(test_file("model/golden/llama3"), make_precision("f32", "cpu"));
}

template <class Options>
Options search_from(Json json) {
  Options options;
  read_fields(options, json, "options", ".");
  return options;
}

}  // namespace

TEST_CASE("beam search finds what transformers finds") {
  const Letters letters;
  const auto model = golden_model();
  const Json golden = read_json_file(test_file("rollout/golden/decoding.json"));
  REQUIRE(golden["beam"].size() == 50);
  size_t ended = 0;
  for (const Json& entry : golden["beam"]) {
    const std::string name = entry["options"].dump() + entry["prompt"].dump();
    CAPTURE(name);
    const auto beam = search_from<BeamOptions>(entry["options"]);
    SamplingOptions sampling;
    sampling.max_new_tokens = 12, sampling.min_new_tokens = entry["min_new_tokens"];
    EngineOptions engine;
    engine.end_ids = entry["ends"].get<std::vector<int64_t>>();
    const GenerateRequest request{entry["prompt"].get<std::vector<int64_t>>(), beam.beams};
    const auto found = search(*model, letters, {request}, sampling, engine, beam)[0];
    REQUIRE(found.size() == entry["found"].size());
    for (size_t i = 0; i < found.size(); ++i) {
      const Json& expected = entry["found"][i];
      CHECK(found[i].ids == expected["ids"].get<std::vector<int64_t>>());
      ended += found[i].finish == FinishReason::kEnd;
      if (expected["score"].is_null()) continue;
      double sum = 0;
      for (const float logp : found[i].logp) sum += logp;
      CHECK(sum / std::pow(found[i].ids.size(), beam.length_penalty) ==
            doctest::Approx(expected["score"].get<double>()).epsilon(1e-4));
    }
  }
  CHECK(ended > 10);
}

TEST_CASE("contrastive search finds what its paper says") {
  const Letters letters;
  const auto model = golden_model();
  const Json golden = read_json_file(test_file("rollout/golden/decoding.json"));
  REQUIRE(golden["contrastive"].size() == 25);
  for (const Json& entry : golden["contrastive"]) {
    const std::string name = entry.dump();
    CAPTURE(name);
    ContrastiveOptions options;
    options.top_k = entry["top_k"], options.alpha = entry["alpha"];
    SamplingOptions sampling;
    sampling.max_new_tokens = 20;
    EngineOptions engine;
    engine.end_ids = {2, 7};
    const GenerateRequest request{entry["prompt"].get<std::vector<int64_t>>()};
    CHECK(search(*model, letters, {request}, sampling, engine, options)[0][0].ids ==
          entry["ids"].get<std::vector<int64_t>>());
  }
}

TEST_CASE("one beam, and no weight on being unlike, are greedy decoding; over blocks of the cache too") {
  const Letters letters;
  SamplingOptions sampling;
  sampling.temperature = 0, sampling.max_new_tokens = 150, sampling.min_new_tokens = 10;
  EngineOptions engine;
  engine.end_ids = {33};
  BeamOptions one;
  one.beams = 1;
  ContrastiveOptions plain;
  plain.alpha = 0;
  for (const std::string family : {"llama", "mistral"}) {
    const auto model = tiny_model(family);
    const std::vector<GenerateRequest> requests = {{{1, 2, 3}}, {{9}}};
    const auto greedy = generate(*model, letters, requests, sampling, engine);
    for (const TextSearchOptions* options :
         {static_cast<const TextSearchOptions*>(&one), static_cast<const TextSearchOptions*>(&plain)}) {
      const auto found = search(*model, letters, requests, sampling, engine, *options);
      for (size_t r = 0; r < requests.size(); ++r) {
        CHECK(found[r][0].ids == greedy[r][0].ids);
        CHECK(found[r][0].text == greedy[r][0].text);
        CHECK(found[r][0].finish == greedy[r][0].finish);
      }
    }
  }
}

TEST_CASE("more beams find completions at least as probable, over blocks of the cache too") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 140;
  const auto best = [&](int64_t beams) {
    BeamOptions options;
    options.beams = beams;
    const Completion c = search(*model, letters, {{{1, 2, 3}}}, sampling, {}, options)[0][0];
    CHECK(c.ids.size() == 140);
    double sum = 0;
    for (const float logp : c.logp) sum += logp;
    // The log-probs are those of the ids: a beam whose keys and values were another's would tell others.
    Packer packer;
    std::vector<int64_t> ids = {1, 2, 3};
    ids.insert(ids.end(), c.ids.begin(), c.ids.end());
    packer.add_segment(ids);
    const at::Tensor logp = at::log_softmax(model->logits(model->hidden(packer.tokens_on(at::kCPU))), 1);
    for (size_t t = 0; t < c.ids.size(); ++t)
      CHECK(c.logp[t] ==
            doctest::Approx(logp[static_cast<int64_t>(t) + 2][c.ids[t]].item<float>()).epsilon(1e-3));
    return sum;
  };
  CHECK(best(8) > best(1));
}

TEST_CASE("a search says of each prompt when its completions are there") {
  const Letters letters;
  const auto model = golden_model();
  std::vector<std::pair<size_t, std::string>> said;
  EngineOptions engine;
  engine.on_request = [&](size_t request, const std::vector<Completion>& found) {
    REQUIRE(found.size() == 2);
    said.emplace_back(request, found[0].raw_text);
  };
  SamplingOptions sampling;
  sampling.max_new_tokens = 4;
  const auto found = search(*model, letters, {{{1, 2}, 2}, {{3}, 2}}, sampling, engine, BeamOptions());
  REQUIRE(said.size() == 2);
  for (size_t r = 0; r < 2; ++r) CHECK(said[r] == std::pair(r, found[r][0].raw_text));
}

TEST_CASE("what a search does not heed is told in one line") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto told = [&](SamplingOptions sampling, int64_t samples) {
    return problem([&] { search(*model, letters, {{{1, 2}, samples}}, sampling, {}, BeamOptions()); });
  };
  SamplingOptions narrow, stops;
  narrow.top_k = 4, stops.stop = {"a"};
  CHECK(has(told(narrow, 1), "search: goes by the model's own probabilities"));
  CHECK(has(told(stops, 1), "stop"));
  CHECK(has(told({}, 5), "finds 4 completions a prompt, found a request for 5"));
  const auto read = [](const std::string& text) {
    return problem([&] { read_text_search(text, "--search"); });
  };
  CHECK(read("beam") == "");
  CHECK(read(R"({"kind": "contrastive", "alpha": 0.3})") == "");
  CHECK(has(read("beams"), "beam"));
  CHECK(has(read(R"({"kind": "beam", "early_stopping": "maybe"})"), "never"));
  CHECK(has(read(R"({"kind": "contrastive", "alpha": 3})"), "alpha"));
}
