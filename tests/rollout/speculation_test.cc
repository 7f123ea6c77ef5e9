// Speculative decoding: what comes out is what comes out without it.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>

#include "base/json.h"
#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/reading.h"
#include "rollout/speculate/draft_model.h"
#include "rollout/speculate/lookup.h"
#include "rollout/speculate/skip.h"
#include "rollout/speculation_counts.h"
#include "rollout/tiny_model.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

using Completions = std::vector<std::vector<Completion>>;

std::vector<GenerateRequest> prompts_to_speculate_on() {
  RandomStream random(4, "prompts");
  std::vector<GenerateRequest> out;
  for (const int64_t length : {3, 1, 70, 12, 64}) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i) request.prompt.push_back(static_cast<int64_t>(1 + random.below(9)));
    request.samples = 1 + length % 3;
    request.stream_index = out.size();
    out.push_back(request);
  }
  return out;
}

// The last block's second half is left out: a draft that is often right.
SkipOptions some_skips() {
  SkipOptions options;
  options.mlp = {1}, options.stop_below = 0;
  return options;
}

void check_same(const Completions& plain, const Completions& other) {
  REQUIRE(plain.size() == other.size());
  for (size_t r = 0; r < plain.size(); ++r) {
    for (size_t s = 0; s < plain[r].size(); ++s) {
      const Completion &a = plain[r][s], &b = other[r][s];
      CHECK(a.ids == b.ids);
      CHECK(a.text == b.text);
      CHECK(a.finish == b.finish);
      CHECK(a.turns.size() == b.turns.size());
      REQUIRE(a.logp.size() == b.logp.size());
      for (size_t i = 0; i < a.logp.size(); ++i) {
        if (std::isnan(a.logp[i])) continue;  // an answer's
        CHECK(b.logp[i] == doctest::Approx(a.logp[i]).epsilon(1e-3).scale(1));
        CHECK(b.logp_full[i] == doctest::Approx(a.logp_full[i]).epsilon(1e-3).scale(1));
      }
    }
  }
}

}  // namespace

TEST_CASE("look-up: what followed the last tokens where they stood before") {
  const std::vector<int64_t> text = {1, 2, 3, 9, 1, 2, 4, 7, 5, 1, 2};
  CHECK(look_up(text, 1, 3, 2) == std::vector<int64_t>{4, 7});                         // the newest place
  CHECK(look_up({1, 2, 3, 1, 2, 5, 3, 1, 2}, 1, 3, 2) == std::vector<int64_t>{5, 3});  // the longest: 3 1 2
  CHECK(look_up({1, 2, 3, 4}, 1, 3, 2).empty());
  CHECK(look_up({1, 2, 3, 2}, 2, 3, 2).empty());                           // one token alone is too few
  CHECK(look_up({6, 7, 7}, 1, 3, 4) == std::vector<int64_t>{7, 7, 7, 7});  // a repetition goes on
  CHECK(look_up({6, 1, 2, 1, 2}, 1, 3, 5) == std::vector<int64_t>{1, 2, 1, 2, 1});
  CHECK(look_up({5}, 1, 3, 2).empty());
  CHECK(look_up(text, 1, 3, 0).empty());
}

