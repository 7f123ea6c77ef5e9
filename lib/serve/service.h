// The model behind the server: one thread decodes for whoever asks, requests join and leave the batch as they
// come and go.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapter/adapter_set.h"
#include "model/model.h"
#include "rollout/completion.h"
#include "rollout/sampler.h"
#include "text/tokenizer.h"

namespace temper {

struct ServiceLimits {
  int64_t max_batch = 32;    // sequences decoded together
  int64_t queue = 256;       // samples that wait for a place; one more is refused
  int64_t context = 0;       // tokens of prompt and completion; 0: what the model has positions for
  int64_t max_samples = 16;  // of one request
  double request_s = 600;    // a request that takes longer ends as it is
  // Of prompts' keys and values, of each model, for prompts that begin alike.
  int64_t kept_prompt_bytes = 512 << 20;
};

// What is asked. `sampling` has been checked (SamplingOptions::check) by who asks.
struct ServiceRequest {
  std::string adapter;  // "": the base model
  std::vector<int64_t> prompt;
  int64_t samples = 1;
  uint64_t seed = 0;
  SamplingOptions sampling;
  // Of each token, so many of the likeliest tokens at its place; nullopt: none, and no log-probs.
  std::optional<int64_t> top_logprobs;
};

// A token as it came, or a sample's end.
struct ServiceEvent {
  int64_t sample = 0;
  int64_t id = -1;            // -1: this is the sample's end
  TokenLogprob logprob = {};  // where log-probs were asked for
  std::vector<TokenLogprob> top = {};
  std::optional<Completion> completion = {};  // of an end, all tokens and the text, stop string cut off
};

// Why a request came to nothing; what() is for who asked.
struct ServiceRefusal : std::runtime_error {
  enum class Kind {
    kRequest,   // it cannot be answered as it is: too long, an empty prompt
    kNoModel,   // no adapter of that name
    kBusy,      // the queue is full
    kStopping,  // the service ends
    kFailed     // the model diverged, or the machine lacks memory
  };
  Kind kind;
  ServiceRefusal(Kind kind, const std::string& what) : std::runtime_error(what), kind(kind) {}
};

// An answer under way. Dropping it cancels what has not been decoded.
class Answering {
 public:
  virtual ~Answering() = default;
  // Waits for what comes next, at most so long; nullopt: nothing has come yet. Behind the end of the last
  // sample it must not be called. Throws ServiceRefusal.
  virtual std::optional<ServiceEvent> next(std::chrono::milliseconds patience) = 0;
  virtual int64_t cached_tokens() const = 0;  // of the prompt, whose keys and values were there already
};

struct ServiceFigures {
  int64_t requests = 0, refused = 0, cancelled = 0;  // since the start
  int64_t prompt_tokens = 0, tokens = 0;             // read and decoded since the start
  int64_t active = 0, waiting = 0;                   // samples now
};

// All calls are thread-safe.
class DecodeService {
 public:
  virtual ~DecodeService() = default;  // waits for the thread; requests under way are refused
  // Throws ServiceRefusal.
  virtual std::unique_ptr<Answering> ask(ServiceRequest request) = 0;
  // Puts an adapter folder under a name. Throws UserError: another is there under the name, or it does not
  // fit the model and its vocabulary.
  virtual void load_adapter(const std::string& name, const std::string& folder) = 0;
  // What is asked of it already is answered first; false: there is none of the name.
  virtual bool unload_adapter(const std::string& name) = 0;
  virtual std::map<std::string, std::string> adapters() const = 0;  // name -> folder
  virtual ServiceFigures figures() const = 0;
  virtual int64_t context() const = 0;  // tokens of prompt and completion
  // No request is taken any more; those under way are answered until the deadline, then refused.
  virtual void stop(std::chrono::milliseconds patience) = 0;
};

// end_ids: of completions (rollout/end_ids.h). adapters: there from the beginning; these may add tokens to
// the model's. Throws UserError.
std::unique_ptr<DecodeService> make_decode_service(std::unique_ptr<Model> model,
                                                   std::shared_ptr<const Tokenizer> tokenizer,
                                                   std::vector<int64_t> end_ids, const ServiceLimits& limits,
                                                   const std::vector<AdapterEntry>& adapters = {});

}  // namespace temper
