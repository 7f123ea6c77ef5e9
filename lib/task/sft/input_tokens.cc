// Input transforms that make the model read other tokens than those it is to predict; labels never change.
//   masked_thought  each token of the response is read as `token`, or as a random one, with a probability
//                   that rises from 0 to `probability` over the share `rise` of training. arXiv 2403.02178
//   bash            the same with tokens drawn from the model itself: y^_t from pi(. | x, y_<t), one pass
//                   over the gold example, in the place of y_t with `probability` from the first step on.
//                   arXiv 2410.14655; the paper's alignment of generated tokens could not be checked, so this
//                   one is Temper's own
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "task/sft/input_kinds.h"
#include "train/session.h"

namespace temper {
namespace {

struct ReplaceOptions : InputOptions {
  double probability = 0.4, rise = 2.0 / 3.0;
  void fields(FieldVisitor& v) override {
    v.field("probability", probability, {.help = "of each token, in the end", .min = 0, .max = 1});
    v.field("rise", rise,
            {.help = "share of training over which it rises from 0; 0: at once", .min = 0, .max = 1});
  }
  // At the session's step, as in the code of masked_thought.
  double now(const Session& s) const {
    if (rise == 0) return probability;
    const double rising = rise * static_cast<double>(s.config.train.steps) + 1;
    return probability * std::min(1.0, static_cast<double>(s.state.step) / rising);
  }
};

// Calls replace(random, place) for the places of the example's targets that are drawn; each example and each
// purpose has its own stream.
template <class F>
void for_each_replaced(const Session& s, const char* purpose, double probability, size_t index,
                       const Example& e, const F& replace) {
  RandomStream random(static_cast<uint64_t>(s.config.seed), purpose, static_cast<uint64_t>(s.state.step),
                      index);
  for (size_t t = 0; t < e.ids.size(); ++t) {
    if (e.target[t] && random.uniform() < probability) replace(random, t);
  }
}

// ------------------------------------------------------------------------------------------- masked_thought

struct MaskedThoughtOptions : ReplaceOptions {
  std::string token;
  void fields(FieldVisitor& v) override {
    ReplaceOptions::fields(v);
    v.field("token", token, {.help = "what is read instead, a token of the tokenizer; empty: random tokens"});
  }
  std::unique_ptr<InputTransform> make() const override;
};

struct MaskedThought : InputTransform {
  explicit MaskedThought(MaskedThoughtOptions o) : options(std::move(o)) {}
  void records(Session& s) override {
    if (options.token.empty()) return;
    mask = s.tokenizer->id(options.token);
    if (!mask) {
      user_error(
          "inputs.masked_thought.token: the tokenizer has no token \"{}\"; name one that it has, such as its "
          "padding token, or leave it out for random tokens",
          options.token);
    }
  }
  void step(Session& s, std::vector<Drawn>& drawn) override {
    const auto vocabulary = static_cast<uint64_t>(s.tokenizer->vocab_size());
    for (size_t i = 0; i < drawn.size(); ++i) {
      RewardedExample& e = drawn[i].example;
      if (e.input.empty()) e.input = e.ids;
      for_each_replaced(s, "masked_thought", options.now(s), i, e, [&](RandomStream& random, size_t t) {
        e.input[t] = mask ? *mask : static_cast<int64_t>(random.below(vocabulary));
      });
    }
  }
  MaskedThoughtOptions options;
  std::optional<int64_t> mask;
};

std::unique_ptr<InputTransform> MaskedThoughtOptions::make() const {
  return std::make_unique<MaskedThought>(*this);
}

// ----------------------------------------------------------------------------------------------------- bash

struct BashOptions : ReplaceOptions {
  double temperature = 1;
  BashOptions() {
    probability = 0.2;
    rise = 0;
  }
  void fields(FieldVisitor& v) override {
    ReplaceOptions::fields(v);
    v.field("temperature", temperature, {.help = "of the model's tokens; 0: the most probable", .min = 0});
  }
  std::unique_ptr<InputTransform> make() const override;
};

struct Bash : InputTransform {
  explicit Bash(BashOptions o) : options(std::move(o)) {}

  // A token to replace: where it is read, and the row of hidden states that predicts it.
  struct Place {
    size_t example, token;
    int64_t row;
    double uniform;
  };

  void step(Session& s, std::vector<Drawn>& drawn) override {
    if (options.now(s) == 0) return;
    at::NoGradGuard guard;
    const auto span = s.phases->in(Phase::kForward);
    std::vector<Sequence> sequences;
    const std::vector<int64_t> no_prompt;
    for (size_t i = 0; i < drawn.size(); ++i)
      sequences.push_back({&no_prompt, &drawn[i].example.ids, nullptr, static_cast<int64_t>(i)});
    for (const MicroBatch& batch : s.pack(sequences, false)) {
      std::vector<Place> places;
      int64_t begin = 0;
      for (const int64_t i : batch.sequences) {
        const Example& e = drawn[i].example;
        for_each_replaced(s, "bash", options.now(s), i, e, [&](RandomStream& random, size_t t) {
          if (t > 0)
            places.push_back(
                {static_cast<size_t>(i), t, begin + static_cast<int64_t>(t) - 1, random.uniform()});
        });
        begin += static_cast<int64_t>(e.ids.size());
      }
      if (!places.empty()) replace(s, s.model->hidden(batch.tokens), places, drawn);
    }
  }

  void replace(Session& s, const at::Tensor& hidden, const std::vector<Place>& places,
               std::vector<Drawn>& drawn) const {
    constexpr size_t kRows = 64;  // of logits at a time
    SamplingOptions sampling;
    sampling.temperature = options.temperature;
    for (size_t first = 0; first < places.size(); first += kRows) {
      const size_t last = std::min(places.size(), first + kRows);
      std::vector<int64_t> rows;
      for (size_t p = first; p < last; ++p) rows.push_back(places[p].row);
      at::Tensor logits =
          s.model->logits(hidden.index_select(0, at::tensor(rows, at::kLong).to(hidden.device())))
              .to(at::kCPU)
              .contiguous();
      for (size_t p = first; p < last; ++p) {
        float* row = logits.mutable_data_ptr<float>() + static_cast<int64_t>(p - first) * logits.size(1);
        RewardedExample& e = drawn[places[p].example].example;
        if (e.input.empty()) e.input = e.ids;
        e.input[places[p].token] = sample_token(row, logits.size(1), sampling, {}, {}, places[p].uniform).id;
      }
    }
  }

  BashOptions options;
};

std::unique_ptr<InputTransform> BashOptions::make() const {
  return std::make_unique<Bash>(*this);
}

}  // namespace

std::unique_ptr<InputOptions> masked_thought_input() {
  return std::make_unique<MaskedThoughtOptions>();
}
std::unique_ptr<InputOptions> bash_input() {
  return std::make_unique<BashOptions>();
}

}  // namespace temper
