// The decode loop: requests join a batch and leave it, and it stays as full as it can be.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "model/model.h"
#include "rollout/draws.h"
#include "rollout/engine.h"
#include "rollout/kv_cache.h"
#include "rollout/prompt_cache.h"
#include "rollout/reading.h"
#include "rollout/recorded_steps.h"
#include "rollout/sequence.h"
#include "rollout/speculate/speculator.h"
#include "text/tokenizer.h"

namespace temper {

// What the loop tells, on the thread that decodes. Each may throw to stop, and adds and drops nothing.
struct DecodeEvents {
  // A prompt has been read; the keys and values of its first `known` tokens were there already.
  std::function<void(size_t request, int64_t known)> on_prompt = {};
  std::function<void(size_t request, int64_t sample, const SampledToken& token)> on_token = {};
  // place: of the sample among those of the request. The request leaves with the last of them.
  std::function<void(size_t request, int64_t place, Completion&& completion)> on_completion = {};
  // A draw of the request failed, and it leaves. Unset: the failure is thrown.
  std::function<void(size_t request, std::exception_ptr why)> on_failure = {};
};

class DecodeLoop {
 public:
  // Of the options all but end_ids, on_token and on_request counts. All outlive this.
  DecodeLoop(Model& model, const Tokenizer& tokenizer, const EngineOptions& options, DecodeEvents events);

  // A request, by a number that no other one of the loop has; it outlives its stay, as its draws do.
  // constraint: of what it writes; null: anything.
  void add(size_t number, const GenerateRequest& request, const TokenDraws& draws,
           std::shared_ptr<const Constraint> constraint);
  // The request leaves, and nothing more is told of it.
  void drop(size_t number);
  // The request leaves, without a respondent: what its samples have written are its completions, cut short
  // (kLength).
  void end(size_t number);
  bool idle() const { return entries_.empty(); }
  int64_t decoding() const { return static_cast<int64_t>(active_.size()); }  // sequences
  // Lets waiting requests join and draws one token for each sequence; with speculation, some. Sequences do
  // not depend on who shares the batch (generate()).
  void step();

  // Before the first step. Who drafts, who records steps on an accelerator; both outlive this.
  void speculate_with(Speculator* speculator) { speculator_ = speculator; }
  void record_with(RecordedSteps* recorded) { recorded_ = recorded; }
  // Prompts of up to so many tokens in all are kept for those that begin alike; where the model has no
  // virtual tokens and no layers with a state, on the CPU.
  void keep_prompts(int64_t tokens);
  KvPool& pool() { return pool_; }
  // Without finished and total.
  const EngineProgress& progress() const { return progress_; }

 private:
  using Sequence = DecodedSequence;
  struct Entry {
    const GenerateRequest* request;
    const TokenDraws* draws;
    std::shared_ptr<const Constraint> constraint;
    int64_t open = 0;  // samples that have not ended
  };
  // A request whose prompt is computed and whose samples are not all under way.
  struct Ready {
    size_t request;
    std::shared_ptr<const KvRun> prompt;
    at::Tensor last;  // [1, H], the hidden state that predicts the first token
    int64_t next_sample = 0;
  };
  // A sequence that waits for an answer to its turn.
  struct Asking {
    std::unique_ptr<Sequence> sequence;
    int64_t due = 0;  // the step before which the answer is read
  };

  Entry& entry(size_t request) { return entries_.at(request); }
  int64_t free_places() const;
  void admit();
  void prefill();
  Ready read_behind(size_t request, const std::vector<int64_t>& prompt, std::shared_ptr<KvRun> known);
  void begin_turn(Sequence& s) const;
  std::unique_ptr<Sequence> start(Ready& ready);
  void decode();
  void speculate(const std::vector<Sequence*>& sequences);
  static void read_next(Sequence& s, TokensToRead& tokens);
  void hear_answers(int64_t step);
  void read_given(const std::vector<Sequence*>& sequences);
  std::optional<std::vector<SampledToken>> recorded_step(const TokensToRead& tokens,
                                                         const std::vector<Sequence*>& sequences);
  void sample(const at::Tensor& hidden, const std::vector<Sequence*>& sequences);
  bool accept(Sequence& s, const SampledToken& token);
  void let_ended_go();
  void leave(std::unique_ptr<Sequence> s, FinishReason reason);
  void finish(Sequence& s);

  Model& model_;
  const Tokenizer& tokenizer_;
  const EngineOptions& options_;
  DecodeEvents events_;
  KvPool pool_;
  std::optional<PromptCache> kept_;
  const KvRun nothing_;  // a prompt without tokens
  std::map<size_t, Entry> entries_;
  std::deque<size_t> waiting_;  // requests
  std::deque<Ready> ready_;
  std::vector<std::unique_ptr<Sequence>> active_;  // samples of a request are neighbours
  std::deque<Asking> asking_;                      // in the order of due
  std::map<const Sequence*, FinishReason> ended_;  // those of the batch whose turn ended with this step
  int64_t steps_ = 0;                              // of decoding
  EngineProgress progress_;
  Speculator* speculator_ = nullptr;   // null: every token is the model's own
  RecordedSteps* recorded_ = nullptr;  // on an accelerator, where it can
};

}  // namespace temper
