// Thinking that all completions of a group begin with, behind which some of them are told to end it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"
#include "train/rollout_batch.h"

namespace temper {

// Half of a group's completions go on thinking from a beginning that they share, the other half read
// `time_up` behind it and answer (MRT, arXiv 2503.07572, its on-policy form). The beginning is one sample of
// the policy's, of at most `tokens` tokens, up to the end of its thinking (`end`, or an end token), cut
// behind one of its tokens, each equally likely. It becomes a part of the prompt: read by all and learnt by
// none, as the authors' stale prefixes are. Nor are the words `time_up` learnt. rollout.max_new_tokens counts
// what is written behind the beginning.
struct PrefixSection : Fields {
  int64_t tokens = 0;  // 0: there is none
  std::string end = "</think>";
  std::string time_up;  // as in environment "budget"
  PrefixSection();
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool on() const { return tokens > 0; }
};

// What stands as Rollout::opening of completions behind a prefix.
inline constexpr int64_t kToldToEnd = 0, kGoesOn = 1;

class Session;

// Samples each group's beginning and puts it behind the prompt. A function of the run's state and the groups'
// draws.
void begin_groups(Session& session, const PrefixSection& prefix, std::vector<RolloutGroup>& groups);

// How many tokens of a sampled completion are thinking: those before the first that holds `end`'s first
// letter, or before the end token.
int64_t thinking_tokens(const Tokenizer& tokenizer, const Completion& completion, const std::string& end);

// The completion of a group that begins with a prefix; words: what was put behind that, empty for one that
// goes on.
Rollout behind_prefix(const Session& session, const RolloutGroup& group, const std::vector<int64_t>& words,
                      const Completion& completion);

}  // namespace temper
