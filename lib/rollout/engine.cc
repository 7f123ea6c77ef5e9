#include "rollout/engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "rollout/banned_texts.h"
#include "rollout/contexts.h"
#include "rollout/device_sampler.h"
#include "rollout/recorded_steps.h"
#include "rollout/requests.h"
#include "rollout/sequence.h"

namespace temper {
namespace {

constexpr int64_t kPrefillTokens =
    4096;  // prompts computed in one pass hold at most so many, or are one prompt

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

class Engine {
 public:
  Engine(Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
         const SamplingOptions& sampling, const EngineOptions& options)
      : model_(model),
        tokenizer_(tokenizer),
        requests_(requests),
        sampling_(sampling),
        options_(options),
        bans_(tokenizer, sampling.ban, model.config().vocab),
        pool_({model.config().layers, model.config().kv_heads, model.config().head_dim,
               at::TensorOptions().dtype(model.precision().compute).device(model.precision().device)}) {
    check_requests(model, requests, sampling, options);
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
    if (RecordedSteps::can(model_, sampling_, longest))
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
                                               sampling_, options_.end_ids, !bans_.empty());
    if (sampling_.penalises()) {
      for (const int64_t id : request.prompt) sequence->seen()[id] = 0;
    }
    begin_turn(*sequence);
    sequence->draw_at_most(options_.step_tokens);
    if (begun != nullptr) sequence->go_on_from(begun->ids, begun->logp);
    return sequence;
  }

