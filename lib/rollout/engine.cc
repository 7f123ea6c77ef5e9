#include "rollout/engine.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "rollout/constrained.h"
#include "rollout/draws.h"
#include "rollout/reading.h"
#include "rollout/recorded_steps.h"
#include "rollout/requests.h"
#include "rollout/sequence.h"
#include "rollout/speculate/verify.h"

namespace temper {
namespace {

// A request whose prompt is computed and whose samples are not all under way.
struct Ready {
  size_t request;
  std::shared_ptr<const KvRun> prompt;
  at::Tensor last;  // [1, H], the hidden state that predicts the first token
  int64_t next_sample = 0;
};

using Sequence = DecodedSequence;

// A sequence that waits for an answer to its turn.
struct Asking {
  std::unique_ptr<Sequence> sequence;
  int64_t due = 0;  // the step before which the answer is read
};

// Rotary angles that depend on the length of sequences are one for the whole call, unless the run has chosen.
class OneLength {
 public:
  OneLength(Model& model, const std::vector<GenerateRequest>& requests, const SamplingOptions& sampling)
      : model_(model), chosen_(model.expected_length().has_value()) {
    if (chosen_) return;
    size_t longest = 0;
    for (const GenerateRequest& r : requests) longest = std::max(longest, r.prompt.size());
    model.expect_length(static_cast<int64_t>(model.virtual_ids().size() + longest) + sampling.max_new_tokens);
  }
  ~OneLength() {
    if (!chosen_) model_.expect_length(std::nullopt);
  }
  OneLength(const OneLength&) = delete;
  OneLength& operator=(const OneLength&) = delete;

 private:
  Model& model_;
  bool chosen_;
};

class Engine {
 public:
  Engine(Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
         const SamplingOptions& sampling, const EngineOptions& options)
      : model_(model),
        tokenizer_(tokenizer),
        requests_(requests),
        sampling_(sampling),
        options_(options),
        draws_(tokenizer, sampling, options.end_ids, model.config().vocab, options.exact_weights),
        constraints_(sampling, tokenizer, model.config().vocab, options.end_ids),
        pool_(kv_shape(model, options.keep_routes)) {
    check_requests(model, requests, sampling, options);
    if (options.speculation != nullptr)
      speculator_ = options.speculation->begin({model, tokenizer, requests, sampling, options.end_ids});
    results_.resize(requests.size());
    for (size_t r = 0; r < requests.size(); ++r) {
      results_[r].resize(static_cast<size_t>(std::max<int64_t>(requests[r].samples, 0)));
      progress_.total += requests[r].samples;
      open_.push_back(requests[r].samples);
      if (requests[r].samples > 0) waiting_.push_back(r);
    }
    if (pool_.has_arena()) prepare_device();
  }

  std::vector<std::vector<Completion>> run(const std::function<void(const EngineProgress&)>& on_progress) {
    at::NoGradGuard no_grad;
    while (progress_.finished < progress_.total) {
      hear_answers(steps_);
      admit();
      // Nobody is left who could decode meanwhile.
      if (active_.empty() && !asking_.empty()) hear_answers(asking_.front().due);
      if (!active_.empty()) step();
      if (on_progress) on_progress(progress_);
    }
    return std::move(results_);
  }

 private:
  // Rows for what the batch will hold, no more than 32k tokens of them before they are needed; and whether
  // steps can be recorded.
  void prepare_device() {
    constexpr int64_t kRows = 1 << 15;
    int64_t longest = 0, prompts = 0;
    for (const GenerateRequest& r : requests_) {
      const auto prompt = static_cast<int64_t>(model_.virtual_ids().size() + r.prompt.size());
      longest = std::max(longest, prompt + sampling_.max_new_tokens);
      prompts += prompt;
    }
    const int64_t batch = std::min(options_.max_batch, progress_.total);
    pool_.arena().reserve(std::min(kRows, prompts + batch * (sampling_.max_new_tokens + 128)));
    if (speculator_ == nullptr && RecordedSteps::can(model_, sampling_, longest))
      recorded_ = std::make_unique<RecordedSteps>(model_, sampling_, options_.end_ids, pool_, batch);
  }

  // Fills the free places of the batch: samples of computed prompts first, then the next prompts. First
  // tokens are drawn at once.
  void admit() {
    while (free_places() > 0 && (!ready_.empty() || !waiting_.empty())) {
      if (ready_.empty()) prefill();
      std::vector<Sequence*> fresh, going_on;
      std::vector<at::Tensor> last;
      while (free_places() > 0 && !ready_.empty()) {
        Ready& ready = ready_.front();
        active_.push_back(start(ready));
        if (active_.back()->ids().empty()) {
          fresh.push_back(active_.back().get());
          last.push_back(ready.last);
        } else {
          going_on.push_back(active_.back().get());
        }
        if (ready.next_sample == requests_[ready.request].samples) ready_.pop_front();
      }
      read_given(going_on);
      if (!fresh.empty()) sample(at::cat(last), fresh);
    }
  }

  // Those that wait for answers keep their places, and so their keys and values within the batch's memory.
  int64_t free_places() const {
    return options_.max_batch - static_cast<int64_t>(active_.size() + asking_.size());
  }

