#include "rollout/engine.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "rollout/banned_texts.h"
#include "rollout/end_ids.h"
#include "rollout/letters.h"
#include "rollout/tiny_model.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

std::vector<GenerateRequest> some_requests() {
  RandomStream random(1, "prompts");
  std::vector<GenerateRequest> out;
  for (const int64_t length : {3, 1, 70, 12, 5, 64}) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i) request.prompt.push_back(static_cast<int64_t>(1 + random.below(30)));
    request.samples = 1 + length % 4;
    request.stream_index = out.size();
    out.push_back(request);
  }
  out[4].samples = 0;
  return out;
}

// One sequence at a time, the whole of it anew for every token, through the training forward.
Completion slow(Model& model, const GenerateRequest& request, int64_t sample, const SamplingOptions& sampling,
                const EngineOptions& options) {
  at::NoGradGuard guard;
  Completion out;
  RandomStream random(options.seed, "rollout sample " + std::to_string(sample), options.step,
                      request.stream_index);
  std::vector<int64_t> ids = request.prompt;
  SeenTokens seen;
  for (const int64_t id : ids) seen[id] = 0;
  while (static_cast<int64_t>(out.ids.size()) < sampling.max_new_tokens) {
    Packer packer;
    packer.add_segment(ids);
    const at::Tensor hidden = model.hidden(packer.tokens_on(at::kCPU));
    at::Tensor logits = model.logits(hidden.narrow(0, hidden.size(0) - 1, 1)).contiguous();
    const bool early = static_cast<int64_t>(out.ids.size()) < sampling.min_new_tokens;
    const auto token = sample_token(logits.mutable_data_ptr<float>(), logits.size(1), sampling, seen,
                                    early ? options.end_ids : std::vector<int64_t>(), random.uniform());
    ids.push_back(token.id);
    ++seen[token.id];
    out.ids.push_back(token.id);
    out.logp.push_back(token.logp);
    out.logp_full.push_back(token.logp_full);
    if (std::count(options.end_ids.begin(), options.end_ids.end(), token.id) > 0) break;
  }
  return out;
}

using Completions = std::vector<std::vector<Completion>>;

