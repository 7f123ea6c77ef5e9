#include "eval/evaluate.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "eval/diversity.h"
#include "eval/figures.h"
#include "eval/further.h"

namespace temper {
namespace {

constexpr int64_t kTotal = -1;  // correctness by the combined reward

int64_t verifier_index(const RewardSet& rewards, const EvalOptions& options) {
  if (options.correct_by.empty()) return rewards.answering().value_or(kTotal);
  return reward_index(rewards.names(), options.correct_by, "correct_by");
}

}  // namespace

std::vector<GenerateRequest> eval_requests(const std::vector<EvalPrompt>& prompts, const RewardSet& rewards,
                                           const EvalOptions& options) {
  resolved_k(options);  // before the long part
  check_further(rewards.names(), verifier_index(rewards, options), prompts, options);
  for (const EvalPrompt& prompt : prompts) {
    if (prompt.columns != nullptr) rewards.check(*prompt.columns);
  }
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) requests.push_back({prompts[i].ids, options.samples, i});
  return requests;
}

EvalResult score_completions(const std::vector<EvalPrompt>& prompts,
                             std::vector<std::vector<Completion>> completions, RewardSet& rewards,
                             const EvalOptions& options, const ScoreItems& score) {
  resolved_k(options);
  const int64_t verifier = verifier_index(rewards, options);
  std::vector<RewardItem> items;
  for (size_t p = 0; p < completions.size(); ++p) {
    for (const Completion& c : completions[p]) {
      items.push_back(reward_item(prompts[p].text, prompts[p].columns, c));
    }
  }
  const std::vector<ScoredItem> scored = score ? score(items) : rewards.score(items);

  EvalResult result;
  result.prompts = static_cast<int64_t>(completions.size());
  result.reward_names = rewards.names();
  for (size_t r = 0; r < result.reward_names.size(); ++r) result.transformed.push_back(rewards.transforms(r));
  result.outcomes = rewards.outcomes();
  result.votes = rewards.knows_answers();
  size_t next = 0;
  for (size_t p = 0; p < completions.size(); ++p) {
    for (size_t s = 0; s < completions[p].size(); ++s, ++next) {
      result.samples.push_back({static_cast<int64_t>(p),
                                static_cast<int64_t>(s),
                                {},
                                scored[next],
                                {},
                                rewards.answer(items[next])});
    }
  }
  for (EvalSample& sample : result.samples) {  // now that no item points into them
    sample.completion =
        std::move(completions[static_cast<size_t>(sample.prompt)][static_cast<size_t>(sample.sample)]);
  }
  judge(result, verifier, options.correct_above);
  measure(result, prompts, options);
  return result;
}

RewardItem reward_item(const std::string& prompt, const Json* columns, const Completion& c) {
  RewardItem item{prompt, c.text, c.raw_text, columns, c.policy_tokens(), c.finish == FinishReason::kLength,
                  &c.ids};
  if (c.conversation) {
    item.conversation = &c.conversation->messages;
    item.environment = c.conversation->score();
  }
  return item;
}

const Figure* EvalResult::find(const std::string& name) const {
  const auto found =
      std::find_if(figures.begin(), figures.end(), [&](const Figure& f) { return f.name == name; });
  return found == figures.end() ? nullptr : &*found;
}

Json EvalResult::to_json() const {
  Json out = {{"prompts", prompts},
              {"samples", samples.size()},
              {"nulls", nulls},
              {"tokens", tokens},
              {"figures", figures_json(figures)}};
  out.update(further);
  return out;
}

Json EvalResult::sample_json(const EvalSample& sample, const std::vector<EvalPrompt>& prompts,
                             bool with_ids) const {
  const EvalPrompt& prompt = prompts.at(static_cast<size_t>(sample.prompt));
  Json out = {{"prompt", prompt.text},
              {"sample", sample.sample},
              {"completion", sample.completion.text},
              {"finish", finish_name(sample.completion.finish)},
              {"tokens", sample.completion.policy_tokens()},
              {"correct", sample.correct ? Json(*sample.correct) : Json(nullptr)},
              {"answer", sample.answer ? Json(*sample.answer) : Json(nullptr)},
              {"total", number_or_null(sample.score.total)}};
  write_parts(out, reward_names, sample.score);
  out["columns"] = prompt.columns != nullptr ? *prompt.columns : Json(nullptr);
  if (const auto& told = sample.completion.conversation) {
    out["messages"] = told->messages;
    if (!told->figures.empty()) out["environment"] = told->figures;
  }
  if (!sample.selected_by.empty()) out["selected_by"] = sample.selected_by;
  if (with_ids) out["completion_ids"] = own_tokens(sample.completion.ids, sample.completion.turns);
  return out;
}

}  // namespace temper