  void begin_turn(Sequence& s) const {
    Respondent* respondent = options_.respondent;
    if (respondent == nullptr)
      s.begin_turn(std::numeric_limits<int64_t>::max(), {});
    else
      s.begin_turn(respondent->turn_tokens(s.request(), s.sample()),
                   respondent->turn_end(s.request(), s.sample()));
  }

  std::unique_ptr<Sequence> start(Ready& ready) {
    const GenerateRequest& request = requests_[ready.request];
    const int64_t place = ready.next_sample++;
    const BegunSample* begun = request.begun.empty() ? nullptr : &request.begun[static_cast<size_t>(place)];
    const int64_t sample = begun == nullptr ? place : begun->sample;
    // The stream's name holds all that the sequence is, and nothing of the batch.
    const RandomStream random(options_.seed, fmt::format("rollout sample {}", sample), options_.step,
                              request.stream_index);
    auto sequence = std::make_unique<Sequence>(ready.request, place, ready.prompt, pool_, random, tokenizer_,
                                               sampling_, options_.end_ids, draws_.watches_text());
    if (sampling_.penalises()) {
      for (const int64_t id : request.prompt) sequence->seen()[id] = 0;
    }
    sequence->constrain(constraints_.of(request.constraint.get()));
    begin_turn(*sequence);
    sequence->draw_at_most(options_.step_tokens);
    if (begun != nullptr) sequence->go_on_from(begun->ids, begun->logp);
    return sequence;
  }

  // Computes as many waiting prompts as the free places and the token budget allow, at least one.
  void prefill() {
    std::vector<std::vector<int64_t>> prompts;
    std::vector<size_t> requests;
    int64_t places = free_places(), tokens = 0;
    const std::vector<int64_t> in_front = model_.virtual_ids();
    while (!waiting_.empty() && places > 0) {
      const GenerateRequest& request = requests_[waiting_.front()];
      const auto length = static_cast<int64_t>(in_front.size() + request.prompt.size());
      if (!prompts.empty() && tokens + length > kPrefillTokens) break;
      prompts.push_back(in_front);
      prompts.back().insert(prompts.back().end(), request.prompt.begin(), request.prompt.end());
      requests.push_back(waiting_.front());
      tokens += length;
      places -= request.samples;
      waiting_.pop_front();
    }
    std::vector<ReadPrompt> read = read_prompts(model_, pool_, prompts);
    for (size_t i = 0; i < read.size(); ++i) {
      const at::Tensor last = read[i].hidden.narrow(0, read[i].hidden.size(0) - 1, 1);
      ready_.push_back({requests[i], std::move(read[i].run), last.clone()});  // a copy: the pass is not kept
    }
  }

  // One token more for every active sequence; with speculation, some.
  void step() {
    std::vector<Sequence*> sequences;
    for (const auto& s : active_) sequences.push_back(s.get());
    ++steps_;
    progress_.passes += static_cast<int64_t>(sequences.size());
    if (speculator_ != nullptr) return speculate(sequences);
    TokensToRead tokens;
    for (Sequence* s : sequences) read_next(*s, tokens);
    if (recorded_ != nullptr) {
      if (const auto drawn = recorded_step(tokens, sequences)) return accept_all(sequences, *drawn);
    }
    sample(tokens.hidden(model_), sequences);
  }

  void speculate(const std::vector<Sequence*>& sequences) {
    const SpeculationCount count =
        speculative_step(model_, *speculator_, draws_, sequences,
                         [this](Sequence& s, const SampledToken& token) { return accept(s, token); });
    progress_.drafted += count.drafted;
    progress_.accepted += count.accepted;
    let_ended_go();
  }

  // The sequence's first token that is not in the cache yet, to be read by the next pass.
  static void read_next(Sequence& s, TokensToRead& tokens) {
    tokens.add(s.ids()[static_cast<size_t>(s.own().length())], s.prompt(), s.own());
  }

  // The answers that are due up to a step, in the order in which their turns ended. Their tokens but the last
  // are read at once; the last is read by the next step, which draws what follows it.
  void hear_answers(int64_t step) {
    std::vector<Sequence*> heard;
    while (!asking_.empty() && asking_.front().due <= step) {
      std::unique_ptr<Sequence> s = std::move(asking_.front().sequence);
      asking_.pop_front();
      const std::vector<int64_t> answer = options_.respondent->answer(s->request(), s->sample());
      const Joint joint = options_.respondent->joint(s->request(), s->sample());
      if (answer.empty() && !joint.open) {
        finish(*s);
        continue;
      }
      if (joint.drops_end) s->drop_end();
      if (!s->take_answer(answer)) {
        s->cut_short();
        finish(*s);
        continue;
      }
      begin_turn(*s);
      heard.push_back(s.get());
      // Beside the other samples of its prompt, whose keys and values are then read once for all of them.
      const auto place = std::find_if(active_.rbegin(), active_.rend(), [&](const auto& a) {
                           return &a->prompt() == &s->prompt();
                         }).base();
      active_.insert(place, std::move(s));
    }
    read_given(heard);
  }