bool same_ids(const Completions& a, const Completions& b) {
  if (a.size() != b.size()) return false;
  for (size_t r = 0; r < a.size(); ++r) {
    if (a[r].size() != b[r].size()) return false;
    for (size_t s = 0; s < a[r].size(); ++s) {
      if (a[r][s].ids != b[r][s].ids || a[r][s].text != b[r][s].text) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("generation equals recomputing every sequence from its start") {
  const Letters letters;
  for (const std::string family : {"llama", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(family);
    const auto model = tiny_model(family);
    auto requests = some_requests();
    SamplingOptions sampling;
    sampling.max_new_tokens = 40, sampling.min_new_tokens = 3;
    if (family == "qwen2")
      sampling.top_p = 0.9, sampling.repetition_penalty = 1.2, sampling.presence_penalty = 0.1;
    EngineOptions options;
    options.max_batch = 4, options.seed = 9, options.step = 2, options.end_ids = {0, 33};
    const auto completions = generate(*model, letters, requests, sampling, options);
    REQUIRE(completions.size() == requests.size());
    size_t ended = 0;
    std::set<int64_t> distinct;
    for (size_t r = 0; r < requests.size(); ++r) {
      REQUIRE(static_cast<int64_t>(completions[r].size()) == requests[r].samples);
      for (size_t s = 0; s < completions[r].size(); ++s) {
        const Completion& got = completions[r][s];
        const Completion expected = slow(*model, requests[r], static_cast<int64_t>(s), sampling, options);
        CHECK(got.ids == expected.ids);
        for (size_t i = 0; i < got.ids.size(); ++i) {
          CHECK(got.logp[i] == doctest::Approx(expected.logp[i]).epsilon(1e-4));
          CHECK(got.logp_full[i] == doctest::Approx(expected.logp_full[i]).epsilon(1e-4));
        }
        distinct.insert(got.ids.begin(), got.ids.end());
        CHECK((got.finish == FinishReason::kEnd) == (got.ids.back() == 0 || got.ids.back() == 33));
        if (got.finish == FinishReason::kEnd) ++ended;
        if (got.finish == FinishReason::kLength) CHECK(got.ids.size() == 40);
        CHECK(got.ids.size() >= 4);  // three before an end, and the end
      }
    }
    CHECK(ended > 0);
    CHECK(distinct.size() > 15);  // the test's model is no bore
  }
}

TEST_CASE("tokens depend neither on the batch's size nor on the order of requests") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto requests = some_requests();
  SamplingOptions sampling;
  sampling.max_new_tokens = 30;
  EngineOptions options;
  options.end_ids = {0};
  const auto together = generate(*model, letters, requests, sampling, options);
  for (const int64_t batch : {1, 2, 3, 7}) {
    options.max_batch = batch;
    CHECK(same_ids(together, generate(*model, letters, requests, sampling, options)));
  }
  auto reversed = requests;
  std::reverse(reversed.begin(), reversed.end());
  auto completions = generate(*model, letters, reversed, sampling, options);
  std::reverse(completions.begin(), completions.end());
  CHECK(same_ids(together, completions));
  options.step = 1;
  CHECK_FALSE(same_ids(together, generate(*model, letters, requests, sampling, options)));
}

TEST_CASE("the same call gives the same bytes") {
  const Letters letters;
  for (const std::string dtype : {"f32", "bf16"}) {
    const auto model = tiny_model("llama", dtype);
    SamplingOptions sampling;
    sampling.max_new_tokens = 20;
    EngineOptions options;
    options.max_batch = 5;
    const auto a = generate(*model, letters, some_requests(), sampling, options);
    const auto b = generate(*model, letters, some_requests(), sampling, options);
    CHECK(same_ids(a, b));
    for (size_t r = 0; r < a.size(); ++r) {
      for (size_t s = 0; s < a[r].size(); ++s) {
        CHECK(a[r][s].logp == b[r][s].logp);
        CHECK(a[r][s].logp_full == b[r][s].logp_full);
      }
    }
  }
}

TEST_CASE("logp_full is what the trainer computes") {
  const Letters letters;
  const auto model = tiny_model("qwen3");
  SamplingOptions sampling;
  sampling.max_new_tokens = 25, sampling.temperature = 0.7, sampling.top_k = 10;
  GenerateRequest request;
  request.prompt = {5, 9, 2}, request.samples = 3;
  const auto completions = generate(*model, letters, {request}, sampling, {});
  Packer packer;
  const int64_t root = packer.add_segment(request.prompt);
  std::vector<float> logp;
  for (int64_t s = 0; s < 3; ++s) {
    const Completion& c = completions[0][static_cast<size_t>(s)];
    const auto length = static_cast<int64_t>(c.ids.size());
    packer.add_targets(packer.add_segment(c.ids, root), 0, length, s);
    logp.insert(logp.end(), c.logp_full.begin(), c.logp_full.end());
  }
  at::NoGradGuard guard;
  const auto result =
      model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 3), {.temperature = 0.7});
  CHECK(at::allclose(result.logp, at::tensor(logp), 1e-4, 1e-4));
}

TEST_CASE("stop strings cut the text and keep the ids") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 40;
  GenerateRequest request;
  request.prompt = {1, 2, 3}, request.samples = 6;
  const auto free_run = generate(*model, letters, {request}, sampling, {})[0];
  // A stop string that is known to come, made of the tokens 9 ... 11 of the first sample, and one that never
  // does.
  const std::string stop = free_run[0].text.substr(9, 3);
  REQUIRE(free_run[0].text.find(stop) != std::string::npos);
  sampling.stop = {"no such text at all, ever", stop};
  const auto stopped = generate(*model, letters, {request}, sampling, {})[0];
  for (size_t s = 0; s < 6; ++s) {
    const size_t at = free_run[s].text.find(stop);
    if (at == std::string::npos) {
      CHECK(stopped[s].text == free_run[s].text);
      CHECK(stopped[s].finish == FinishReason::kLength);
      continue;
    }
    CHECK(stopped[s].finish == FinishReason::kStop);
    CHECK(stopped[s].text == free_run[s].text.substr(0, at));
    CHECK(stopped[s].ids == std::vector<int64_t>(free_run[s].ids.begin(), free_run[s].ids.begin() + at + 3));
    CHECK(stopped[s].raw_text == free_run[s].raw_text.substr(0, at + 3));
    CHECK(stopped[s].logp.size() == stopped[s].ids.size());
  }
  CHECK(stopped[0].finish == FinishReason::kStop);

  // What stood there before min_new_tokens does not stop.
  sampling.min_new_tokens = static_cast<int64_t>(free_run[0].text.find(stop)) + 4;
  sampling.stop = {stop};
  CHECK(generate(*model, letters, {request}, sampling, {})[0][0].ids.size() >=
        static_cast<size_t>(sampling.min_new_tokens));
}

