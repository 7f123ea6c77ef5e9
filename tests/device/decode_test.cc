// Decoding on an accelerator beside the CPU: the cache, attention, draws, whole completions and what they
// cost.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "device/fake_device.h"
#include "model/model.h"
#include "rollout/device_decode.h"
#include "rollout/device_sampler.h"
#include "rollout/engine.h"
#include "rollout/recorded_steps.h"
#include "rollout/tiny_model.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using at::Tensor;
using namespace temper;
using temper::fake::kFake;

namespace {

// Sequences of some prompts, on any device.
struct Filled {
  Filled(at::Device device, at::ScalarType dtype, const std::vector<int64_t>& lengths,
         const std::vector<std::vector<int64_t>>& own_lengths) {
    at::manual_seed(3);
    const auto shape = KvShape::alike(2, {2, 16}, at::TensorOptions().dtype(dtype).device(device));
    pool = std::make_unique<KvPool>(shape);
    for (size_t p = 0; p < lengths.size(); ++p) {
      prompts.push_back(make(lengths[p]));
      for (const int64_t n : own_lengths[p]) {
        own.push_back(make(n - 1));
        own.back()->extend(1);  // its numbers come with the step
        rows.push_back({prompts.back().get(), own.back().get(), own.back()->length()});
      }
    }
  }
  std::unique_ptr<KvRun> make(int64_t tokens) {
    auto run = std::make_unique<KvRun>(*pool);
    run->extend(tokens);
    const KvShape& shape = pool->shape();
    for (int64_t layer = 0; layer < 2 && tokens > 0; ++layer) {
      const auto next = [&] {
        return at::randn({tokens, shape.layer(layer).heads, shape.layer(layer).head_dim})
            .to(shape.options.dtype())
            .to(shape.options.device());
      };
      const Tensor k = next(), v = next();
      if (!pool->has_arena()) {
        store_prompt(*run, layer, k, v);
        continue;
      }
      const Tensor places = places_of({run.get()});
      pool->arena().keys(layer).index_copy_(0, places, k);
      pool->arena().values(layer).index_copy_(0, places, v);
    }
    return run;
  }
  std::unique_ptr<KvPool> pool;
  std::vector<std::unique_ptr<KvRun>> prompts, own;
  std::vector<DecodeRow> rows;
};

std::vector<GenerateRequest> requests(const std::vector<int64_t>& lengths, int64_t samples) {
  RandomStream random(1, "prompts");
  std::vector<GenerateRequest> out;
  for (const int64_t length : lengths) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i) request.prompt.push_back(static_cast<int64_t>(1 + random.below(30)));
    request.samples = samples;
    request.stream_index = out.size();
    out.push_back(request);
  }
  return out;
}

std::vector<std::vector<Completion>> completions(Model& model, const std::vector<GenerateRequest>& asked,
                                                 SamplingOptions sampling, int64_t max_batch) {
  const FakeTokenizer tokenizer({});
  EngineOptions options;
  options.max_batch = max_batch;
  options.seed = 3;
  options.end_ids = {7};
  return generate(model, tokenizer, asked, sampling, options);
}

}  // namespace

TEST_CASE("fake device: decode attention equals the CPU's, with windows too") {
  fake::start();
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t window : {0, 1, 20, 64, 100}) {
      CAPTURE(window);
      Filled cpu(at::kCPU, dtype, {70, 1, 20}, {{1, 2, 63, 65}, {130, 1}, {7, 7, 90}}),
          fake(kFake, dtype, {70, 1, 20}, {{1, 2, 63, 65}, {130, 1}, {7, 7, 90}});
      const auto n = static_cast<int64_t>(cpu.rows.size());
      const DecodePlan plan(fake.rows);
      for (const int64_t layer : {0, 1}) {
        const Tensor q = at::randn({n, 6, 16}).to(dtype), k = at::randn({n, 2, 16}).to(dtype),
                     v = at::randn({n, 2, 16}).to(dtype);
        const AttentionLaw law{0.25, window, 0.0, layer == 1 ? at::randn({6}) : Tensor()};
        AttentionLaw there = law;
        if (law.sinks.defined()) there.sinks = law.sinks.to(kFake);
        const Tensor expected = decode_attention(q, k, v, cpu.rows, layer, law);
        const Tensor found = plan.attend(q.to(kFake), k.to(kFake), v.to(kFake), layer, there).cpu();
        CHECK(at::allclose(expected.to(at::kFloat), found.to(at::kFloat), 0,
                           dtype == at::kFloat ? 1e-5 : 2e-2));
      }
    }
  }
}