TEST_CASE("look-up gives the same text as without it, greedy and sampled, whatever ends it") {
  const Letters letters;
  std::vector<SamplingOptions> all(5);
  all[0].temperature = 0;
  all[1].temperature = 0.3;
  all[2].temperature = 0.4, all[2].top_p = 0.8, all[2].repetition_penalty = 1.1,
  all[2].presence_penalty = 0.2;
  all[3].temperature = 0.3, all[3].min_new_tokens = 20, all[3].stop = {"ab", "c"};
  all[4].temperature = 0.3, all[4].ban = {"e", "ba"};
  for (const std::string family : {"llama", "mistral"}) {
    const auto model = tiny_model(family);
    for (size_t k = 0; k < all.size(); ++k) {
      CAPTURE(family);
      CAPTURE(k);
      all[k].max_new_tokens = 50;
      EngineOptions options;
      options.seed = 3, options.end_ids = {0, 33};
      const auto plain = generate(*model, letters, prompts_to_speculate_on(), all[k], options);
      const LookupOptions lookup;
      options.speculation = &lookup;
      for (const int64_t batch : {1, 3, 64}) {
        options.max_batch = batch;
        EngineProgress progress;
        check_same(plain, generate(*model, letters, prompts_to_speculate_on(), all[k], options,
                                   [&](const EngineProgress& p) { progress = p; }));
        CHECK(progress.accepted > 0);
        CHECK(progress.drafted > progress.accepted);
        CHECK(progress.passes < progress.tokens);
      }
    }
  }
}

TEST_CASE("greedy ids are the model's own, whoever drafts") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.temperature = 0, sampling.max_new_tokens = 50;
  EngineOptions options;
  options.end_ids = {33};
  const auto plain = generate(*model, letters, prompts_to_speculate_on(), sampling, options);
  DraftModelOptions same, other;
  same.loaded = tiny_model("llama"), other.loaded = tiny_model("qwen3");
  same.stop_below = 0;
  const SkipOptions skip = some_skips();
  for (const SpeculationOptions* speculation :
       {static_cast<const SpeculationOptions*>(&skip), static_cast<const SpeculationOptions*>(&same),
        static_cast<const SpeculationOptions*>(&other)}) {
    options.speculation = speculation;
    for (const int64_t batch : {1, 4}) {
      options.max_batch = batch;
      EngineProgress progress;
      check_same(plain, generate(*model, letters, prompts_to_speculate_on(), sampling, options,
                                 [&](const EngineProgress& p) { progress = p; }));
      CHECK(progress.drafted > 0);
      if (speculation == &skip) CHECK(progress.accepted > 0);
      // The model itself: whatever it drafts is right, but what lies behind an end.
      if (speculation == &same) CHECK(progress.accepted > progress.drafted * 9 / 10);
    }
  }
}

TEST_CASE("sampled tokens keep their distribution (chi-square), and say their log-probs") {
  for (const std::string kind : {"skip", "draft", "lookup"}) {
    for (const int64_t options : {0, 1}) {
      CAPTURE(kind);
      CAPTURE(options);
      const ChiSquare plain = chi_square(kind, options, 10000);
      CHECK(plain.freedom > 20);
      CHECK(plain.value < plain.freedom + 4 * std::sqrt(2.0 * plain.freedom));
      CHECK(plain.accepted > 0);
      CHECK(plain.accepted < plain.drafted);
      CHECK(plain.logp_error < 1e-4);
    }
  }
  // What the test can tell: drafts taken as they are.
  const ChiSquare wrong = chi_square("draft alone", 0, 10000);
  CHECK(wrong.value > wrong.freedom + 20 * std::sqrt(2.0 * wrong.freedom));
}

// build/bin/rollout_test -tc="1e5*" --no-skip
TEST_CASE("1e5 sampled tokens keep their distribution (chi-square)" * doctest::skip()) {
  for (const std::string kind : {"skip", "draft", "lookup"}) {
    const ChiSquare plain = chi_square(kind, 0, 100000);
    MESSAGE(kind << ": chi-square " << plain.value << " of " << plain.freedom << " degrees of freedom, "
                 << plain.accepted << " of " << plain.drafted << " accepted");
    CHECK(plain.value < plain.freedom + 4 * std::sqrt(2.0 * plain.freedom));
  }
}

TEST_CASE("the same call gives the same bytes, and tokens do not depend on the batch") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 40;
  EngineOptions options;
  options.end_ids = {0};
  const SkipOptions skip = some_skips();
  DraftModelOptions draft;
  draft.loaded = tiny_model("qwen2");
  for (const SpeculationOptions* speculation :
       {static_cast<const SpeculationOptions*>(&skip), static_cast<const SpeculationOptions*>(&draft)}) {
    options.speculation = speculation, options.max_batch = 64;
    const auto once = generate(*model, letters, prompts_to_speculate_on(), sampling, options);
    for (const int64_t batch : {1, 3}) {
      options.max_batch = batch;
      check_same(once, generate(*model, letters, prompts_to_speculate_on(), sampling, options));
    }
  }
}

