// A request between who asks and the thread that decodes.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "rollout/draws.h"
#include "rollout/engine.h"
#include "serve/service.h"

namespace temper {

class Job {
 public:
  Job(ServiceRequest asked, const Tokenizer& tokenizer, const std::vector<int64_t>& end_ids, int64_t vocab,
      std::shared_ptr<const Constraint> constraint, std::chrono::steady_clock::time_point until)
      : asked(std::move(asked)),
        request{this->asked.prompt, this->asked.samples},
        draws(tokenizer, this->asked.sampling, end_ids, vocab, /*exact=*/false, this->asked.top_logprobs),
        constraint(std::move(constraint)),
        until(until) {
    request.seed = this->asked.seed;
  }

  // By the thread that decodes.
  void tell(ServiceEvent event) {
    std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_one();
  }
  void refuse(const ServiceRefusal& why) {
    std::lock_guard lock(mutex_);
    refusal_ = why;
    changed_.notify_one();
  }
  // By who asks. What came before a refusal comes first.
  std::optional<ServiceEvent> next(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return !events_.empty() || refusal_; });
    if (!events_.empty()) {
      ServiceEvent event = std::move(events_.front());
      events_.pop_front();
      return event;
    }
    if (refusal_) throw *refusal_;
    return std::nullopt;
  }

  const ServiceRequest asked;
  GenerateRequest request;
  const TokenDraws draws;
  const std::shared_ptr<const Constraint> constraint;
  const std::chrono::steady_clock::time_point until;
  std::atomic<bool> given_up = false;  // nobody waits for it
  std::atomic<int64_t> known = 0;      // tokens of the prompt that were read before

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ServiceEvent> events_;
  std::optional<ServiceRefusal> refusal_;
};

}  // namespace temper
