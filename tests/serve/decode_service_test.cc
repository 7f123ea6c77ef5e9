// The service beside generate(): what is asked of it is what a call of its own would have been answered,
// whoever shares the batch.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

#include "adapter/adapter_set.h"
#include "adapter/lora/lora.h"
#include "base/error.h"
#include "rollout/decode_loop.h"
#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/tiny_model.h"
#include "serve/service.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;
using namespace std::chrono_literals;
using Kind = ServiceRefusal::Kind;

namespace {

const std::vector<int64_t> kEnds = {0};

std::unique_ptr<DecodeService> service_of(const ServiceLimits& limits = {},
                                          const std::string& family = "llama") {
  return make_decode_service(tiny_model(family), std::make_shared<Letters>(), kEnds, limits);
}

std::vector<int64_t> letters_of(const std::string& text) {
  return Letters().encode(text, {});
}

ServiceRequest asked(const std::string& prompt, int64_t tokens, uint64_t seed = 1, int64_t samples = 1) {
  ServiceRequest out;
  out.prompt = letters_of(prompt);
  out.seed = seed, out.samples = samples;
  out.sampling.max_new_tokens = tokens;
  return out;
}

struct Heard {
  std::vector<Completion> completions;
  std::vector<std::vector<ServiceEvent>> tokens;  // of each sample
};

Heard hear(Answering& answer, int64_t samples) {
  Heard out;
  out.completions.resize(static_cast<size_t>(samples));
  out.tokens.resize(static_cast<size_t>(samples));
  for (int64_t ended = 0; ended < samples;) {
    const auto event = answer.next(60s);
    REQUIRE(event);
    const auto sample = static_cast<size_t>(event->sample);
    if (event->completion)
      out.completions[sample] = *event->completion, ++ended;
    else
      out.tokens[sample].push_back(*event);
  }
  return out;
}

// What a call of generate() alone writes.
std::vector<Completion> alone(const ServiceRequest& request, const std::string& adapter = "",
                              const std::string& family = "llama") {
  const auto model = tiny_model(family);
  model->expect_length(model->config().max_positions);
  std::unique_ptr<AdapterSet> set;
  if (!adapter.empty()) set = std::make_unique<AdapterSet>(*model, adapter_entries({adapter}));
  EngineOptions options;
  options.end_ids = kEnds, options.seed = request.seed;
  return generate(*model, Letters(), {{request.prompt, request.samples}}, request.sampling, options)[0];
}

// A LoRA that changes what the model writes.
std::string adapter_folder(const TempFolder& folder, const std::string& name, uint64_t seed) {
  const auto model = tiny_model("llama");
  LoraOptions options;
  options.rank = 2;
  const auto adapter = options.attach(*model, seed);
  at::NoGradGuard guard;
  for (auto& [path, tensor] : adapter->trainable())
    if (path.find("lora_B") != std::string::npos)
      tensor.copy_(at::linspace(-2, 2, tensor.numel()).view(tensor.sizes()) * static_cast<double>(seed));
  adapter->save(folder.text(name), at::kFloat);
  return folder.text(name);
}

Kind refusal_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const ServiceRefusal& why) {
    return why.kind;
  }
  FAIL("nothing was refused");
  return Kind::kFailed;
}

}  // namespace

TEST_CASE("service: requests that come and go are answered as each would be alone") {
  for (const std::string family : {"llama", "mistral"}) {
    ServiceLimits limits;
    limits.max_batch = 3;  // some wait
    const auto service = service_of(limits, family);
    std::vector<ServiceRequest> requests;
    for (uint64_t i = 0; i < 8; ++i) {
      ServiceRequest r = asked(std::string("abcdefgh").substr(i % 4, 3), 20 + 5 * static_cast<int64_t>(i), i,
                               1 + static_cast<int64_t>(i % 3));
      r.sampling.temperature = i % 2 == 0 ? 0.9 : 0;
      if (i % 3 == 1) r.sampling.top_k = 5, r.sampling.repetition_penalty = 1.2;
      if (i % 4 == 2) r.sampling.stop = {"q", "ab"};
      if (i == 5) r.sampling.regex = "[a-f]{4,9}";
      requests.push_back(r);
    }
    std::vector<Heard> heard(requests.size());
    std::vector<std::thread> people;
    for (size_t i = 0; i < requests.size(); ++i) {
      people.emplace_back([&, i] {
        const auto answer = service->ask(requests[i]);
        heard[i] = hear(*answer, requests[i].samples);
      });
    }
    for (std::thread& p : people) p.join();
    for (size_t i = 0; i < requests.size(); ++i) {
      CAPTURE(i);
      const auto expected = alone(requests[i], "", family);
      for (size_t s = 0; s < expected.size(); ++s) {
        const Completion& got = heard[i].completions[s];
        CHECK(got.ids == expected[s].ids);
        CHECK(got.text == expected[s].text);
        CHECK(got.finish == expected[s].finish);
        std::vector<int64_t> told;
        for (const ServiceEvent& e : heard[i].tokens[s]) told.push_back(e.id);
        std::vector<int64_t> shown = expected[s].ids;
        if (expected[s].finish == FinishReason::kEnd) shown.pop_back();
        CHECK(told == shown);
      }
    }
    CHECK(service->figures().requests == 8);
    CHECK(service->figures().active == 0);
  }
}

