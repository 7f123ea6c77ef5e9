// What is put before the model: prompts as ids, and what makes an answer a call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/records.h"
#include "serve/protocol.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace temper {

struct ServedPrompt {
  std::vector<int64_t> ids;
  // What the answer has begun with already: where it has to be a call, the mark that opens one.
  std::string begun;
};

// Threads may share it.
class PromptEncoder {
 public:
  // chat: null: there is no template, and chats are refused. Both outlive this.
  PromptEncoder(const Tokenizer& tokenizer, const ChatTemplate* chat);

  // As temper-generate encodes the same messages. Tools reach the template, or, where it says nothing of
  // tools, a system message. A forced call goes into the request's sampling as a JSON schema. Throws
  // ApiError.
  ServedPrompt chat(ChatRequest& request) const;
  ServedPrompt plain(const CompletionRequest::Prompt& prompt) const;
  ToolFormat format() const { return format_; }

 private:
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_;
  RecordEncoder encoder_;
  ToolFormat format_ = ToolFormat::kJson;
  bool shows_tools_ = false, shows_results_ = false;
};

// What an answer of calls alone is: JSON of a schema, behind what it begins with.
struct ForcedCall {
  std::string begun;
  Json schema;
};
// function: "": one of all.
ForcedCall forced_call(ToolFormat format, const Json& tools, const std::string& function);

}  // namespace temper
