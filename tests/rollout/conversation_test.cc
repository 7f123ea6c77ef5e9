// Conversations: turns of the policy with answers between them.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"
#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/tiny_model.h"
#include "tensor/logp.h"
#include "tensor/packed.h"
#include "test.h"

using namespace temper;

namespace {

// What is answered to turn number `turn` of a sequence, a function of what was written; nothing: it is over.
std::vector<int64_t> scripted(size_t request, int64_t sample, int64_t turn, const PolicyTurn& said) {
  const auto talks = static_cast<int64_t>((request + static_cast<size_t>(sample)) % 4);
  if (turn >= talks) return {};
  std::vector<int64_t> out;
  const int64_t length = 1 + (said.tokens + 3 * turn) % 6;
  for (int64_t i = 0; i < length; ++i) out.push_back(1 + (said.last_id + 7 * i + turn) % 30);
  return out;
}

class Scripted : public Respondent {
 public:
  explicit Scripted(int64_t patience) : patience_(patience) {}
  void ended(size_t request, int64_t sample, const PolicyTurn& turn) override {
    said_[{request, sample}].push_back(turn);
  }
  std::vector<int64_t> answer(size_t request, int64_t sample) override {
    const auto& turns = said_[{request, sample}];
    if (turns.back().last) return {1};  // is not read
    return scripted(request, sample, static_cast<int64_t>(turns.size()) - 1, turns.back());
  }
  int64_t patience() const override { return patience_; }
  int64_t turn_tokens(size_t request, int64_t) override { return request == 2 ? 3 : 1000; }
  Conversation conversation(size_t request, int64_t sample) override {
    Conversation out;
    out.rewards.assign(said_[{request, sample}].size(), 1.0);
    return out;
  }
  std::map<std::pair<size_t, int64_t>, std::vector<PolicyTurn>> said_;

 private:
  int64_t patience_;
};

std::vector<GenerateRequest> some_prompts() {
  RandomStream random(1, "prompts");
  std::vector<GenerateRequest> out;
  for (const int64_t length : {3, 1, 70, 12, 5}) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i) request.prompt.push_back(static_cast<int64_t>(1 + random.below(30)));
    request.samples = 4;
    request.stream_index = out.size();
    out.push_back(request);
  }
  return out;
}

SamplingOptions some_sampling() {
  SamplingOptions sampling;
  sampling.max_new_tokens = 60;
  return sampling;
}

EngineOptions some_options(Respondent& respondent, int64_t max_batch) {
  EngineOptions options;
  options.max_batch = max_batch, options.seed = 9, options.end_ids = {0, 33, 12, 20, 3, 17};
  options.respondent = &respondent;
  return options;
}

// log p of the policy's tokens of a completion, by one training pass over its ids, fp32.
at::Tensor trained_logp(Model& model, const GenerateRequest& request, const Completion& c) {
  const at::NoGradGuard guard;
  Packer packer;
  const int64_t prompt = packer.add_segment(request.prompt);
  const int64_t own = packer.add_segment(c.ids, prompt);
  for (const Turn& turn : c.turns) packer.add_targets(own, turn.begin, turn.end, 0);
  const PackedTokens tokens = packer.tokens_on(at::kCPU);
  const Targets targets = packer.targets_on(at::kCPU, 1);
  return selective_logp(model.hidden(tokens), model.head().compute, model.head().master, targets, {}).logp;
}

}  // namespace

