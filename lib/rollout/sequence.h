// One sequence of the decode engine's batch: what it has written, and how its turns end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "grammar/constraint.h"
#include "rollout/completion.h"
#include "rollout/kv_cache.h"
#include "rollout/respondent.h"
#include "rollout/sampler.h"
#include "text/tokenizer.h"

namespace temper {

class TokenDraws;

class DecodedSequence {
 public:
  // draws: how its tokens are drawn; outlives it, as the tokenizer does.
  DecodedSequence(size_t request, int64_t sample, std::shared_ptr<const KvRun> prompt, KvPool& pool,
                  RandomStream random, const Tokenizer& tokenizer, const TokenDraws& draws);

  // What each turn's text must be, from the next turn on; null: anything.
  void constrain(std::shared_ptr<const Constraint> constraint) { constraint_ = std::move(constraint); }
  // A turn of at most `tokens` tokens begins, with an end of its own or an empty one (Respondent::turn_end).
  void begin_turn(int64_t tokens, std::string own_end);
  // Takes what was written in an earlier call, as the beginning of the turn that has begun.
  void go_on_from(const std::vector<int64_t>& ids, const std::vector<float>& logp);
  // Tokens that are drawn before the sequence is left open; 0: no limit.
  void draw_at_most(int64_t tokens) { draws_left_ = tokens > 0 ? tokens : -1; }
  // Takes the policy's next token. Whether the turn has ended with it.
  std::optional<FinishReason> accept(const SampledToken& token);
  // The turn that has ended.
  PolicyTurn end_turn(FinishReason reason);
  // Takes back the tokens that hold the turn's own end. Throws std::logic_error when that has not ended it.
  void drop_end();
  // Takes what was answered. False: it does not fit, with a token of the policy's behind it, and is left out.
  bool take_answer(const std::vector<int64_t>& ids);
  // The conversation ends for want of room.
  void cut_short() { out_.finish = FinishReason::kLength; }
  // As Completion has them; the prompt's first tokens that are virtual have none. Before finished().
  std::vector<int16_t> routes(int64_t virtual_tokens) const;
  // What was written, after the last turn.
  Completion finished(std::optional<Conversation> conversation);

  size_t request() const { return request_; }
  int64_t sample() const { return sample_; }
  const KvRun& prompt() const { return *prompt_; }
  KvRun& own() { return own_; }
  RandomStream& random() { return random_; }
  const TokenDraws& draws() const { return draws_; }
  const std::vector<int64_t>& ids() const { return out_.ids; }
  const SeenTokens& seen() const { return seen_; }
  SeenTokens& seen() { return seen_; }
  const std::string& text_so_far() const { return streamed_; }  // of the turn, special tokens left out
  // Where the turn's text stands; null: nothing constrains it.
  const ConstraintState* constraint() const { return constrained_ ? &*constrained_ : nullptr; }
  double& mirostat_mu() { return mirostat_mu_; }
  // Tokens that it can still draw before it is full, its turn is, or it is left open.
  int64_t room() const;
  bool may_end() const { return may_end_behind(0); }
  // Behind so many tokens more.
  bool may_end_behind(int64_t tokens) const { return turn_length() + tokens >= sampling_.min_new_tokens; }

 private:
  int64_t length() const { return static_cast<int64_t>(out_.ids.size()); }
  int64_t turn_length() const { return length() - turn_begin_; }
  void read_text();
  std::optional<size_t> find_stop() const;
  std::optional<int64_t> find_own_end() const;
  size_t without_special(size_t at) const;

  size_t request_;
  int64_t sample_;
  std::shared_ptr<const KvRun> prompt_;
  KvRun own_;
  RandomStream random_;
  const Tokenizer& tokenizer_;
  const TokenDraws& draws_;
  const SamplingOptions& sampling_;
  Completion out_;
  SeenTokens seen_;
  int64_t turn_begin_ = 0, turn_limit_ = 0;  // tokens
  int64_t draws_left_ = -1;
  double mirostat_mu_;
  std::shared_ptr<const Constraint> constraint_;
  std::optional<ConstraintState> constrained_;        // of the turn
  std::optional<StreamDecoder> stream_, raw_stream_;  // with bans or stop strings; with stop strings
  std::string streamed_, raw_;                        // of the turn, without and with special tokens
  std::vector<std::pair<size_t, size_t>> sizes_;      // of raw and streamed, after each token
  std::string own_end_;                               // of the turn
  std::optional<int64_t> own_end_at_;                 // the turn's token in which it begins
};

}  // namespace temper
