// OpenAI's objects: what requests are answered with, whole and in pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "grammar/token_texts.h"
#include "serve/service.h"
#include "text/tool_calls.h"

namespace temper {

// How tokens are spelt in log-probs. Threads may share it.
class TokenSpelling {
 public:
  explicit TokenSpelling(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // The bytes that the token adds to a text, which need not be whole characters; of a special token its name.
  std::string bytes(int64_t id) const;

 private:
  const Tokenizer& tokenizer_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<TokenTexts> texts_;  // read when first asked for; null: the tokenizer has no such
};

// A token of an answer, with what its place offered.
struct SpokenToken {
  TokenLogprob token;
  std::vector<TokenLogprob> top;
  size_t offset = 0;  // of the answer's text, in bytes
};

enum class ReplyKind { kChat, kCompletion };

// What all pieces of a reply have.
struct ReplyHead {
  ReplyKind kind = ReplyKind::kChat;
  std::string id;         // "chatcmpl-...", "cmpl-..."
  std::string model;      // as asked for
  int64_t created_s = 0;  // of the Unix epoch
};

struct Usage {
  int64_t prompt = 0, completion = 0, cached = 0;  // tokens
};

// "stop", "length" or "tool_calls".
std::string finish_reason(FinishReason reason, bool calls);

Json usage_json(const Usage& usage);
// [{"id", "type", "function": {"name", "arguments"}}]; ids come from the reply's id and their place.
Json calls_json(const std::vector<ToolCall>& calls, const ReplyHead& head, int64_t choice);
// {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}
Json chat_logprobs(const std::vector<SpokenToken>& tokens, const TokenSpelling& spelling);
// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; offsets count characters of `text`.
Json completion_logprobs(const std::vector<SpokenToken>& tokens, const std::string& text,
                         const TokenSpelling& spelling);

// A choice of a whole reply; logprobs may be null.
Json chat_choice(int64_t index, const std::string& content, const Json& calls, const Json& logprobs,
                 const std::string& finish);
Json completion_choice(int64_t index, const std::string& text, const Json& logprobs,
                       const std::string& finish);
// A choice of a piece; finish "": it goes on.
Json chat_piece(int64_t index, const Json& delta, const Json& logprobs, const std::string& finish);

Json whole_reply(const ReplyHead& head, Json choices, const Usage& usage);
// usage_asked: every piece has "usage": null until the last.
Json reply_piece(const ReplyHead& head, Json choices, bool usage_asked);
Json usage_piece(const ReplyHead& head, const Usage& usage);

// As a server-sent event.
std::string event_text(const Json& data);
constexpr const char* kDoneEvent = "data: [DONE]\n\n";

struct ModelEntry {
  std::string name, parent;  // parent "": it is the base
};
Json model_json(const ModelEntry& model, int64_t created_s);
Json models_json(const std::vector<ModelEntry>& models, int64_t created_s);

// Prometheus's text format.
std::string metrics_text(const ServiceFigures& figures);

}  // namespace temper