TEST_CASE("a conversation is what recomputing it from its start gives, and training sees its log-probs") {
  const Letters letters;
  size_t given = 0, several = 0;
  for (const std::string family : {"llama", "mistral", "qwen3"}) {
    CAPTURE(family);
    const auto model = tiny_model(family);
    const auto requests = some_prompts();
    Scripted respondent(0);
    const SamplingOptions sampling = some_sampling();
    const auto all = generate(*model, letters, requests, sampling, some_options(respondent, 6));
    for (size_t r = 0; r < all.size(); ++r) {
      for (size_t s = 0; s < all[r].size(); ++s) {
        const Completion& c = all[r][s];
        const auto& said = respondent.said_[{r, static_cast<int64_t>(s)}];
        REQUIRE(c.turns.size() == said.size());
        CHECK(c.conversation->rewards.size() == said.size());
        // Between the turns stands what was answered and nothing else.
        int64_t at = 0;
        for (size_t t = 0; t < said.size(); ++t) {
          CHECK(c.turns[t].begin == at);
          CHECK(c.turns[t].end - c.turns[t].begin == said[t].tokens);
          CHECK(c.turns[t].finish == said[t].finish);
          CHECK(c.ids[c.turns[t].end - 1] == said[t].last_id);
          CHECK(said[t].raw_text ==
                letters.decode({c.ids.begin() + c.turns[t].begin, c.ids.begin() + c.turns[t].end}, true));
          if (r == 2) CHECK(said[t].tokens <= 3);
          at = c.turns[t].end;
          if (t + 1 == said.size()) break;
          for (const int64_t id : scripted(r, static_cast<int64_t>(s), static_cast<int64_t>(t), said[t]))
            CHECK(c.ids[at++] == id);
        }
        CHECK(at == static_cast<int64_t>(c.ids.size()));
        CHECK(c.text == said.back().text);
        CHECK(c.ids.size() <= 60);
        several += c.turns.size() > 1 ? 1 : 0;
        // Given tokens have no log-prob; those of the others are the trainer's.
        std::vector<float> drawn;
        for (size_t i = 0; i < c.ids.size(); ++i) {
          if (std::isnan(c.logp_full[i]))
            ++given;
          else
            drawn.push_back(c.logp_full[i]);
        }
        const at::Tensor expected = trained_logp(*model, requests[r], c);
        REQUIRE(expected.size(0) == static_cast<int64_t>(drawn.size()));
        CHECK((at::tensor(drawn) - expected).abs().max().item<double>() <
              1e-5 * (1 + expected.abs().max().item<double>()));
      }
    }
  }
  CHECK(several > 24);
  CHECK(given > 90);
}

TEST_CASE("neither the batch nor the patience with answers changes a token") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto requests = some_prompts();
  const SamplingOptions sampling = some_sampling();
  Scripted at_once(0);
  const auto expected = generate(*model, letters, requests, sampling, some_options(at_once, 6));
  for (const int64_t max_batch : {1, 3, 64}) {
    for (const int64_t patience : {0, 1, 5, 1000}) {
      CAPTURE(max_batch);
      CAPTURE(patience);
      Scripted respondent(patience);
      const auto got = generate(*model, letters, requests, sampling, some_options(respondent, max_batch));
      for (size_t r = 0; r < got.size(); ++r)
        for (size_t s = 0; s < got[r].size(); ++s) CHECK(got[r][s].ids == expected[r][s].ids);
    }
  }
}

TEST_CASE("an answer that leaves no room for another token ends the conversation for its length") {
  const Letters letters;
  const auto model = tiny_model("llama");
  struct Endless : Scripted {
    Endless() : Scripted(0) {}
    std::vector<int64_t> answer(size_t, int64_t) override { return std::vector<int64_t>(17, 5); }
  } respondent;
  auto options = some_options(respondent, 8);
  const auto all = generate(*model, letters, some_prompts(), some_sampling(), options);
  for (const auto& completions : all) {
    for (const Completion& c : completions) {
      CHECK(c.finish == FinishReason::kLength);
      CHECK(c.turns.back().end == static_cast<int64_t>(c.ids.size()));
      // It was full, or the answer did not fit behind what there is.
      CHECK((c.ids.size() == 60 || c.ids.size() + 17 >= 60));
    }
  }
}

TEST_CASE("stop strings and least lengths count in each turn") {
  const Letters letters;
  const auto model = tiny_model("llama");
  SamplingOptions sampling = some_sampling();
  sampling.stop = {"a", "b", "c", "d", "e", "f", "g", "h"};
  sampling.min_new_tokens = 4;
  Scripted respondent(0);
  generate(*model, letters, some_prompts(), sampling, some_options(respondent, 8));
  size_t stopped = 0, later = 0;
  for (const auto& [who, said] : respondent.said_) {
    for (size_t t = 0; t < said.size(); ++t) {
      if (said[t].finish != FinishReason::kStop) continue;
      CHECK(said[t].tokens >= 4);
      ++stopped;
      later += t > 0 ? 1 : 0;
      CHECK(said[t].raw_text.starts_with(said[t].text));
      CHECK(said[t].text.size() < said[t].raw_text.size());
    }
  }
  CHECK(stopped > 4);
  CHECK(later > 2);
}

