#include "train/micro_batch.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/random.h"
#include "model/model.h"
#include "test.h"

using namespace temper;

namespace {

// Groups of ragged completions, some with masked targets, one empty, and one sequence without a prompt.
struct Step {
  std::vector<std::vector<int64_t>> prompts, completions;
  std::vector<std::vector<bool>> targets;
  std::vector<Sequence> sequences;

  explicit Step(int64_t vocab) {
    uint64_t next = 7;
    auto draw = [&](int64_t below) {
      next = next * 6364136223846793005ULL + 1442695040888963407ULL;
      return static_cast<int64_t>((next >> 33) % static_cast<uint64_t>(below));
    };
    auto tokens = [&](int64_t length) {
      std::vector<int64_t> out;
      for (int64_t i = 0; i < length; ++i) out.push_back(draw(vocab));
      return out;
    };
    const std::vector<int64_t> prompt_lengths = {5, 1, 9, 0};
    std::vector<int64_t> group_of;
    for (size_t g = 0; g < prompt_lengths.size(); ++g) {
      prompts.push_back(tokens(prompt_lengths[g]));
      for (int64_t i = 0; i < (g == 3 ? 1 : 4); ++i) {
        completions.push_back(tokens(g == 1 && i == 2 ? 0 : 1 + draw(12)));
        std::vector<bool> mask;
        for (size_t t = 0; t < completions.back().size(); ++t) mask.push_back(draw(4) != 0);
        targets.push_back(mask);
        group_of.push_back(static_cast<int64_t>(g));
      }
    }
    for (size_t i = 0; i < completions.size(); ++i) {
      sequences.push_back(
          {&prompts[group_of[i]], &completions[i], i % 3 == 0 ? &targets[i] : nullptr, group_of[i]});
    }
  }
  int64_t length(size_t i) const {
    return static_cast<int64_t>(sequences[i].prompt->size() + sequences[i].completion->size());
  }
};

ModelConfig tiny() {
  ModelConfig c;
  c.family = "llama";
  c.vocab = 50;
  c.hidden = 16;
  c.intermediate = 24;
  c.layers = 2;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 8;
  c.tied = true;
  return c;
}

std::vector<int64_t> ids_of(const at::Tensor& t) {
  return {t.const_data_ptr<int64_t>(), t.const_data_ptr<int64_t>() + t.numel()};
}

// What is predicted, in order: (sequence of the step, token).
std::vector<std::pair<int64_t, int64_t>> predictions(const std::vector<MicroBatch>& batches) {
  std::vector<std::pair<int64_t, int64_t>> out;
  for (const MicroBatch& b : batches) {
    const auto tokens = ids_of(b.targets.token), owners = ids_of(b.targets.sequence);
    for (size_t m = 0; m < tokens.size(); ++m) out.emplace_back(b.sequences[owners[m]], tokens[m]);
  }
  return out;
}

const std::vector<int64_t> kBudgets = {1, 7, 16, 20, 33, 64, 1000000};

}  // namespace

TEST_CASE("micro-batches hold every sequence once, in order, within the budget") {
  const Step step(50);
  for (const int64_t budget : kBudgets) {
    for (const bool share : {false, true}) {
      CAPTURE(budget);
      CAPTURE(share);
      const auto batches = cut_into_micro_batches(step.sequences, budget, share, at::kCPU);
      int64_t next = 0;
      for (const MicroBatch& b : batches) {
        REQUIRE_FALSE(b.sequences.empty());
        for (const int64_t s : b.sequences) CHECK(s == next++);
        CHECK(b.tokens.tokens() == b.tokens.ids.size(0));
        CHECK(b.targets.sequences == static_cast<int64_t>(b.sequences.size()));
        if (b.sequences.size() > 1) CHECK(b.tokens.tokens() <= budget);
        if (b.sequences.size() == 1) CHECK(b.tokens.tokens() == step.length(b.sequences[0]));
      }
      CHECK(next == static_cast<int64_t>(step.sequences.size()));
    }
  }
  CHECK(cut_into_micro_batches({}, 10, true, at::kCPU).empty());
}

TEST_CASE("sharing stores a group's prompt once; a budget that fits is filled") {
  const Step step(50);
  int64_t alone = 0, shared = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    alone += step.length(i);
    const bool first = i == 0 || step.sequences[i].group != step.sequences[i - 1].group;
    shared +=
        static_cast<int64_t>(step.completions[i].size() + (first ? step.sequences[i].prompt->size() : 0));
  }
  for (const auto& [share, tokens] : {std::pair{false, alone}, std::pair{true, shared}}) {
    const auto one = cut_into_micro_batches(step.sequences, tokens, share, at::kCPU);
    REQUIRE(one.size() == 1);  // exactly full
    CHECK(one[0].tokens.tokens() == tokens);
    CHECK(cut_into_micro_batches(step.sequences, tokens - 1, share, at::kCPU).size() == 2);
  }
}