TEST_CASE("fake device: runs keep what they hold while the arena grows, and rooms come back") {
  fake::start();
  const auto shape = KvShape::alike(1, {1, 8}, at::TensorOptions().dtype(at::kFloat).device(kFake));
  KvPool pool(shape);
  std::vector<std::unique_ptr<KvRun>> runs;
  for (int i = 0; i < 5; ++i) runs.push_back(std::make_unique<KvRun>(pool));
  for (int64_t t = 0; t < 300; ++t) {
    for (size_t i = 0; i < runs.size(); ++i) {
      runs[i]->extend(1);
      const Tensor place = at::tensor({runs[i]->stretch().begin + t}, at::kLong).to(kFake);
      pool.arena().keys(0).index_fill_(0, place, static_cast<double>(1000 * i + t));
    }
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    const Tensor held = pool.arena().keys(0).index_select(0, places_of({runs[i].get()})).cpu();
    CHECK(at::equal(held.select(1, 0).select(1, 0),
                    at::arange(300, at::kFloat) + 1000.0 * static_cast<double>(i)));
  }
  const int64_t rows = pool.arena().rows();
  CHECK(rows < 5 * 512 * 3);
  runs.clear();
  KvRun large(pool);
  large.extend(rows);  // all of it is one stretch again
  CHECK(pool.arena().rows() == rows);
}

TEST_CASE("fake device: draws equal the host's") {
  fake::start();
  at::manual_seed(8);
  RandomStream random(5, "draws");
  for (const double temperature : {1.0, 0.6, 0.0}) {
    SamplingOptions options;
    options.temperature = temperature;
    for (const int64_t vocab : {300, 5000}) {
      const Tensor logits = at::randn({64, vocab}) * 3;
      std::vector<std::vector<int64_t>> banned(64);
      std::vector<double> uniform;
      for (size_t b = 0; b < 64; ++b) {
        if (b % 3 == 0) banned[b] = {logits[static_cast<int64_t>(b)].argmax().item<int64_t>(), 3, vocab + 5};
        uniform.push_back(b == 0 ? 0.0 : b == 1 ? std::nextafter(1.0, 0.0) : random.uniform());
      }
      const auto there = sample_tokens(logits.to(kFake), options, banned, uniform);
      for (size_t b = 0; b < 64; ++b) {
        Tensor row = logits[static_cast<int64_t>(b)].clone();
        const SampledToken here =
            sample_token(row.mutable_data_ptr<float>(), vocab, options, {}, banned[b], uniform[b]);
        CHECK(there[b].id == here.id);
        CHECK(there[b].logp == doctest::Approx(here.logp).epsilon(1e-5));
        CHECK(there[b].logp_full == doctest::Approx(here.logp_full).epsilon(1e-5));
      }
    }
  }
  // Each truncation, and all of them together.
  for (const int which : {0, 1, 2, 3, 4, 5, 6}) {
    SamplingOptions cut;
    cut.temperature = 0.8;
    if (which == 0 || which == 6) cut.top_k = 40;
    if (which == 1 || which == 6) cut.top_p = 0.9;
    if (which == 2 || which == 6) cut.min_p = 0.02;
    if (which == 3 || which == 6) cut.typical_p = 0.8;
    if (which == 4 || which == 6) cut.epsilon_cutoff = 3e-3;
    if (which == 5 || which == 6) cut.eta_cutoff = 1e-2;
    CAPTURE(which);
    const Tensor logits = at::randn({200, 1000}) * 2;
    std::vector<std::vector<int64_t>> banned(200, {7});
    std::vector<double> uniform;
    for (int b = 0; b < 200; ++b) uniform.push_back(random.uniform());
    const auto there = sample_tokens(logits.to(kFake), cut, banned, uniform);
    for (size_t b = 0; b < 200; ++b) {
      Tensor row = logits[static_cast<int64_t>(b)].clone();
      const SampledToken here =
          sample_token(row.mutable_data_ptr<float>(), 1000, cut, {}, banned[b], uniform[b]);
      CHECK(there[b].id == here.id);
      CHECK(there[b].logp == doctest::Approx(here.logp).epsilon(1e-4));
      CHECK(there[b].logp_full == doctest::Approx(here.logp_full).epsilon(1e-5));
    }
  }
  SamplingOptions options;
  Tensor broken = at::zeros({2, 10});
  broken[1][4] = std::nan("");
  CHECK_THROWS_WITH_AS(sample_tokens(broken.to(kFake), options, {{}, {}}, {0.5, 0.5}),
                       doctest::Contains("the model has diverged"), UserError);
  CHECK_THROWS_WITH_AS(sample_tokens(at::zeros({1, 2}).to(kFake), options, {{0, 1}}, {0.5}),
                       doctest::Contains("every token is ruled out"), UserError);
}

