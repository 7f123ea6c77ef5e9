#include "train/groups/prefix.h"

#include "base/error.h"
#include "base/random.h"
#include "env/budget.h"
#include "train/config.h"
#include "train/sampling.h"
#include "train/session.h"

namespace temper {

PrefixSection::PrefixSection() : time_up(BudgetRules().time_up) {}

void PrefixSection::fields(FieldVisitor& v) {
  v.field("tokens", tokens,
          {.help = "of a beginning that a group's completions share, at most; half of them are told to end "
                   "their thinking behind it; 0: off",
           .unit = "tokens",
           .min = 0});
  if (tokens == 0) return;
  v.field("end", end, {.help = "words with which the policy ends its thinking"});
  v.field("time_up", time_up,
          {.help = "what the half that ends there reads; special tokens in it become tokens"});
}

void PrefixSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!on()) return;
  for (const auto& [name, text] : {std::pair("end", &end), std::pair("time_up", &time_up)})
    if (text->empty()) problems.push_back(fmt::format("{}.{}: expected words, found none", where, name));
}

int64_t thinking_tokens(const Tokenizer& tokenizer, const Completion& c, const std::string& end) {
  auto n = static_cast<int64_t>(c.ids.size());
  if (c.finish == FinishReason::kEnd) --n;
  const auto text = [&](int64_t tokens) {
    return tokenizer.decode({c.ids.begin(), c.ids.begin() + tokens}, true);
  };
  const size_t at = text(n).find(end);
  if (at == std::string::npos) return n;
  // The last piece of text that stops before it.
  while (n > 0 && text(n).size() > at) --n;
  return n;
}

void begin_groups(Session& s, const PrefixSection& prefix, std::vector<RolloutGroup>& groups) {
  const auto seed = static_cast<uint64_t>(s.config.seed), step = static_cast<uint64_t>(s.state.step);
  std::vector<GenerateRequest> requests;
  for (const RolloutGroup& g : groups) requests.push_back({g.prompt, 1, static_cast<uint64_t>(g.draw)});
  SamplingOptions sampling = s.config.task->sampling();
  sampling.max_new_tokens = prefix.tokens;
  sampling.stop.push_back(prefix.end);
  const auto beginnings =
      complete(s, *s.model, requests,
               {.sampling = sampling, .seed = RandomStream(seed, "prefix").next(), .step = step});
  for (size_t i = 0; i < groups.size(); ++i) {
    const Completion& c = beginnings[i].front();
    const int64_t tokens = thinking_tokens(*s.tokenizer, c, prefix.end);
    int64_t kept = 0;
    if (tokens > 0) {
      RandomStream cut(seed, "prefix cut", step, static_cast<uint64_t>(groups[i].draw));
      kept = 1 + static_cast<int64_t>(cut.below(static_cast<uint64_t>(tokens)));
    }
    groups[i].prompt.insert(groups[i].prompt.end(), c.ids.begin(), c.ids.begin() + kept);
    groups[i].prefix = kept;
  }
}

Rollout behind_prefix(const Session& s, const RolloutGroup& g, const std::vector<int64_t>& words,
                      const Completion& c) {
  Rollout r = rollout_of(c);
  std::vector<int64_t> given(g.prompt.end() - g.prefix, g.prompt.end());
  given.insert(given.end(), words.begin(), words.end());
  r.text = s.tokenizer->decode(given, false) + r.text;
  r.ids.insert(r.ids.begin(), words.begin(), words.end());
  if (!words.empty())
    r.turns = {{static_cast<int64_t>(words.size()), static_cast<int64_t>(r.ids.size()), c.finish}};
  r.opening = words.empty() ? kGoesOn : kToldToEnd;
  return r;
}

}  // namespace temper