namespace {

// A first turn with an end of its own, behind which the sequence goes on with `words`, or without any.
struct Ends : Respondent {
  Ends(std::string end, std::vector<int64_t> words, bool drops)
      : end(std::move(end)), words(std::move(words)), drops(drops) {}
  void ended(size_t request, int64_t sample, const PolicyTurn& turn) override {
    said[{request, sample}].push_back(turn);
  }
  bool goes_on(size_t request, int64_t sample) {
    const auto& turns = said[{request, sample}];
    return turns.size() == 1 && turns[0].before_end;
  }
  std::vector<int64_t> answer(size_t request, int64_t sample) override {
    return goes_on(request, sample) ? words : std::vector<int64_t>();
  }
  Joint joint(size_t request, int64_t sample) override {
    return {goes_on(request, sample), goes_on(request, sample) && drops};
  }
  std::string turn_end(size_t request, int64_t sample) override {
    return said[{request, sample}].empty() ? end : "";
  }
  Conversation conversation(size_t, int64_t) override { return {}; }
  std::string end;
  std::vector<int64_t> words;
  bool drops;
  std::map<std::pair<size_t, int64_t>, std::vector<PolicyTurn>> said;
};

}  // namespace

TEST_CASE("a turn's own end: going on behind it changes no token, and it can be taken back") {
  const Letters letters;
  const auto model = tiny_model("llama");
  const auto requests = some_prompts();
  const SamplingOptions sampling = some_sampling();
  Ends none("", {}, false);
  auto options = some_options(none, 7);
  const auto plain = generate(*model, letters, requests, sampling, options);
  // Two letters that were written somewhere in the middle.
  std::string end;
  for (const auto& samples : plain) {
    for (const Completion& c : samples) {
      if (c.ids.size() > 12) end = letters.decode({c.ids[6], c.ids[7]}, true);
    }
  }
  REQUIRE(end.size() == 2);

  Ends open(end, {}, false);
  options.respondent = &open;
  const auto gone_on = generate(*model, letters, requests, sampling, options);
  Ends other(end, {9, 10, 11}, true);
  options.respondent = &other;
  const auto replaced = generate(*model, letters, requests, sampling, options);
  int64_t seen = 0;
  for (size_t r = 0; r < plain.size(); ++r) {
    for (size_t s = 0; s < plain[r].size(); ++s) {
      CHECK(gone_on[r][s].ids == plain[r][s].ids);
      CHECK(gone_on[r][s].logp_full == plain[r][s].logp_full);
      const PolicyTurn& first = open.said[{r, static_cast<int64_t>(s)}].front();
      CHECK(first.before_end.has_value() == (first.raw_text.find(end) != std::string::npos));
      if (!first.before_end) continue;
      ++seen;
      CHECK(first.finish == FinishReason::kStop);
      CHECK(first.text == *first.before_end + end);
      REQUIRE(gone_on[r][s].turns.size() == 2);
      CHECK(gone_on[r][s].turns[0].end == gone_on[r][s].turns[1].begin);

      const Completion& c = replaced[r][s];
      const int64_t kept = first.tokens - 2;
      REQUIRE(c.turns.size() == 2);
      CHECK(c.turns[0].end == kept);
      CHECK(c.turns[1].begin == kept + 3);
      std::vector<int64_t> expected(plain[r][s].ids.begin(), plain[r][s].ids.begin() + kept);
      expected.insert(expected.end(), {9, 10, 11});
      CHECK(std::equal(expected.begin(), expected.end(), c.ids.begin()));
      // What was taken back has left nothing in the cache.
      std::vector<float> drawn;
      for (const float logp : c.logp_full)
        if (!std::isnan(logp)) drawn.push_back(logp);
      const at::Tensor trained = trained_logp(*model, requests[r], c);
      REQUIRE(trained.size(0) == static_cast<int64_t>(drawn.size()));
      CHECK((at::tensor(drawn) - trained).abs().max().item<double>() < 1e-4);
    }
  }
  CHECK(seen >= 1);
}
