// From a request to its reply: asks the service, and tells what comes, at once or piece by piece.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/prompts.h"
#include "serve/protocol.h"
#include "serve/replies.h"
#include "serve/service.h"

namespace temper {

// What is served: a model, its adapters, and how they are talked to. Everything it points to outlives it.
struct ServedModel {
  std::string name;  // of the base
  DecodeService* service = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat = nullptr;  // null: there is none
  std::vector<int64_t> end_ids;        // of completions, as the service has them
  RequestDefaults defaults;
};

// Whether who asked has gone, in which case nobody is told anything any more.
using Gone = std::function<bool()>;

// A request under way.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual bool streams() const = 0;
  // The whole reply; null: who asked has gone. Throws ApiError and ServiceRefusal.
  virtual Json whole(const Gone& gone) = 0;
  // The pieces as server-sent events, the last one included. write: false: who asked has gone. An error
  // under way is told as an event of its own.
  virtual void stream(const Gone& gone, const std::function<bool(const std::string&)>& write) = 0;
  virtual int64_t tokens() const = 0;  // decoded so far
};

class Answerer {
 public:
  explicit Answerer(const ServedModel& model);
  // Reads the request and asks the service. Throws ApiError and ServiceRefusal.
  std::unique_ptr<Reply> chat(const Json& request) const;
  std::unique_ptr<Reply> completion(const Json& request) const;
  std::vector<ModelEntry> models() const;  // the base first

 private:
  std::string adapter_of(const std::string& model) const;
  ReplyHead head(ReplyKind kind, const std::string& model) const;
  void fit(CommonRequest& request, size_t prompt_tokens) const;
  std::unique_ptr<Answering> ask(const CommonRequest& request, const std::vector<int64_t>& prompt,
                                 uint64_t seed) const;

  const ServedModel& model_;
  PromptEncoder prompts_;
  TokenSpelling spelling_;
  std::string start_;  // of the ids of replies
  mutable std::atomic<uint64_t> replies_ = 0;
};

}  // namespace temper