TEST_CASE("gamma follows what is accepted, as the authors' code does") {
  DraftGamma g{0.8};
  g.follow(8, 8, 8);  // acceptance 0.5
  CHECK(g.gamma == doctest::Approx(0.801));
  for (int i = 0; i < 4; ++i) g.follow(8, 8, 8);  // up to 0.97; at the length's limit gamma rests
  CHECK(g.acceptance == doctest::Approx(0.96875));
  const double before = g.gamma;
  g.follow(8, 8, 8);
  CHECK(g.gamma == doctest::Approx(before));
  g.follow(3, 3, 8);
  CHECK(g.gamma == doctest::Approx(before - 0.001));
}

TEST_CASE("a draft ends where its model is not sure, and before the limit") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.temperature = 0, sampling.max_new_tokens = 40;
  const auto drafted = [&](double stop_below, int64_t draft_tokens) {
    SkipOptions skip = some_skips();
    skip.stop_below = stop_below, skip.draft_tokens = draft_tokens, skip.adapt = false;
    EngineOptions options;
    options.speculation = &skip;
    EngineProgress progress;
    generate(*model, letters, {{{1, 2, 3}}}, sampling, options,
             [&](const EngineProgress& p) { progress = p; });
    CHECK(progress.tokens == 40);
    return static_cast<double>(progress.drafted) / static_cast<double>(progress.passes);
  };
  CHECK(drafted(0, 8) > 4);
  CHECK(drafted(0, 3) <= 3);
  CHECK(drafted(1, 8) <= 1);
  CHECK(drafted(1, 8) > 0.9);  // nothing is drafted where one token is left
}

TEST_CASE("the whole model skipped is its embedding and head") {
  at::NoGradGuard guard;
  const auto model = tiny_model("qwen3");
  KvPool pool(kv_shape(*model));
  KvRun prompt(pool), own(pool);
  TokensToRead tokens;
  tokens.add(7, prompt, own);
  const SkippedSublayers all{{true, true}, {true, true}}, none{{false, false}, {false, false}};
  const at::Tensor bare = tokens.hidden(*model, &all);
  const at::Tensor x = model->find("model.embed_tokens.weight")->compute[7];
  const at::Tensor expected = x / (x.pow(2).mean() + model->config().norm_eps).sqrt();
  CHECK(at::allclose(bare[0], expected, 1e-5, 1e-5));
  own.shorten(1);
  tokens.add(7, prompt, own);
  const at::Tensor whole = tokens.hidden(*model, &none);
  own.shorten(1);
  tokens.add(7, prompt, own);
  CHECK(at::equal(whole, tokens.hidden(*model)));
  CHECK_FALSE(at::allclose(whole, bare, 1e-3, 1e-3));
}

