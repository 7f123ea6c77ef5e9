// What temper-eval samples answers to, and what scores them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapter/adapter_set.h"
#include "base/error.h"
#include "base/log.h"
#include "conversing.h"
#include "data/benchmarks.h"
#include "data/records.h"
#include "eval/budgets.h"
#include "eval/evaluate.h"
#include "eval_arguments.h"
#include "prompts.h"
#include "reward/references.h"
#include "rollout/constrained.h"
#include "scored.h"

namespace temper {

// What is asked and what scores the answers.
struct Questions {
  std::vector<int64_t> budgets;
  std::vector<std::unique_ptr<Conversing>> environments;  // with budgets, one each
  std::unique_ptr<RewardSet> rewards;
  std::vector<Record> records;
  size_t given = 0;  // records, before those that are too long were left out
  std::unique_ptr<RecordEncoder> encoder;
  std::vector<EvalPrompt> prompts;
  // What each prompt's answers must be; null: what the sampling options say of all.
  std::vector<std::shared_ptr<const TextConstraint>> constraints;
};

// The model that is evaluated, without its weights.
struct Wording {
  explicit Wording(const EvalArguments& a)
      : tokenizer(Tokenizer::load(tokenizer_folder(a.model.path, a.adapters))) {
    if (a.chat_template != "auto" || !tokenizer->chat_template().empty())
      chat = std::make_unique<ChatTemplate>(resolve_template(*tokenizer, a.chat_template));
    settings = {.max_tokens = a.max_tokens,
                .overlong = a.overlong,
                .targets = a.targets,
                .special_tokens = a.special_tokens,
                .prefix = a.prefix};
  }
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;
  EncodeSettings settings;
};

// All of the questions but what needs words; null: there are none.
inline std::unique_ptr<Questions> read_questions(const EvalArguments& a) {
  if (a.data.empty()) {
    if (a.losses.empty() && a.choices.empty())
      user_error("--data: expected a file of prompts, or --loss with one of texts");
    for (const auto& [option, given] : {std::pair{"--reward", !a.rewards.empty()},
                                        {"--environment", !a.environment.empty()},
                                        {"--budgets", !a.budgets.empty()},
                                        {"--output", !a.output.empty() && a.choices.empty()}})
      if (given)
        user_error("{}: goes with --data, whose prompts are answered; --loss samples nothing", option);
    return nullptr;
  }
  auto q = std::make_unique<Questions>();
  q->budgets = sorted_budgets(a.budgets);
  for (const int64_t tokens : q->budgets)
    q->environments.push_back(std::make_unique<Conversing>(Conversing::with_budget(a.environment, tokens)));
  if (q->budgets.empty()) q->environments.push_back(std::make_unique<Conversing>(a.environment));
  for (const auto& environment : q->environments) environment->demand_room(a.sampling.max_new_tokens);
  const bool judged = a.rewards.empty() && q->environments.front()->scores();
  if (a.rewards.empty() && !judged) user_error("--reward: expected one, such as --reward math");
  q->rewards = std::make_unique<RewardSet>(
      read_rewards(judged ? std::vector<std::string>{"environment"} : a.rewards, "--reward"), a.combine);
  q->records = read_benchmark(a.data, a.format);
  for (Record& record : q->records) {
    if (a.chat) ask_as_chat(record);
  }
  if (a.limit > 0 && q->records.size() > static_cast<size_t>(a.limit))
    q->records.resize(static_cast<size_t>(a.limit));
  q->given = q->records.size();
  return q;
}

inline void encode(const EvalArguments& a, const Wording& words, Questions& q) {
  const Conversing& conversing = *q.environments.front();
  q.encoder = std::make_unique<RecordEncoder>(
      *words.tokenizer, words.chat.get(),
      conversing.introduced(words.settings, *words.tokenizer, words.chat.get(), q.records));
  for (const std::string& remark : q.encoder->remarks(q.records)) log_warning("--data: {}", remark);
  auto ids = keep_fitting(q.records, a.max_tokens, [&](const Record& r) { return q.encoder->prompt(r); });
  conversing.open(q.records, ids, *q.encoder, a.seed);
  for (const std::string& line : check_references(*q.rewards, q.records, "--data")) log_warning("{}", line);
  for (size_t i = 0; i < ids.size(); ++i) {
    q.prompts.push_back({ids[i], q.encoder->prompt_text(q.records[i]), &q.records[i].json});
    q.constraints.push_back(record_constraint(a.sampling, q.records[i].json, q.records[i].where()));
  }
}

}  // namespace temper
