// A service that says what a test tells it to, as fast or as slowly as it is told to, in the bytes of a fake
// tokenizer.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "serve/service.h"
#include "text/fake_tokenizer.h"

namespace temper {

// Its streams leave special tokens out, where they are not asked for.
class SpokenTokenizer : public FakeTokenizer {
 public:
  using FakeTokenizer::FakeTokenizer;
  class Stream : public FakeTokenizer::Stream {
   public:
    Stream(const FakeTokenizer& tokenizer, bool special)
        : FakeTokenizer::Stream(tokenizer), of_(tokenizer), special_(special) {}
    std::string push(int64_t id) override {
      return special_ || !of_.is_special(id) ? FakeTokenizer::Stream::push(id) : "";
    }

   private:
    const FakeTokenizer& of_;
    bool special_;
  };
  std::unique_ptr<TextStream> stream(bool special) const override {
    return std::make_unique<Stream>(*this, special);
  }
};

// Where a stop string begins in the text that is shown; npos: there is none.
inline size_t stop_in(const FakeTokenizer& tokenizer, const std::vector<int64_t>& ids,
                      const std::vector<std::string>& stops) {
  size_t cut = std::string::npos;
  const std::string shown = tokenizer.decode(ids, false), raw = tokenizer.decode(ids, true);
  for (const std::string& stop : stops) {
    cut = std::min(cut, shown.find(stop));
    size_t left = raw.find(stop), place = 0;
    if (left == std::string::npos) continue;
    for (const int64_t token : ids) {  // what stands before it without special tokens
      const size_t taken = std::min(left, tokenizer.piece(token).size());
      if (!tokenizer.is_special(token)) place += taken;
      left -= taken;
    }
    cut = std::min(cut, place);
  }
  return cut;
}

// What the decode engine makes of tokens: up to the end token, a stop string or the limit.
inline Completion completed(const FakeTokenizer& tokenizer, const std::vector<int64_t>& ids,
                            const std::vector<int64_t>& end_ids, const std::vector<std::string>& stops,
                            int64_t limit) {
  Completion out;
  size_t cut = std::string::npos;
  bool ended = false;
  for (const int64_t id : ids) {
    out.ids.push_back(id);
    ended = std::count(end_ids.begin(), end_ids.end(), id) > 0;
    if (!ended && !stops.empty()) cut = stop_in(tokenizer, out.ids, stops);
    if (ended || cut != std::string::npos || static_cast<int64_t>(out.ids.size()) == limit) break;
  }
  out.finish = ended                      ? FinishReason::kEnd
               : cut != std::string::npos ? FinishReason::kStop
                                          : FinishReason::kLength;
  out.text = tokenizer.decode({out.ids.begin(), out.ids.end() - (ended ? 1 : 0)}, false).substr(0, cut);
  // A character that the limit has cut, as real tokenizers tell it.
  out.text = Json::parse(dump_line(out.text)).get<std::string>();
  out.raw_text = tokenizer.decode(out.ids, true);
  return out;
}

class FakeService : public DecodeService {
 public:
  explicit FakeService(const FakeTokenizer& tokenizer) : tokenizer_(tokenizer) {
    end_ids = {*tokenizer.id("<end>")};
  }

  // What is said to a request's sample, special tokens spelt out; the end token comes behind it by itself.
  std::function<std::string(const ServiceRequest&, int64_t sample)> says =
      [](const ServiceRequest&, int64_t sample) { return "answer " + std::to_string(sample); };
  std::vector<int64_t> end_ids;
  std::chrono::milliseconds pace{0};  // of a token
  std::atomic<bool> busy = false, broken = false;
  std::atomic<int64_t> tokens_context = 4096, cancelled = 0, under_way = 0, asked_for = 0;
  ServiceRequest last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }

  std::unique_ptr<Answering> ask(ServiceRequest request) override;