  void read_given(const std::vector<Sequence*>& sequences) {
    TokensToRead tokens;
    for (Sequence* s : sequences) {
      const auto last = static_cast<int64_t>(s->ids().size()) - 1;
      while (s->own().length() < last) {
        read_next(*s, tokens);
        if (tokens.size() == kPrefillTokens) tokens.hidden(model_);
      }
    }
    if (!tokens.empty()) tokens.hidden(model_);
  }

  // The step as recorded work; nothing when it cannot be recorded, and then no later one is tried.
  std::optional<std::vector<SampledToken>> recorded_step(const TokensToRead& tokens,
                                                         const std::vector<Sequence*>& sequences) {
    std::vector<StepRow> step;
    std::vector<RandomStream> random;
    for (size_t i = 0; i < sequences.size(); ++i) {
      random.push_back(sequences[i]->random());
      step.push_back({tokens.ids()[i], tokens.positions()[i], tokens.rows()[i], random.back().uniform(),
                      sequences[i]->may_end()});
    }
    try {
      auto drawn = recorded_->run(step);
      for (size_t i = 0; i < sequences.size(); ++i) sequences[i]->random() = random[i];
      return drawn;
    } catch (const CannotRecord& e) {
      log_warning("decoding steps cannot be recorded, and so are slower: {}", e.what());
      recorded_ = nullptr;
      return std::nullopt;
    }
  }

  // Draws the next token of each sequence from its row of hidden states and lets the finished ones go.
  void sample(const at::Tensor& hidden, const std::vector<Sequence*>& sequences) {
    accept_all(sequences, draws_.draw(model_.logits(hidden), sequences));
  }

  void accept_all(const std::vector<Sequence*>& sequences, const std::vector<SampledToken>& tokens) {
    for (size_t i = 0; i < sequences.size(); ++i) accept(*sequences[i], tokens[i]);
    let_ended_go();
  }

  // Whether the turn goes on.
  bool accept(Sequence& s, const SampledToken& token) {
    const std::optional<FinishReason> end = s.accept(token);
    ++progress_.tokens;
    if (options_.on_token) options_.on_token(s.request(), s.sample(), token.id);
    if (end) ended_.emplace(&s, *end);
    return !end;
  }

  void let_ended_go() {
    if (ended_.empty()) return;
    std::vector<std::unique_ptr<Sequence>> going_on;
    for (auto& s : active_) {
      const auto end = ended_.find(s.get());
      if (end == ended_.end())
        going_on.push_back(std::move(s));
      else
        leave(std::move(s), end->second);
    }
    active_ = std::move(going_on);
    ended_.clear();
  }

  // A sequence whose turn has ended leaves the batch, to ask or for good.
  void leave(std::unique_ptr<Sequence> s, FinishReason reason) {
    const PolicyTurn turn = s->end_turn(reason);
    if (options_.respondent == nullptr) {
      finish(*s);
      return;
    }
    options_.respondent->ended(s->request(), s->sample(), turn);
    asking_.push_back({std::move(s), steps_ + options_.respondent->patience()});
  }

  void finish(Sequence& s) {
    const size_t request = s.request();
    if (speculator_ != nullptr) speculator_->ended(s);
    std::optional<Conversation> conversation;
    if (options_.respondent != nullptr) conversation = options_.respondent->conversation(request, s.sample());
    std::vector<int16_t> routes = s.routes(static_cast<int64_t>(model_.virtual_ids().size()));
    Completion& result = results_[request][static_cast<size_t>(s.sample())];
    result = s.finished(std::move(conversation));
    result.routes = std::move(routes);
    ++progress_.finished;
    if (--open_[request] == 0 && options_.on_request) options_.on_request(request, results_[request]);
  }

  Model& model_;
  const Tokenizer& tokenizer_;
  const std::vector<GenerateRequest>& requests_;
  const SamplingOptions& sampling_;
  const EngineOptions& options_;
  TokenDraws draws_;
  Constraints constraints_;
  KvPool pool_;
  std::deque<size_t> waiting_;  // requests
  std::deque<Ready> ready_;
  std::vector<std::unique_ptr<Sequence>> active_;  // samples of a request are neighbours
  std::deque<Asking> asking_;                      // in the order of due
  std::map<const Sequence*, FinishReason> ended_;  // those of the batch whose turn ended with this step
  int64_t steps_ = 0;                              // of decoding
  std::vector<std::vector<Completion>> results_;
  std::vector<int64_t> open_;  // samples of each request that have not ended
  EngineProgress progress_;
  std::unique_ptr<Speculator> speculator_;   // null: every token is the model's own
  std::unique_ptr<RecordedSteps> recorded_;  // on an accelerator, where it can
};

}  // namespace

std::vector<std::vector<Completion>> generate(Model& model, const Tokenizer& tokenizer,
                                              const std::vector<GenerateRequest>& requests,
                                              const SamplingOptions& sampling, const EngineOptions& options,
                                              const std::function<void(const EngineProgress&)>& on_progress) {
  const OneLength one_length(model, requests, sampling);
  return Engine(model, tokenizer, requests, sampling, options).run(on_progress);
}

}  // namespace temper
