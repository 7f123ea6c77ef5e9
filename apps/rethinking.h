// temper-eval --rethink: each answer is given to the model again, with its question, to answer anew.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "eval/evaluate.h"
#include "eval/rethink.h"
#include "questions.h"
#include "rollout/engine.h"

namespace temper {

using GenerateAnswers =
    std::function<std::vector<std::vector<Completion>>(const std::vector<GenerateRequest>&)>;

// Answers to the questions of `before` with the answers that were given, [prompt][sample] of q.prompts. One
// whose question became longer than max_tokens stays as it was, which is told.
inline std::vector<std::vector<Completion>> asked_anew(const Questions& q, const EvalResult& before,
                                                       int64_t max_tokens, const GenerateAnswers& generate) {
  std::vector<std::vector<Completion>> out(q.prompts.size());
  std::vector<GenerateRequest> requests;
  std::vector<std::pair<size_t, size_t>> places;
  for (const EvalSample& sample : before.samples) {
    const auto p = static_cast<size_t>(sample.prompt);
    auto ids = q.encoder->prompt(asked_again(q.records[p], sample.completion.text));
    if (!ids.empty()) {
      requests.push_back({std::move(ids), 1, requests.size()});
      requests.back().constraint = q.constraints[p];
      places.emplace_back(p, out[p].size());
    }
    out[p].push_back(sample.completion);
  }
  if (requests.size() < before.samples.size())
    log_warning(
        "--rethink: {} questions with their answers are longer than --max-prompt-tokens {}; these answers "
        "stay",
        before.samples.size() - requests.size(), max_tokens);
  auto completions = generate(requests);
  for (size_t i = 0; i < places.size(); ++i)
    out[places[i].first][places[i].second] = std::move(completions[i][0]);
  return out;
}

// The figures of the last of `results` into those of the first, as "round <round>/<name>".
inline void add_round(std::vector<EvalResult>& results, int64_t round) {
  for (Figure figure : results.back().figures) {
    figure.name = fmt::format("round {}/{}", round, figure.name);
    results.front().figures.push_back(std::move(figure));
  }
}

}  // namespace temper
