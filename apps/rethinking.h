// temper-eval --rethink: each answer is given to the model again, with its question, to answer anew.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "eval/evaluate.h"
#include "eval/rethink.h"
#include "questions.h"
#include "rollout/engine.h"

namespace temper {

// The answers of round `round` (1: the first time again) to those of the round before, [prompt][sample] of
// q.prompts. One whose question became too long stays as it was; `kept` counts these.
inline std::vector<std::vector<Completion>> asked_anew(const Questions& q, const EvalResult& before,
                                                       uint64_t round, Model& model,
                                                       const Tokenizer& tokenizer,
                                                       const SamplingOptions& sampling, EngineOptions engine,
                                                       const std::function<void(const EngineProgress&)>& show,
                                                       size_t& kept) {
  std::vector<std::vector<Completion>> out(q.prompts.size());
  std::vector<GenerateRequest> requests;
  std::vector<std::pair<size_t, size_t>> places;
  for (const EvalSample& sample : before.samples) {
    const auto p = static_cast<size_t>(sample.prompt);
    auto ids = q.encoder->prompt(asked_again(q.records[p], sample.completion.text));
    if (ids.empty()) {
      ++kept;
    } else {
      requests.push_back({std::move(ids), 1, requests.size()});
      places.emplace_back(p, out[p].size());
    }
    out[p].push_back(sample.completion);
  }
  engine.step = round;
  auto completions = generate(model, tokenizer, requests, sampling, engine, show);
  for (size_t i = 0; i < places.size(); ++i)
    out[places[i].first][places[i].second] = std::move(completions[i][0]);
  return out;
}

// The rounds behind the first, into its figures as "round <r>/<name>", r from 2; each round's result.
inline std::vector<EvalResult> think_again(const EvalArguments& a, const Questions& q, EvalResult& first,
                                           Model& model, const Tokenizer& tokenizer,
                                           const EngineOptions& engine,
                                           const std::function<void(const EngineProgress&)>& show,
                                           const std::function<void()>& check_signal) {
  std::vector<EvalResult> rounds;
  for (int64_t r = 1; r <= a.rethink; ++r) {
    size_t kept = 0;
    auto completions = asked_anew(q, rounds.empty() ? first : rounds.back(), static_cast<uint64_t>(r), model,
                                  tokenizer, a.sampling, engine, show, kept);
    if (kept > 0)
      log_warning(
          "--rethink: in round {} {} questions with their answers are longer than --max-prompt-tokens {}; "
          "these answers stay",
          r + 1, kept, a.max_tokens);
    rounds.push_back(score_completions(
        q.prompts, std::move(completions), *q.rewards, a.eval,
        [&](const std::vector<RewardItem>& items) { return q.rewards->score(items, check_signal); }));
    for (Figure figure : rounds.back().figures) {
      figure.name = fmt::format("round {}/{}", r + 1, figure.name);
      first.figures.push_back(std::move(figure));
    }
  }
  return rounds;
}

}  // namespace temper