TEST_CASE("joined sequences stay together, whatever their size") {
  Step step(50);
  for (size_t i = 1; i < step.sequences.size(); ++i)
    step.sequences[i].joined = step.sequences[i].group == step.sequences[i - 1].group;
  for (const int64_t budget : {1, 30, 1000}) {
    const auto batches = cut_into_micro_batches(step.sequences, budget, false, at::kCPU);
    CHECK(batches.size() == (budget == 1 ? 4 : budget == 1000 ? 1 : batches.size()));
    for (size_t b = 0; b + 1 < batches.size(); ++b) {
      CHECK(step.sequences[batches[b].sequences.back()].group !=
            step.sequences[batches[b + 1].sequences.front()].group);
    }
  }
}

TEST_CASE("what is read in the place of a completion leaves the targets as they are") {
  Step step(50);
  const auto plain = cut_into_micro_batches(step.sequences, 1000, false, at::kCPU);
  std::vector<std::vector<int64_t>> other = step.completions;
  for (auto& ids : other) {
    for (int64_t& id : ids) id = 49 - id;
  }
  for (size_t i = 0; i < step.sequences.size(); i += 2) step.sequences[i].input = &other[i];
  const auto changed = cut_into_micro_batches(step.sequences, 1000, false, at::kCPU);
  CHECK(at::equal(plain[0].targets.token, changed[0].targets.token));
  CHECK(at::equal(plain[0].tokens.positions, changed[0].tokens.positions));
  std::vector<int64_t> expected;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const Sequence& s = step.sequences[i];
    expected.insert(expected.end(), s.prompt->begin(), s.prompt->end());
    const auto& read = s.input != nullptr ? *s.input : *s.completion;
    expected.insert(expected.end(), read.begin(), read.end());
  }
  CHECK(at::equal(changed[0].tokens.ids, at::tensor(expected, at::kLong)));
}

TEST_CASE("targets do not depend on the budget or on sharing") {
  const Step step(50);
  std::vector<std::pair<int64_t, int64_t>> expected;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    for (size_t t = 0; t < step.completions[i].size(); ++t) {
      const bool predictable = t > 0 || !step.sequences[i].prompt->empty();
      const bool chosen = step.sequences[i].target == nullptr || step.targets[i][t];
      if (predictable && chosen) expected.emplace_back(static_cast<int64_t>(i), step.completions[i][t]);
    }
  }
  for (const int64_t budget : kBudgets) {
    for (const bool share : {false, true}) {
      CAPTURE(budget);
      CAPTURE(share);
      CHECK((predictions(cut_into_micro_batches(step.sequences, budget, share, at::kCPU)) == expected));
    }
  }
}

TEST_CASE("loss and gradient do not depend on the budget or on sharing") {
  const Step step(50);
  const auto model = Model::initialise(tiny(), make_precision("f32", "cpu"), 3);
  model->set_trainable([](const std::string&) { return true; });
  std::vector<double> losses;
  std::vector<std::vector<at::Tensor>> gradients;
  for (const int64_t budget : kBudgets) {
    for (const bool share : {false, true}) {
      double loss = 0;
      for (const MicroBatch& b : cut_into_micro_batches(step.sequences, budget, share, at::kCPU)) {
        if (b.targets.token.size(0) == 0) continue;
        // Sequences weigh differently, so that one that is mixed up with another shows.
        const at::Tensor weight = at::tensor(b.sequences, at::kLong).to(at::kFloat) + 1;
        const at::Tensor part =
            -(model_logp(*model, b.tokens, b.targets).logp * gather_sequence(weight, b.targets.sequence))
                 .sum() /
            500;
        loss += part.item<double>();
        torch::autograd::backward({part}, {});
      }
      losses.push_back(loss);
      auto& own = gradients.emplace_back();
      for (Parameter* p : model->parameters()) {
        REQUIRE(p->master.grad().defined());
        own.push_back(p->master.grad().clone());
        p->master.mutable_grad() = at::Tensor();
      }
    }
  }
  CHECK(losses[0] > 1.0);
  for (size_t i = 1; i < losses.size(); ++i) {
    CAPTURE(i);
    CHECK(losses[i] == doctest::Approx(losses[0]).epsilon(1e-6));
    for (size_t p = 0; p < gradients[0].size(); ++p) {
      const double scale = gradients[0][p].abs().max().item<double>();
      CHECK(scale > 0);
      CHECK((gradients[i][p] - gradients[0][p]).abs().max().item<double>() < 1e-6 * std::max(1.0, scale));
    }
  }
}