TEST_CASE("banned texts never appear, however they are cut into tokens") {
  const auto model = tiny_model("llama");
  const Letters letters;
  const auto requests = some_requests();
  SamplingOptions sampling;
  sampling.max_new_tokens = 30;
  EngineOptions options;
  const auto count = [&](const std::vector<std::vector<Completion>>& all, const std::string& text) {
    int found = 0;
    for (const auto& samples : all) {
      for (const Completion& c : samples) found += c.text.find(text) != std::string::npos;
    }
    return found;
  };
  const auto free = generate(*model, letters, requests, sampling, options);
  // What is said most: of two tokens, and of one.
  const auto most = [&](size_t length) {
    std::map<std::string, int> said;
    for (const auto& samples : free) {
      for (const Completion& c : samples) {
        for (size_t i = 0; i + length <= c.text.size(); ++i) ++said[c.text.substr(i, length)];
      }
    }
    const auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
    return std::max_element(said.begin(), said.end(), less)->first;
  };
  for (const size_t length : {1, 2, 3}) {
    const std::string text = most(length);
    CAPTURE(text);
    REQUIRE(count(free, text) > 0);
    sampling.ban = {text};
    const auto banned = generate(*model, letters, requests, sampling, options);
    CHECK(count(banned, text) == 0);
    for (const auto& samples : banned) {
      for (const Completion& c : samples) {
        for (const float lp : c.logp) CHECK(std::isfinite(lp));
      }
    }
  }
  const BannedTexts none(letters, {}, 40);
  CHECK(none.empty());
  CHECK(none.after("ab").empty());
  const BannedTexts abc(letters, {"abc"}, 40);
  CHECK(abc.after("xab") == std::vector<int64_t>{3});
  CHECK(abc.after("xb").empty());
  sampling.ban = {""};
  CHECK_THROWS_AS(generate(*model, letters, requests, sampling, options), UserError);
}

TEST_CASE("text leaves the end token out, raw text has it") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 200;
  EngineOptions options;
  options.end_ids = {0, 1};  // special, and the letter a
  GenerateRequest request;
  request.prompt = {7}, request.samples = 16;
  bool special = false, letter = false;
  const auto completions = generate(*model, letters, {request}, sampling, options);
  for (const Completion& c : completions[0]) {
    if (c.finish != FinishReason::kEnd) continue;
    CHECK(c.text.find('a') == std::string::npos);
    CHECK(c.text.find("<end>") == std::string::npos);
    CHECK(c.raw_text == c.text + (c.ids.back() == 0 ? "<end>" : "a"));
    (c.ids.back() == 0 ? special : letter) = true;
  }
  CHECK(special);
  CHECK(letter);
}

TEST_CASE("a request is told with all its samples when the last has ended, once, while others go on") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto requests = some_requests();
  SamplingOptions sampling;
  sampling.max_new_tokens = 30;
  EngineOptions options;
  options.max_batch = 3, options.end_ids = {0, 1, 2};
  std::vector<std::vector<Completion>> told(requests.size());
  int64_t finished = 0, first = -1, last = 0;
  size_t count = 0;
  options.on_request = [&](size_t request, const std::vector<Completion>& samples) {
    CHECK(told.at(request).empty());
    told[request] = samples;
    if (first < 0) first = finished;
    ++count;
  };
  const auto all = generate(*model, letters, requests, sampling, options, [&](const EngineProgress& p) {
    finished = p.finished;
    last = p.total;
  });
  CHECK(count == requests.size() - 1);  // one asks for nothing
  CHECK(first < last - 1);
  CHECK(same_ids(told, all));
  options.on_request = [](size_t, const std::vector<Completion>&) { throw Interrupted(2); };
  CHECK_THROWS_AS(generate(*model, letters, requests, sampling, options), Interrupted);
}

TEST_CASE("progress, tokens as they come, and stopping in the middle") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 10;
  EngineOptions options;
  options.max_batch = 3;
  std::vector<std::vector<std::vector<int64_t>>> heard(2, std::vector<std::vector<int64_t>>(4));
  options.on_token = [&](size_t r, int64_t s, int64_t id) { heard[r][static_cast<size_t>(s)].push_back(id); };
  std::vector<GenerateRequest> requests(2);
  requests[0].prompt = {1, 2}, requests[0].samples = 4;
  requests[1].prompt = {3}, requests[1].samples = 4, requests[1].stream_index = 1;
  EngineProgress last;
  const auto all = generate(*model, letters, requests, sampling, options, [&](const EngineProgress& p) {
    CHECK(p.tokens > last.tokens);
    last = p;
  });
  CHECK(last.finished == 8);
  CHECK(last.total == 8);
  CHECK(last.tokens == 80);
  for (size_t r = 0; r < 2; ++r) {
    for (size_t s = 0; s < 4; ++s) CHECK(heard[r][s] == all[r][s].ids);
  }
  CHECK(all[0][0].ids != all[0][1].ids);  // samples have streams of their own
  const auto stop = [](const EngineProgress& p) {
    if (p.tokens > 20) throw Interrupted(2);
  };
  CHECK_THROWS_AS(generate(*model, letters, requests, sampling, options, stop), Interrupted);
  options.on_token = {};
  CHECK(same_ids(all, generate(*model, letters, requests, sampling, options)));
}