TEST_CASE("fake device: completions are the CPU's") {
  fake::start();
  const auto asked = requests({3, 1, 70, 12, 5, 64}, 3);
  for (const std::string family : {"llama", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(family);
    const auto cpu = tiny_model(family, "f32", "cpu"), fake = tiny_model(family, "f32", "fake");
    for (const bool truncated : {false, true}) {
      SamplingOptions sampling;
      sampling.max_new_tokens = 30;
      sampling.min_new_tokens = 2;
      if (truncated) sampling.top_p = 0.9, sampling.repetition_penalty = 1.1;
      const auto expected = completions(*cpu, asked, sampling, 7),
                 found = completions(*fake, asked, sampling, 7);
      for (size_t r = 0; r < asked.size(); ++r) {
        for (size_t i = 0; i < expected[r].size(); ++i) {
          CHECK(found[r][i].ids == expected[r][i].ids);
          CHECK(found[r][i].finish == expected[r][i].finish);
          for (size_t t = 0; t < found[r][i].logp.size() && t < expected[r][i].logp.size(); ++t)
            CHECK(found[r][i].logp[t] == doctest::Approx(expected[r][i].logp[t]).epsilon(1e-3));
        }
      }
    }
  }
}

TEST_CASE("fake device: recorded steps draw what plain ones draw") {
  fake::start();
  const auto asked = requests({3, 1, 70, 12, 5}, 3);
  const auto model = tiny_model("llama", "bf16", "fake");
  for (const double temperature : {1.0, 0.0}) {
    for (const int64_t at_least : {0, 5}) {
      SamplingOptions sampling;
      sampling.temperature = temperature;
      sampling.max_new_tokens = 20;
      sampling.min_new_tokens = at_least;
      CHECK(RecordedSteps::can(*model, sampling, 100));
      const auto recorded = completions(*model, asked, sampling, 6);
      sampling.ban = {"a text that never comes"};
      CHECK_FALSE(RecordedSteps::can(*model, sampling, 100));
      const auto plain = completions(*model, asked, sampling, 6);
      int64_t ended = 0;
      for (size_t r = 0; r < asked.size(); ++r) {
        for (size_t i = 0; i < plain[r].size(); ++i) {
          CHECK(recorded[r][i].ids == plain[r][i].ids);
          for (size_t t = 0; t < plain[r][i].logp.size() && t < recorded[r][i].logp.size(); ++t)
            CHECK(recorded[r][i].logp[t] == doctest::Approx(plain[r][i].logp[t]).epsilon(1e-4));
          CHECK(static_cast<int64_t>(plain[r][i].ids.size()) >= at_least);
          ended += plain[r][i].finish == FinishReason::kEnd;
        }
      }
      if (temperature > 0) CHECK(ended > 0);  // batches of many sizes
    }
  }
  // What cannot be recorded is decoded plainly, with the same draws.
  struct Unrecordable : LinearDelta {
    at::Tensor apply(const std::vector<int64_t>&, const std::vector<int64_t>&, const at::Tensor& x,
                     const at::Tensor& y, bool) override {
      if (x.size(0) <= 6 && ++small == 3)
        throw CannotRecord("this waits for the device");  // a step, no prompts
      return y;
    }
    int64_t small = 0;
  } unrecordable;
  SamplingOptions sampling;
  sampling.max_new_tokens = 8;
  const auto long_prompts = requests({30, 40}, 3);
  const auto wanted = completions(*model, long_prompts, sampling, 6);
  model->set_delta(&unrecordable);
  const auto found = completions(*model, long_prompts, sampling, 6);
  model->set_delta(nullptr);
  CHECK(unrecordable.small > 3);
  for (size_t r = 0; r < wanted.size(); ++r)
    for (size_t i = 0; i < wanted[r].size(); ++i) CHECK(found[r][i].ids == wanted[r][i].ids);
  const auto windowed = tiny_model("mistral", "bf16", "fake");
  CHECK_FALSE(RecordedSteps::can(*windowed, {}, 100));
  CHECK(RecordedSteps::can(*windowed, {}, 6));
}

TEST_CASE("fake device: a decoding step costs the same operators for 8 sequences and for 64") {
  fake::start();
  for (const std::string dtype : {"f32", "bf16"}) {
    const auto model = tiny_model("llama", dtype, "fake");
    const auto cost = [&](int64_t samples, int64_t tokens) {
      SamplingOptions sampling;
      sampling.min_new_tokens = sampling.max_new_tokens = tokens;
      const fake::Counters before = fake::counters();
      completions(*model, requests({10, 10, 10, 10}, samples), sampling, 4 * samples);
      const fake::Counters& after = fake::counters();
      return std::array<int64_t, 4>{after.operators - before.operators,
                                    after.scalars_read - before.scalars_read, after.to_host - before.to_host,
                                    after.to_device - before.to_device};
    };
    const auto steps = [&](int64_t samples) {  // of 20 steps, no stretch among them that grows
      auto more = cost(samples, 30);
      const auto fewer = cost(samples, 10);
      for (size_t i = 0; i < more.size(); ++i) more[i] -= fewer[i];
      return more;
    };
    const auto few = steps(2), many = steps(16);
    MESSAGE(dtype << ": a step of 2 layers: " << few[0] / 20.0 << " operators, " << few[1] / 20.0
                  << " scalars read, " << few[2] / 20.0 << " copies to the host, " << few[3] / 20.0
                  << " to the device");
    CHECK(many == few);
    CHECK(few[1] == 0);
    CHECK(few[2] == 20);  // the drawn tokens
    CHECK(few[0] <= 20 * (2 * 60 + 40));
  }
}