TEST_CASE("service: log-probs are those of the model's own distribution, with the likeliest tokens") {
  const auto service = service_of();
  ServiceRequest r = asked("abc", 12, 7);
  r.sampling.temperature = 1.7, r.sampling.top_k = 8, r.sampling.min_new_tokens = 6;
  r.top_logprobs = 4;
  const Heard heard = hear(*service->ask(r), 1);
  const auto model = tiny_model("llama");
  at::NoGradGuard guard;
  std::vector<int64_t> ids = r.prompt;
  REQUIRE(heard.tokens[0].size() > 3);
  for (const ServiceEvent& e : heard.tokens[0]) {
    const at::Tensor positions = at::arange(static_cast<int64_t>(ids.size()));
    KvPool pool(kv_shape(*model));
    const at::Tensor hidden = read_prompts(*model, pool, {ids})[0].hidden;
    const at::Tensor logp = at::log_softmax(model->logits(hidden.narrow(0, hidden.size(0) - 1, 1))[0], -1);
    CHECK(e.logprob.id == e.id);
    CHECK(std::abs(e.logprob.logp - logp[e.id].item<float>()) < 1e-4);
    REQUIRE(e.top.size() == 4);
    const at::Tensor best = std::get<0>(at::topk(logp, 4));
    for (int64_t k = 0; k < 4; ++k) {
      CHECK(std::abs(e.top[static_cast<size_t>(k)].logp - best[k].item<float>()) < 1e-4);
      CHECK(std::abs(logp[e.top[static_cast<size_t>(k)].id].item<float>() - best[k].item<float>()) < 1e-4);
    }
    ids.push_back(e.id);
  }
  r.top_logprobs = std::nullopt;
  const Heard unranked = hear(*service->ask(r), 1);
  for (const ServiceEvent& e : unranked.tokens[0]) CHECK(e.top.empty());
}

TEST_CASE("service: adapters answer side by side, each as it does alone; loaded and unloaded meanwhile") {
  const TempFolder folder;
  const std::string a = adapter_folder(folder, "a", 1), b = adapter_folder(folder, "b", 2);
  const auto service = service_of();
  ServiceRequest base = asked("hello", 40, 5, 2);
  ServiceRequest with_a = base, with_b = base;
  with_a.adapter = "one", with_b.adapter = "b";
  CHECK(refusal_of([&] { service->ask(with_a); }) == Kind::kNoModel);
  service->load_adapter("one", a);
  service->load_adapter("b", b);
  CHECK(service->adapters() == std::map<std::string, std::string>{{"one", a}, {"b", b}});
  const auto first = service->ask(base), second = service->ask(with_a), third = service->ask(with_b);
  CHECK(service->unload_adapter("one"));  // what is asked already is answered
  CHECK(refusal_of([&] { service->ask(with_a); }) == Kind::kNoModel);
  const auto ids = [](const std::vector<Completion>& of) {
    std::vector<std::vector<int64_t>> out;
    for (const Completion& c : of) out.push_back(c.ids);
    return out;
  };
  CHECK(ids(hear(*first, 2).completions) == ids(alone(base)));
  CHECK(ids(hear(*second, 2).completions) == ids(alone(with_a, a)));
  CHECK(ids(hear(*third, 2).completions) == ids(alone(with_b, b)));
  CHECK(ids(alone(base)) != ids(alone(base, a)));
  CHECK(ids(alone(base, b)) != ids(alone(base, a)));

  CHECK_FALSE(service->unload_adapter("one"));
  CHECK_FALSE(service->unload_adapter(""));
  CHECK_THROWS_WITH_AS(service->load_adapter("b", a), doctest::Contains("already"), UserError);
  CHECK_THROWS_AS(service->load_adapter("c", folder.text("nowhere")), UserError);
  // The name is free once its last answer is written.
  service->load_adapter("one", b);
  CHECK(ids(hear(*service->ask(with_a), 2).completions) == ids(alone(base, b)));
}

