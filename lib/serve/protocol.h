// Requests of /v1/chat/completions and /v1/completions, read from their JSON. What has no implementation is
// refused by name, never passed over; user, metadata, store and service_tier, which say nothing of the
// answer, are accepted and ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "rollout/sampler.h"

namespace temper {

constexpr size_t kMaxStops = 16, kMaxPrompts = 128, kMaxTools = 128;

// What is the same for all requests.
struct RequestDefaults {
  SamplingOptions sampling;  // where a request says nothing else
  int64_t max_samples = 16;  // the bound of "n"
};

struct CommonRequest {
  std::string model;  // "": the base
  bool stream = false, include_usage = false;
  std::optional<int64_t> max_tokens;
  int64_t default_tokens = 0;  // where max_tokens is not given; 0: what the context has left
  int64_t samples = 1;         // "n"
  std::optional<uint64_t> seed;
  SamplingOptions sampling;  // checked, but for max_new_tokens, which the prompt decides
  std::optional<int64_t> top_logprobs;
};

struct ToolUse {
  Json tools = Json::array();  // empty: none are shown, and no text is a call
  bool forced = false;         // the answer is a call,
  std::string function;        // of this one; "": of any
  bool parallel = true;        // several calls in an answer; else the first alone
};

struct ChatRequest : CommonRequest {
  // {"role", "content": text}, and of the assistant "tool_calls" with arguments as objects. "developer" has
  // become "system". One whose last message is the assistant's is continued.
  Json messages = Json::array();
  ToolUse tools;
  Json template_variables = Json::object();  // "chat_template_kwargs"
};

struct CompletionRequest : CommonRequest {
  using Prompt = std::variant<std::string, std::vector<int64_t>>;
  std::vector<Prompt> prompts;
};

// Throw ApiError.
ChatRequest read_chat_request(const Json& json, const RequestDefaults& defaults);
CompletionRequest read_completion_request(const Json& json, const RequestDefaults& defaults);

}  // namespace temper
