#include "rollout/engine.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "rollout/constrained.h"
#include "rollout/decode_loop.h"
#include "rollout/requests.h"

namespace temper {
namespace {

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

// Requests that are all there from the beginning and are drawn alike.
class Engine {
 public:
  Engine(Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
         const SamplingOptions& sampling, const EngineOptions& options)
      : model_(model),
        requests_(requests),
        sampling_(sampling),
        options_(options),
        draws_(tokenizer, sampling, options.end_ids, model.config().vocab, options.exact_weights),
        loop_(model, tokenizer, options, events()) {
    check_requests(model, requests, sampling, options);
    Constraints constraints(sampling, tokenizer, model.config().vocab, options.end_ids);
    if (options.speculation != nullptr) {
      speculator_ = options.speculation->begin({model, tokenizer, requests, sampling, options.end_ids});
      loop_.speculate_with(speculator_.get());
    }
    results_.resize(requests.size());
    for (size_t r = 0; r < requests.size(); ++r) {
      results_[r].resize(static_cast<size_t>(std::max<int64_t>(requests[r].samples, 0)));
      total_ += requests[r].samples;
      open_.push_back(requests[r].samples);
      loop_.add(r, requests[r], draws_, constraints.of(requests[r].constraint.get()));
    }
    if (loop_.pool().has_arena()) prepare_device();
  }

  std::vector<std::vector<Completion>> run(const std::function<void(const EngineProgress&)>& on_progress) {
    while (!loop_.idle()) {
      loop_.step();
      if (!on_progress) continue;
      EngineProgress progress = loop_.progress();
      progress.finished = finished_;
      progress.total = total_;
      on_progress(progress);
    }
    return std::move(results_);
  }

 private:
  DecodeEvents events() {
    DecodeEvents out;
    if (options_.on_token) {
      out.on_token = [this](size_t request, int64_t sample, const SampledToken& token) {
        options_.on_token(request, sample, token.id);
      };
    }
    out.on_completion = [this](size_t request, int64_t place, Completion&& completion) {
      results_[request][static_cast<size_t>(place)] = std::move(completion);
      ++finished_;
      if (--open_[request] == 0 && options_.on_request) options_.on_request(request, results_[request]);
    };
    return out;
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
    const int64_t batch = std::min(options_.max_batch, total_);
    loop_.pool().arena().reserve(std::min(kRows, prompts + batch * (sampling_.max_new_tokens + 128)));
    if (speculator_ != nullptr || !RecordedSteps::can(model_, sampling_, longest)) return;
    recorded_ = std::make_unique<RecordedSteps>(model_, sampling_, options_.end_ids, loop_.pool(), batch);
    loop_.record_with(recorded_.get());
  }

  Model& model_;
  const std::vector<GenerateRequest>& requests_;
  const SamplingOptions& sampling_;
  const EngineOptions& options_;
  TokenDraws draws_;
  std::unique_ptr<Speculator> speculator_;  // outlives the loop's sequences
  DecodeLoop loop_;
  std::unique_ptr<RecordedSteps> recorded_;
  std::vector<std::vector<Completion>> results_;
  std::vector<int64_t> open_;  // samples of each request that have not ended
  int64_t finished_ = 0, total_ = 0;
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