  void load_adapter(const std::string& name, const std::string& folder) override {
    const std::lock_guard lock(mutex_);
    if (adapters_.count(name) > 0) user_error("there is an adapter \"{}\" already", name);
    if (folder == "broken") user_error("{}: no adapter", folder);
    adapters_[name] = folder;
  }
  bool unload_adapter(const std::string& name) override {
    const std::lock_guard lock(mutex_);
    return adapters_.erase(name) > 0;
  }
  std::map<std::string, std::string> adapters() const override {
    const std::lock_guard lock(mutex_);
    return adapters_;
  }
  ServiceFigures figures() const override { return {.requests = asked_for, .cancelled = cancelled}; }
  int64_t context() const override { return tokens_context; }
  void stop(std::chrono::milliseconds patience) override {
    stopping_ = true;
    const auto end = std::chrono::steady_clock::now() + patience;
    while (under_way > 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stopped_ = true;
  }

 private:
  friend class FakeAnswering;
  const FakeTokenizer& tokenizer_;
  mutable std::mutex mutex_;
  ServiceRequest last_;
  std::map<std::string, std::string> adapters_;
  std::atomic<bool> stopping_ = false, stopped_ = false;
};

class FakeAnswering : public Answering {
 public:
  FakeAnswering(FakeService& service, const ServiceRequest& request) : service_(service) {
    ++service_.under_way;
    for (int64_t s = 0; s < request.samples; ++s) {
      auto ids = service_.tokenizer_.encode(service_.says(request, s), {.parse_special = true});
      ids.push_back(service_.end_ids[0]);
      whole_.push_back(completed(service_.tokenizer_, ids, service_.end_ids, request.sampling.stop,
                                 request.sampling.max_new_tokens));
    }
    told_.resize(whole_.size());
    top_ = request.top_logprobs;
  }
  ~FakeAnswering() override {
    --service_.under_way;
    if (left_ < static_cast<int64_t>(whole_.size())) ++service_.cancelled;
  }
  // A token of each sample in turn.
  std::optional<ServiceEvent> next(std::chrono::milliseconds patience) override {
    if (service_.stopped_) throw ServiceRefusal(ServiceRefusal::Kind::kStopping, "the service has stopped");
    if (service_.broken) throw std::logic_error("a bug with a secret in it");
    if (std::chrono::steady_clock::now() < ready_) {
      std::this_thread::sleep_for(
          std::min<std::chrono::nanoseconds>(patience, ready_ - std::chrono::steady_clock::now()));
      if (std::chrono::steady_clock::now() < ready_) return std::nullopt;
    }
    ready_ = std::chrono::steady_clock::now() + service_.pace;
    while (told_[turn_ % told_.size()] > whole_[turn_ % told_.size()].ids.size()) ++turn_;
    const size_t sample = turn_++ % told_.size(), place = told_[sample]++;
    ServiceEvent out{.sample = static_cast<int64_t>(sample)};
    if (place == whole_[sample].ids.size()) {
      ++left_;
      out.completion = whole_[sample];
      return out;
    }
    out.id = whole_[sample].ids[place];
    if (top_) {
      out.logprob = {out.id, -0.5f};
      for (int64_t k = 0; k < *top_; ++k) out.top.push_back({65 + k, -1.0f - static_cast<float>(k)});
    }
    return out;
  }
  int64_t cached_tokens() const override { return 3; }

 private:
  FakeService& service_;
  std::vector<Completion> whole_;
  std::vector<size_t> told_;  // tokens of each; one more: its end
  std::optional<int64_t> top_;
  size_t turn_ = 0;
  int64_t left_ = 0;  // ended
  std::chrono::steady_clock::time_point ready_ = std::chrono::steady_clock::now();
};

inline std::unique_ptr<Answering> FakeService::ask(ServiceRequest request) {
  if (stopping_) throw ServiceRefusal(ServiceRefusal::Kind::kStopping, "the service stops");
  if (busy) throw ServiceRefusal(ServiceRefusal::Kind::kBusy, "256 samples wait already; try again later");
  {
    const std::lock_guard lock(mutex_);
    last_ = request;
  }
  ++asked_for;
  return std::make_unique<FakeAnswering>(*this, request);
}

}  // namespace temper