TEST_CASE("turns, answers and calls of a few tokens are as without drafts") {
  // Answers every turn once; takes back the words with which a turn of the first request ends.
  struct Answering : Respondent {
    std::map<std::pair<size_t, int64_t>, int64_t> turns;
    void ended(size_t request, int64_t sample, const PolicyTurn&) override { ++turns[{request, sample}]; }
    std::vector<int64_t> answer(size_t request, int64_t sample) override {
      return turns[{request, sample}] > 2 ? std::vector<int64_t>() : std::vector<int64_t>{5, 6, 2, 5, 6};
    }
    int64_t patience() const override { return 3; }
    Conversation conversation(size_t, int64_t) override { return {}; }
    int64_t turn_tokens(size_t request, int64_t) override { return request == 1 ? 7 : 15; }
    Joint joint(size_t request, int64_t) override { return {false, request == 99}; }
  };
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.temperature = 0, sampling.max_new_tokens = 60;
  const LookupOptions lookup;
  const SkipOptions skip = some_skips();
  DraftModelOptions draft;
  draft.loaded = tiny_model("llama");
  EngineOptions options;
  options.end_ids = {0, 33, 12};
  Answering first;
  options.respondent = &first;
  const auto plain = generate(*model, letters, prompts_to_speculate_on(), sampling, options);
  CHECK(plain[0][0].turns.size() > 1);
  options.respondent = nullptr, options.step_tokens = 9;
  const auto open = generate(*model, letters, prompts_to_speculate_on(), sampling, options);
  for (const SpeculationOptions* speculation :
       {static_cast<const SpeculationOptions*>(&lookup), static_cast<const SpeculationOptions*>(&skip),
        static_cast<const SpeculationOptions*>(&draft)}) {
    options.speculation = speculation;
    Answering again;
    options.respondent = &again, options.step_tokens = 0;
    check_same(plain, generate(*model, letters, prompts_to_speculate_on(), sampling, options));
    options.respondent = nullptr, options.step_tokens = 9;
    check_same(open, generate(*model, letters, prompts_to_speculate_on(), sampling, options));
  }
}

TEST_CASE("a draft model with another number of ids") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.temperature = 0, sampling.max_new_tokens = 30;
  EngineOptions options;
  const auto plain = generate(*model, letters, prompts_to_speculate_on(), sampling, options);
  for (const int64_t vocab : {30, 64}) {
    DraftModelOptions draft;
    draft.loaded = tiny_model("llama");
    draft.loaded->resize_vocabulary(vocab);
    options.speculation = &draft;
    check_same(plain, generate(*model, letters, prompts_to_speculate_on(), sampling, options));
  }
}

TEST_CASE("what does not go with speculation is told in one line") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto told = [&](const SpeculationOptions& speculation, SamplingOptions sampling = {}) {
    EngineOptions options;
    options.speculation = &speculation;
    return problem([&] { generate(*model, letters, {{{1, 2}}}, sampling, options); });
  };
  SkipOptions far;
  far.attention = {0, 2};
  CHECK(has(told(far), "speculation.attention: names layer 2, but the model has layers 0 to 1"));
  DraftModelOptions missing;
  missing.model = "no/such/folder";
  CHECK(has(told(missing), "no/such/folder"));
  DraftModelOptions short_one;
  ModelConfig config = tiny_config("llama");
  config.max_positions = 100;
  short_one.loaded = Model::initialise(config, make_precision("f32", "cpu"), 1);
  CHECK(has(told(short_one), "has 100 positions"));
  SamplingOptions mirostat;
  mirostat.mirostat_tau = 3;
  CHECK(has(told(LookupOptions(), mirostat), "mirostat_tau"));

  const auto read = [](const std::string& text) {
    return problem([&] { read_speculation(text, "--speculation"); });
  };
  CHECK(read("lookup") == "");
  CHECK(read(R"({"kind": "skip", "attention": [1, 3], "mlp": [2]})") == "");
  CHECK(has(read("lokup"), "lookup"));
  CHECK(has(read("skip"), "skips nothing"));
  CHECK(has(read("draft"), "model"));
  CHECK(has(read(R"({"kind": "skip", "mlp": [1.5]})"), "expected layers counted from 0, found 1.5"));
  CHECK(has(read(R"({"kind": "lookup", "ngram_min": 4})"), "ngram_max"));
  CHECK(has(read("{"), "--speculation"));
  CHECK(has(read("not/there.json"), "not/there.json"));
  CHECK(read_speculation("", "--speculation") == nullptr);
  const TempFolder folder;
  const auto file = folder.write("skips.json", R"({"kind": "skip", "mlp": [1]})");
  CHECK(dynamic_cast<const SkipOptions&>(*read_speculation(file, "x")).mlp == std::vector<double>{1});
}
