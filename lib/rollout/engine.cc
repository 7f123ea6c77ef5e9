#include "rollout/engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "rollout/banned_texts.h"
#include "rollout/contexts.h"
#include "rollout/device_sampler.h"
#include "rollout/recorded_steps.h"

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

struct Sequence {
  Sequence(size_t request, int64_t sample, std::shared_ptr<const KvRun> prompt, KvPool& pool,
           RandomStream random)
      : request(request), sample(sample), prompt(std::move(prompt)), own(pool), random(random) {}
  size_t request;
  int64_t sample;
  std::shared_ptr<const KvRun> prompt;
  KvRun own;
  RandomStream random;
  Completion out;
  SeenTokens seen;
  std::optional<StreamDecoder> stream, raw_stream;  // with bans or stop strings; with stop strings
  std::string streamed, raw;                        // without and with special tokens
  std::vector<std::pair<size_t, size_t>> sizes;     // of raw and streamed, after each token
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
    check();
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
      admit();
      if (!active_.empty()) step();
      if (on_progress) on_progress(progress_);
    }
    return std::move(results_);
  }

 private:
  void check() const {
    const ModelConfig& config = model_.config();
    std::vector<std::string> problems;
    sampling_.check(problems, "");
    if (!problems.empty()) user_error("{}", problems.front());
    if (options_.max_batch < 1)
      user_error("generate: max_batch must be at least 1, found {}", options_.max_batch);
    for (size_t r = 0; r < requests_.size(); ++r) {
      const auto& prompt = requests_[r].prompt;
      if (requests_[r].samples < 0)
        user_error("generate: request {} asks for {} samples", r, requests_[r].samples);
      if (prompt.empty())
        user_error(
            "generate: prompt {} is empty: its text has no token, and the tokenizer adds no begin token", r);
      for (const int64_t id : prompt) {
        if (id < 0 || id >= config.vocab) {
          user_error("generate: prompt {} holds id {}, but the model has ids 0 to {}; is this its tokenizer?",
                     r, id, config.vocab - 1);
        }
      }
      const auto before = static_cast<int64_t>(model_.virtual_ids().size() + prompt.size());
      const int64_t length = before + sampling_.max_new_tokens;
      if (length > config.max_positions) {
        user_error(
            "generate: prompt {} has {} tokens and may grow by {} (max_new_tokens), but the model has {} "
            "positions; "
            "lower max_new_tokens or shorten the prompt",
            r, before, sampling_.max_new_tokens, config.max_positions);
      }
    }
  }

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
      std::vector<Sequence*> fresh;
      std::vector<at::Tensor> last;
      while (free_places() > 0 && !ready_.empty()) {
        Ready& ready = ready_.front();
        active_.push_back(start(ready));
        fresh.push_back(active_.back().get());
        last.push_back(ready.last);
        if (ready.next_sample == requests_[ready.request].samples) ready_.pop_front();
      }
      sample(at::cat(last), fresh);
    }
  }

  int64_t free_places() const { return options_.max_batch - static_cast<int64_t>(active_.size()); }

  std::unique_ptr<Sequence> start(Ready& ready) {
    const GenerateRequest& request = requests_[ready.request];
    const int64_t sample = ready.next_sample++;
    // The stream's name holds all that the sequence is, and nothing of the batch.
    const RandomStream random(options_.seed, fmt::format("rollout sample {}", sample), options_.step,
                              request.stream_index);
    auto sequence = std::make_unique<Sequence>(ready.request, sample, ready.prompt, pool_, random);
    if (sampling_.penalises()) {
      for (const int64_t id : request.prompt) sequence->seen[id] = 0;
    }
    if (!sampling_.stop.empty() || !bans_.empty()) sequence->stream.emplace(tokenizer_);
    if (!sampling_.stop.empty()) sequence->raw_stream.emplace(tokenizer_, /*special=*/true);
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
    for (const auto& s : active_) {
      ids.push_back(s->out.ids.back());
      positions.push_back(s->prompt->length() + s->own.length());
      s->own.extend(1);
      rows.push_back({s->prompt.get(), &s->own});
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

  // The step as recorded work; nothing when it cannot be recorded, and then no later one is tried.
  std::optional<std::vector<SampledToken>> recorded_step(const std::vector<DecodeRow>& rows,
                                                         const std::vector<int64_t>& ids,
                                                         const std::vector<int64_t>& positions,
                                                         const std::vector<Sequence*>& sequences) {
    std::vector<StepRow> step;
    std::vector<RandomStream> random;
    for (size_t i = 0; i < rows.size(); ++i) {
      random.push_back(sequences[i]->random);
      step.push_back({ids[i], positions[i], rows[i], random.back().uniform(), may_end(*sequences[i])});
    }
    try {
      auto tokens = recorded_->run(step);
      for (size_t i = 0; i < rows.size(); ++i) sequences[i]->random = random[i];
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
    std::erase_if(active_, [&](const auto& s) { return s->request == kFinished; });
  }

  bool may_end(const Sequence& s) const {
    return static_cast<int64_t>(s.out.ids.size()) >= sampling_.min_new_tokens;
  }

  std::vector<int64_t> banned_for(const Sequence& s) const {
    std::vector<int64_t> banned = bans_.after(s.streamed);
    if (!may_end(s)) banned.insert(banned.end(), options_.end_ids.begin(), options_.end_ids.end());
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
            sample_token(rows + i * vocab, vocab, sampling_, s.seen, banned_for(s), s.random.uniform());
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
      uniform.push_back(s->random.uniform());
    }
    return sample_tokens(logits, sampling_, banned, uniform);
  }

  void accept(Sequence& s, const SampledToken& token) {
    s.out.ids.push_back(token.id);
    s.out.logp.push_back(token.logp);
    s.out.logp_full.push_back(token.logp_full);
    if (sampling_.penalises()) ++s.seen[token.id];
    ++progress_.tokens;
    if (options_.on_token) options_.on_token(s.request, s.sample, token.id);
    const auto length = static_cast<int64_t>(s.out.ids.size());
    if (std::find(options_.end_ids.begin(), options_.end_ids.end(), token.id) != options_.end_ids.end()) {
      finish(s, FinishReason::kEnd);
    } else if (const auto stop = find_stop(s)) {
      s.streamed.resize(*stop);
      finish(s, FinishReason::kStop);
    } else if (length == sampling_.max_new_tokens) {
      finish(s, FinishReason::kLength);
    }
  }

  // Where the text is to be cut: before the first stop string that the newest token's text completed, be it
  // in the text as it is shown or in the one with special tokens.
  std::optional<size_t> find_stop(Sequence& s) const {
    const size_t before = s.streamed.size(), raw_before = s.raw.size();
    if (s.stream) s.streamed += s.stream->push(s.out.ids.back());
    if (!s.raw_stream) return std::nullopt;
    s.raw += s.raw_stream->push(s.out.ids.back());
    s.sizes.emplace_back(s.raw.size(), s.streamed.size());
    if (static_cast<int64_t>(s.out.ids.size()) < sampling_.min_new_tokens) return std::nullopt;
    std::optional<size_t> first;
    for (const std::string& stop : sampling_.stop) {
      const auto find = [&](const std::string& text, size_t old) {  // a match that ends in new text
        return text.find(stop, old + 1 > stop.size() ? old + 1 - stop.size() : 0);
      };
      const size_t shown = find(s.streamed, before), raw = find(s.raw, raw_before);
      if (shown != std::string::npos) first = std::min(first.value_or(shown), shown);
      if (raw != std::string::npos) {
        const size_t at = without_special(s, raw);
        first = std::min(first.value_or(at), at);
      }
    }
    return first;
  }

  // The place of a byte of the raw text in the text without special tokens.
  static size_t without_special(const Sequence& s, size_t at) {
    const auto next = std::upper_bound(s.sizes.begin(), s.sizes.end(), std::pair(at, SIZE_MAX));
    const auto [raw, text] = next == s.sizes.begin() ? std::pair<size_t, size_t>() : *std::prev(next);
    return std::min(text + (at - raw), next == s.sizes.end() ? text : next->second);
  }

  void finish(Sequence& s, FinishReason reason) {
    Completion& out = s.out;
    out.finish = reason;
    out.raw_text = tokenizer_.decode(out.ids, true);
    if (reason == FinishReason::kStop) {
      out.text = std::move(s.streamed);
    } else {
      const bool ended = reason == FinishReason::kEnd;
      out.text = tokenizer_.decode({out.ids.begin(), out.ids.end() - (ended ? 1 : 0)}, false);
    }
    const size_t request = s.request;
    results_[request][static_cast<size_t>(s.sample)] = std::move(out);
    s.request = kFinished;
    ++progress_.finished;
    if (--open_[request] == 0 && options_.on_request) options_.on_request(request, results_[request]);
  }

  static constexpr size_t kFinished = static_cast<size_t>(-1);

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
  std::vector<std::vector<Completion>> results_;
  std::vector<int64_t> open_;  // samples of each request that have not ended
  EngineProgress progress_;
  std::unique_ptr<RecordedSteps> recorded_;  // on an accelerator, where it can
};

}  // namespace

const char* finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEnd:
      return "end";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kStop:
      return "stop";
  }
  return "";
}

std::vector<std::vector<Completion>> generate(Model& model, const Tokenizer& tokenizer,
                                              const std::vector<GenerateRequest>& requests,
                                              const SamplingOptions& sampling, const EngineOptions& options,
                                              const std::function<void(const EngineProgress&)>& on_progress) {
  return Engine(model, tokenizer, requests, sampling, options).run(on_progress);
}

}  // namespace temper