  // Computes as many waiting prompts as the free places and the token budget allow, at least one.
  void prefill() {
    Packer packer;
    std::vector<Ready> batch;
    std::vector<const KvRun*> runs;
    std::vector<int64_t> last;
    int64_t places = free_places();
    const std::vector<int64_t> in_front = model_.virtual_ids();
    while (!waiting_.empty() && places > 0) {
      const GenerateRequest& request = requests_[waiting_.front()];
      std::vector<int64_t> prompt = in_front;
      prompt.insert(prompt.end(), request.prompt.begin(), request.prompt.end());
      const auto length = static_cast<int64_t>(prompt.size());
      if (!batch.empty() && packer.tokens() + length > kPrefillTokens) break;
      auto run = std::make_shared<KvRun>(pool_);
      run->extend(length);
      runs.push_back(run.get());
      packer.add_segment(prompt);
      last.push_back(packer.tokens() - 1);
      batch.push_back({waiting_.front(), std::move(run), {}});
      places -= request.samples;
      waiting_.pop_front();
    }
    const PackedTokens tokens = packer.tokens_on(model_.precision().device);
    PrefillContext context(model_.config(), tokens, std::move(runs));
    const at::Tensor hidden = model_.hidden(tokens.ids, tokens.positions, context);
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i].last = hidden.narrow(0, last[i], 1).clone();  // a copy: the whole pass is not kept
      ready_.push_back(std::move(batch[i]));
    }
  }

  // One token more for every active sequence.
  void step() {
    std::vector<int64_t> ids, positions;
    std::vector<DecodeRow> rows;
    std::vector<Sequence*> sequences;
    ++steps_;
    for (const auto& s : active_) {
      read_next(*s, ids, positions, rows);
      sequences.push_back(s.get());
    }
    if (recorded_ != nullptr) {
      if (const auto tokens = recorded_step(rows, ids, positions, sequences)) {
        accept_all(sequences, *tokens);
        return;
      }
    }
    const at::Device device = model_.precision().device;
    DecodeContext context(model_.config(), std::move(rows));
    sample(model_.hidden(at::tensor(ids).to(device), at::tensor(positions).to(device), context), sequences);
  }

  // The sequence's first token that is not in the cache yet, to be read by the next pass.
  static void read_next(Sequence& s, std::vector<int64_t>& ids, std::vector<int64_t>& positions,
                        std::vector<DecodeRow>& rows) {
    const int64_t read = s.own().length();
    ids.push_back(s.ids()[static_cast<size_t>(read)]);
    positions.push_back(s.prompt().length() + read);
    s.own().extend(1);
    rows.push_back({&s.prompt(), &s.own(), read + 1});
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
    std::vector<int64_t> ids, positions;
    std::vector<DecodeRow> rows;
    const auto read = [&] {
      if (ids.empty()) return;
      const at::Device device = model_.precision().device;
      DecodeContext context(model_.config(), std::move(rows));
      model_.hidden(at::tensor(ids).to(device), at::tensor(positions).to(device), context);
      ids.clear(), positions.clear(), rows.clear();
    };
    for (Sequence* s : sequences) {
      const auto last = static_cast<int64_t>(s->ids().size()) - 1;
      while (s->own().length() < last) {
        read_next(*s, ids, positions, rows);
        if (static_cast<int64_t>(ids.size()) == kPrefillTokens) read();
      }
    }
    read();
  }

  // The step as recorded work; nothing when it cannot be recorded, and then no later one is tried.
  std::optional<std::vector<SampledToken>> recorded_step(const std::vector<DecodeRow>& rows,
                                                         const std::vector<int64_t>& ids,
                                                         const std::vector<int64_t>& positions,
                                                         const std::vector<Sequence*>& sequences) {
    std::vector<StepRow> step;
    std::vector<RandomStream> random;
    for (size_t i = 0; i < rows.size(); ++i) {
      random.push_back(sequences[i]->random());
      step.push_back({ids[i], positions[i], rows[i], random.back().uniform(), sequences[i]->may_end()});
    }
    try {
      auto tokens = recorded_->run(step);
      for (size_t i = 0; i < rows.size(); ++i) sequences[i]->random() = random[i];
      return tokens;
    } catch (const CannotRecord& e) {
      log_warning("decoding steps cannot be recorded, and so are slower: {}", e.what());
      recorded_ = nullptr;
      return std::nullopt;
    }
  }

  // Draws the next token of each sequence from its row of hidden states and lets the finished ones go.
  void sample(const at::Tensor& hidden, const std::vector<Sequence*>& sequences) {
    const at::Tensor logits = model_.logits(hidden);
    const std::vector<SampledToken> tokens = !logits.is_cpu() && samples_on_device(sampling_)
                                                 ? draw_there(logits, sequences)
                                                 : draw_here(logits.cpu().contiguous(), sequences);
    accept_all(sequences, tokens);
  }

  void accept_all(const std::vector<Sequence*>& sequences, const std::vector<SampledToken>& tokens) {
    for (size_t i = 0; i < sequences.size(); ++i) accept(*sequences[i], tokens[i]);
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

  std::vector<int64_t> banned_for(const Sequence& s) const {
    std::vector<int64_t> banned = bans_.after(s.text_so_far());
    if (!s.may_end()) banned.insert(banned.end(), options_.end_ids.begin(), options_.end_ids.end());
    return banned;
  }

  std::vector<SampledToken> draw_here(at::Tensor logits, const std::vector<Sequence*>& sequences) const {
    float* rows = logits.mutable_data_ptr<float>();
    const int64_t vocab = logits.size(1);
    std::vector<SampledToken> tokens(sequences.size());
    at::parallel_for(0, static_cast<int64_t>(sequences.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Sequence& s = *sequences[i];
        tokens[i] =
            sample_token(rows + i * vocab, vocab, sampling_, s.seen(), banned_for(s), s.random().uniform());
      }
    });
    return tokens;
  }

  std::vector<SampledToken> draw_there(const at::Tensor& logits,
                                       const std::vector<Sequence*>& sequences) const {
    std::vector<std::vector<int64_t>> banned;
    std::vector<double> uniform;
    for (Sequence* s : sequences) {
      banned.push_back(banned_for(*s));
      uniform.push_back(s->random().uniform());
    }
    return sample_tokens(logits, sampling_, banned, uniform);
  }

  void accept(Sequence& s, const SampledToken& token) {
    const std::optional<FinishReason> end = s.accept(token);
    ++progress_.tokens;
    if (options_.on_token) options_.on_token(s.request(), s.sample(), token.id);
    if (end) ended_.emplace(&s, *end);
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
    std::optional<Conversation> conversation;
    if (options_.respondent != nullptr) conversation = options_.respondent->conversation(request, s.sample());
    results_[request][static_cast<size_t>(s.sample())] = s.finished(std::move(conversation));
    ++progress_.finished;
    if (--open_[request] == 0 && options_.on_request) options_.on_request(request, results_[request]);
  }

  Model& model_;
  const Tokenizer& tokenizer_;
  const std::vector<GenerateRequest>& requests_;
  const SamplingOptions& sampling_;
  const EngineOptions& options_;
  BannedTexts bans_;
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
  std::unique_ptr<RecordedSteps> recorded_;  // on an accelerator, where it can
};

}  // namespace

std::vector<std::vector<Completion>> generate(Model& model, const Tokenizer& tokenizer,
                                              const std::vector<GenerateRequest>& requests,
                                              const SamplingOptions& sampling, const EngineOptions& options,
                                              const std::function<void(const EngineProgress&)>& on_progress) {
  return Engine(model, tokenizer, requests, sampling, options).run(on_progress);
}

}  // namespace temper