TEST_CASE("impossible requests are refused before anything is computed") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto refuses = [&](GenerateRequest request, SamplingOptions sampling, const char* word) {
    CHECK_THROWS_WITH_AS(generate(*model, letters, {request}, sampling, {}), doctest::Contains(word),
                         UserError);
  };
  GenerateRequest request;
  SamplingOptions sampling;
  refuses(request, sampling, "empty");
  request.prompt = {1, 40};
  refuses(request, sampling, "id 40");
  request.prompt = {1, -1};
  refuses(request, sampling, "id -1");
  request.prompt = {1, 2};
  sampling.max_new_tokens = 299;
  refuses(request, sampling, "300 positions");
  sampling.max_new_tokens = 298;
  sampling.top_p = 0;
  refuses(request, sampling, "top_p");
  sampling.top_p = 1;
  CHECK(generate(*model, letters, {request}, sampling, {})[0][0].ids.size() == 298);  // to the last position
  CHECK(generate(*model, letters, {}, sampling, {}).empty());

  at::NoGradGuard guard;
  model->find("model.norm.weight")->compute.fill_(std::nan(""));
  refuses(request, sampling, "diverged");
}

TEST_CASE("end ids: the tokenizer's, the template's end of turn and an adapter's join the model's own") {
  const Letters letters;
  auto config = tiny_config("llama");
  config.eos_ids = {7, 8};
  const auto model = Model::initialise(config, {}, 1);
  CHECK(end_ids(*model, letters, nullptr) == std::vector<int64_t>{0, 7, 8});
  const FakeTokenizer chats({"<|im_start|>", "<|im_end|>"});
  const ChatTemplate chatml("chatml");
  CHECK(end_ids(*model, chats, nullptr) == std::vector<int64_t>{7, 8});
  CHECK(end_ids(*model, chats, &chatml) == std::vector<int64_t>{257, 7, 8});
  CHECK(end_ids(*model, chats, &chatml, {9, 7}) == std::vector<int64_t>{257, 9, 7, 8});
  config.eos_ids = {257};
  const auto knows = Model::initialise(config, {}, 1);
  CHECK(end_ids(*knows, chats, &chatml) == std::vector<int64_t>{257});
}

TEST_CASE("stop strings hold special tokens, and cut before them") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling;
  sampling.max_new_tokens = 200;
  GenerateRequest request;
  request.prompt = {7}, request.samples = 16;
  const auto free_run = generate(*model, letters, {request}, sampling, {})[0];
  sampling.stop = {"<end>"};
  const auto stopped = generate(*model, letters, {request}, sampling, {})[0];
  bool found = false, behind = false;
  for (size_t s = 0; s < 16; ++s) {
    const size_t at = free_run[s].raw_text.find("<end>");
    if (at == std::string::npos) continue;
    found = true;
    CHECK(stopped[s].finish == FinishReason::kStop);
    CHECK(stopped[s].text == free_run[s].raw_text.substr(0, at));
    CHECK(stopped[s].raw_text == free_run[s].raw_text.substr(0, at + 5));
    // A stop that begins within the text in front of the special token, and one that ends behind it.
    if (at < 2 || at + 6 > free_run[s].raw_text.size() || behind) continue;
    behind = true;
    for (const size_t begin : {at - 1, at + 1}) {
      sampling.stop = {free_run[s].raw_text.substr(begin, at + 6 - begin)};
      const Completion c = generate(*model, letters, {request}, sampling, {})[0][s];
      const size_t first = free_run[s].raw_text.find(sampling.stop[0]);
      CHECK(c.finish == FinishReason::kStop);
      if (first == begin) CHECK(c.text == free_run[s].raw_text.substr(0, std::min(begin, at)));
    }
  }
  CHECK(found);
  CHECK(behind);
}
