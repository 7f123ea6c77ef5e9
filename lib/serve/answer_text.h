// The text of an answer as it comes: what is shown of it already, and what is held back because a stop
// string, a call of a tool or half a character may stand there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rollout/completion.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace temper {

// How answers to a request are read.
struct AnswerRules {
  const Tokenizer* tokenizer = nullptr;
  std::vector<int64_t> end_ids;
  std::vector<std::string> stop;
  std::optional<ToolFormat> tools;  // nullopt: no text is a call
  bool parallel = true;             // else the first call alone counts
  std::string begun;                // what stands in front of the answer: it is a call
};

// An answer as it is told. With tools the blanks at its ends are left out. A call that cannot be read stays
// in the content as it was written; what is thought in <think> ... </think>, too.
struct Said {
  std::string content;
  std::vector<ToolCall> calls;
};
Said said_in(const AnswerRules& rules, const Completion& completion);

class AnswerText {
 public:
  // rules outlives this.
  explicit AnswerText(const AnswerRules& rules);
  // What can be shown behind the next token; "" often. Always whole characters.
  std::string push(int64_t id);
  // What is left to show when the answer is whole: all that was shown, put together, is said_in()'s content.
  Said finish(const Completion& completion);
  // The text so far, without special tokens; of which so many bytes were let go.
  const std::string& text() const { return text_; }
  size_t let_go() const { return let_go_; }

 private:
  size_t place_of_raw(size_t at) const;
  size_t held_from() const;

  const AnswerRules& rules_;
  std::unique_ptr<StreamDecoder> stream_, raw_stream_;
  std::string text_, raw_;                        // without and with special tokens
  std::vector<std::pair<size_t, size_t>> sizes_;  // of raw and text, after each token
  size_t let_go_ = 0;                             // of text_
  std::string shown_;
};

// The first place at which a call may begin in what has come of a text, text.size() where there is none.
size_t first_possible_call(ToolFormat format, std::string_view text);
// How many bytes at the text's end may be the beginning of `what`, but not all of it.
size_t begun_at_end(std::string_view text, std::string_view what);

}  // namespace temper
