// Thinking within a budget of tokens, and an answer behind it.
#pragma once

#include "env/environment.h"

namespace temper {

// The first turn is the policy's thinking, of which it sees nothing but what it wrote. When it ends its
// thinking by itself, with the words `end`, its answer follows and nothing is put in. When `tokens` have come
// without it, the words `time_up` are put behind them and the answer follows. The answer is the last turn: it
// is what rewards read as the completion. What a turn says before it has ended its thinking and writes an end
// token is the answer, too.
//
// `time_up` is what Qwen3 was given (arXiv 2505.09388, its page on the thinking budget); s1 (arXiv
// 2501.19393) puts its own mark of the end there, and "Final Answer:". `waits`: s1's forcing on: so many
// times the end that the policy wrote is taken back and `wait` put in its place, as long as the budget lasts.
// It is the budget of all thinking together, as in s1's code; what was taken back counts as well. s1 also
// takes back an end token there, which here ends the conversation.
struct BudgetRules {
  int64_t tokens = 1024, answer_tokens = 0, waits = 0;
  std::string end = "</think>";
  std::string time_up =
      "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking "
      "directly now.\n</think>\n\n";
  std::string wait = "Wait";
};

struct BudgetOptions : EnvironmentOptions {
  BudgetRules rules;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  int64_t least_tokens() const override { return rules.tokens + 2; }
  std::unique_ptr<EnvironmentSource> make() const override;
};

}  // namespace temper