TEST_CASE("service: a request that cannot be answered is refused and disturbs nobody") {
  ServiceLimits limits;
  limits.max_batch = 2, limits.queue = 3, limits.max_samples = 4, limits.context = 100;
  const auto service = service_of(limits);
  CHECK(service->context() == 100);
  CHECK(refusal_of([&] { service->ask(asked("abc", 98)); }) == Kind::kRequest);
  CHECK(refusal_of([&] { service->ask(asked("abc", 5, 1, 5)); }) == Kind::kRequest);
  CHECK(refusal_of([&] { service->ask(asked("abc", 5, 1, 0)); }) == Kind::kRequest);
  ServiceRequest regex = asked("abc", 5);
  regex.sampling.regex = "[a-";
  CHECK(refusal_of([&] { service->ask(regex); }) == Kind::kRequest);
  ServiceRequest file = asked("abc", 5);
  file.sampling.json_schema = "/etc/passwd";
  CHECK(refusal_of([&] { service->ask(file); }) == Kind::kRequest);
  CHECK(refusal_of([&] { hear(*service->ask(asked("", 5)), 1); }) == Kind::kRequest);
  ServiceRequest outside = asked("abc", 5);
  outside.prompt[1] = 40;
  CHECK(refusal_of([&] { hear(*service->ask(outside), 1); }) == Kind::kRequest);

  // Nothing that the tokens can write: it fails alone.
  const ServiceRequest good = asked("abc", 60, 4);
  const auto answer = service->ask(good);
  ServiceRequest hopeless = asked("abc", 20);
  hopeless.sampling.regex = "Z+";
  CHECK(refusal_of([&] { hear(*service->ask(hopeless), 1); }) == Kind::kFailed);
  CHECK(hear(*answer, 1).completions[0].ids == alone(good)[0].ids);

  std::vector<std::unique_ptr<Answering>> many;
  for (int i = 0; i < 5; ++i) many.push_back(service->ask(asked("ab", 90)));
  CHECK(refusal_of([&] { service->ask(asked("ab", 5)); }) == Kind::kBusy);
  many.clear();  // nobody waits any more: the places are free again
  for (int i = 0; i < 400 && service->figures().active + service->figures().waiting > 0; ++i)
    std::this_thread::sleep_for(10ms);
  CHECK(service->figures().cancelled >= 1);
  CHECK(hear(*service->ask(good), 1).completions[0].ids == alone(good)[0].ids);
  CHECK(service->figures().refused == 9);
}

TEST_CASE("service: what takes too long ends as it is; an end that was asked for refuses what is left") {
  ServiceLimits limits;
  limits.request_s = 0, limits.max_batch = 1;
  const auto hasty = service_of(limits);
  const Heard cut = hear(*hasty->ask(asked("abc", 200, 1, 2)), 2);
  for (const Completion& c : cut.completions) {
    CHECK(c.finish == FinishReason::kLength);
    CHECK(c.ids.size() < 200);
  }
  const auto service = service_of();
  const ServiceRequest good = asked("abc", 50, 4);
  const auto patient = service->ask(good);
  service->stop(60s);
  CHECK(hear(*patient, 1).completions[0].ids == alone(good)[0].ids);
  CHECK(refusal_of([&] { service->ask(good); }) == Kind::kStopping);

  auto ending = service_of();
  const auto late = ending->ask(asked("abc", 290));
  ending = nullptr;
  CHECK(refusal_of([&] { hear(*late, 1); }) == Kind::kStopping);
}

TEST_CASE("service: prompts that begin alike are read once") {
  ServiceLimits limits;
  limits.kept_prompt_bytes = 256 * 2 * 2 * (8 + 16) * 4;  // room for 256 tokens
  for (const std::string family : {"llama", "mistral"}) {
    const auto service = service_of(limits, family);
    const std::string system(60, 'k');
    ServiceRequest first = asked(system + "abc", 20, 3), second = asked(system + "xyzab", 20, 3);
    first.sampling.temperature = second.sampling.temperature = 0;
    const auto one = service->ask(first);
    CHECK(hear(*one, 1).completions[0].ids == alone(first, "", family)[0].ids);
    CHECK(one->cached_tokens() == 0);
    const auto two = service->ask(second);
    CHECK(hear(*two, 1).completions[0].ids == alone(second, "", family)[0].ids);
    CHECK(two->cached_tokens() == 60);
    const auto again = service->ask(first);
    CHECK(hear(*again, 1).completions[0].ids == alone(first, "", family)[0].ids);
    CHECK(again->cached_tokens() == 62);  // the last is read
    // A third prompt takes the place of the one that was not asked for the longest.
    hear(*service->ask(asked(std::string(70, 'z'), 4)), 1);
    const auto gone = service->ask(second);
    hear(*gone, 1);
    CHECK(gone->cached_tokens() == 60);  // of `first`, which was asked for last
  }
}
