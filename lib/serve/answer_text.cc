#include "serve/answer_text.h"

#include <algorithm>

namespace temper {
namespace {

constexpr const char* kBlank = " \t\r\n";
constexpr size_t kNone = std::string_view::npos;

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(kBlank);
  return begin == kNone ? "" : text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// The mark that opens a call; nullptr: calls are bare JSON.
const char* mark_of(ToolFormat format) {
  switch (format) {
    case ToolFormat::kHermes:
      return "<tool_call>";
    case ToolFormat::kLlama3:
      return "<|python_tag|>";
    case ToolFormat::kMistral:
      return "[TOOL_CALLS]";
    case ToolFormat::kJson:
      break;
  }
  return nullptr;
}

// Behind what is thought, where no call stands: as text/tool_calls.cc has it.
size_t behind_thoughts(std::string_view text) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const size_t close = text.rfind(kClose), said = close == kNone ? 0 : close + kClose.size();
  return text.find(kOpen, said) == kNone ? said : text.size();
}

// Whether a call in JSON may begin at `at`, as far as the text has come.
bool may_be_call(std::string_view text, size_t at) {
  if (at >= text.size()) return true;
  if (text[at] != '{' && text[at] != '[') return false;
  if (text[at] == '[') {
    at = text.find_first_not_of(kBlank, at + 1);
    if (at == kNone) return true;
    if (text[at] != '{') return false;
  }
  at = text.find_first_not_of(kBlank, at + 1);
  if (at == kNone) return true;
  const std::string_view rest = text.substr(at);
  for (const std::string_view key : {"\"name\"", "\"type\""})
    if (rest.starts_with(key) || key.starts_with(rest)) return true;
  return false;
}

// Where a line begins that may be a call, or a fence in front of one.
size_t first_json_call(std::string_view text, size_t from) {
  for (size_t line = from; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    const size_t first = std::min(text.find_first_not_of(" \t\r", line), text.size());
    if (first >= end) {  // a blank line, perhaps the last
      if (end == text.size()) return line;
      line = end + 1;
      continue;
    }
    if (may_be_call(text, first)) return line;
    const std::string words = trimmed(std::string(text.substr(line, end - line)));
    constexpr std::string_view kFence = "```json";
    const bool whole = end < text.size();
    if (whole ? words == "```" || words == kFence : kFence.starts_with(words)) {
      const size_t next = text.find_first_not_of(kBlank, std::min(end + 1, text.size()));
      if (next == kNone || may_be_call(text, next)) return line;
    }
    line = end + 1;
  }
  return text.size();
}

// The raw text of the answer itself, where marks stand that are special tokens.
std::string raw_of(const AnswerRules& rules, const Completion& completion) {
  std::vector<int64_t> ids = completion.ids;
  if (completion.finish == FinishReason::kEnd && !ids.empty()) ids.pop_back();
  std::string raw = rules.tokenizer->decode(ids, true);
  if (completion.finish != FinishReason::kStop) return raw;
  size_t cut = raw.size();
  for (const std::string& stop : rules.stop) cut = std::min(cut, raw.find(stop));
  return raw.substr(0, cut);
}

// Special tokens are not shown, also where the marks of calls are some.
void hide_special(const AnswerRules& rules, const Completion& completion, std::string& text) {
  for (const int64_t id : completion.ids) {
    if (!rules.tokenizer->is_special(id)) continue;
    const std::string piece = rules.tokenizer->decode({id}, true);
    for (size_t at = text.find(piece); !piece.empty() && at != kNone; at = text.find(piece, at))
      text.erase(at, piece.size());
  }
}

}  // namespace

size_t begun_at_end(std::string_view text, std::string_view what) {
  for (size_t n = std::min(text.size(), what.size() - 1); n > 0; --n)
    if (text.ends_with(what.substr(0, n))) return n;
  return 0;
}

size_t first_possible_call(ToolFormat format, std::string_view text) {
  const size_t from = behind_thoughts(text);
  const std::string_view said = text.substr(from);
  size_t first = text.size();
  if (const char* mark = mark_of(format)) {
    const size_t at = said.find(mark);
    first = at != kNone ? from + at : text.size() - begun_at_end(said, mark);
  }
  if (format == ToolFormat::kJson) return first_json_call(text, from);
  if (format != ToolFormat::kLlama3) return first;
  const size_t word = text.find_first_not_of(kBlank, from);
  return word == kNone || may_be_call(text, word) ? std::min(first, from) : first;
}

Said said_in(const AnswerRules& rules, const Completion& completion) {
  if (!rules.tools) return {completion.text, {}};
  const std::string raw = rules.begun + raw_of(rules, completion);
  ToolCalls read = read_tool_calls(*rules.tools, rules.begun + completion.text, raw);
  Said out;
  hide_special(rules, completion, read.content);
  std::string unread;
  for (ToolCall& call : read.calls) {
    if (!call.error.empty())
      unread += "\n" + call.written;
    else if (rules.parallel || out.calls.empty())
      out.calls.push_back(std::move(call));
  }
  hide_special(rules, completion, unread);
  out.content = trimmed(read.content + unread);
  return out;
}

AnswerText::AnswerText(const AnswerRules& rules)
    : rules_(rules), stream_(std::make_unique<StreamDecoder>(*rules.tokenizer)) {
  if (!rules.stop.empty() || rules.tools)
    raw_stream_ = std::make_unique<StreamDecoder>(*rules.tokenizer, /*special=*/true);
}

std::string AnswerText::push(int64_t id) {
  // It is the last, and no part of the text, special or not.
  if (std::count(rules_.end_ids.begin(), rules_.end_ids.end(), id) > 0) return "";
  text_ += stream_->push(id);
  if (raw_stream_ != nullptr) {
    raw_ += raw_stream_->push(id);
    sizes_.emplace_back(raw_.size(), text_.size());
  }
  const size_t until = held_from();
  if (until <= let_go_) return "";
  std::string out = text_.substr(let_go_, until - let_go_);
  let_go_ = until;
  if (rules_.tools && shown_.empty()) {
    const size_t begin = out.find_first_not_of(kBlank);
    out = begin == kNone ? "" : out.substr(begin);
  }
  shown_ += out;
  return out;
}

// The place of a byte of the raw text in the text without special tokens.
size_t AnswerText::place_of_raw(size_t at) const {
  const auto next = std::upper_bound(sizes_.begin(), sizes_.end(), std::pair(at, SIZE_MAX));
  const auto [raw, text] = next == sizes_.begin() ? std::pair<size_t, size_t>() : *std::prev(next);
  return std::min(text + (at - raw), next == sizes_.end() ? text : next->second);
}

size_t AnswerText::held_from() const {
  size_t until = text_.size();
  for (const std::string& stop : rules_.stop) {
    until = std::min(until, text_.size() - begun_at_end(text_, stop));
    if (const size_t n = begun_at_end(raw_, stop); n > 0)
      until = std::min(until, place_of_raw(raw_.size() - n));
    // A stop string that is there has ended the answer, which says so next.
    const auto [raw_before, before] =
        sizes_.size() > 1 ? sizes_[sizes_.size() - 2] : std::pair<size_t, size_t>();
    const auto found = [&](const std::string& text, size_t old) {
      return text.find(stop, old + 1 > stop.size() ? old + 1 - stop.size() : 0);
    };
    until = std::min(until, found(text_, before));
    if (const size_t at = found(raw_, raw_before); at != kNone) until = std::min(until, place_of_raw(at));
  }
  if (!rules_.tools) return until;
  if (!rules_.begun.empty()) return 0;
  until = std::min(until, first_possible_call(*rules_.tools, text_));
  if (raw_.size() != text_.size() && mark_of(*rules_.tools) != nullptr) {
    const size_t at = first_possible_call(*rules_.tools, raw_);
    if (at < raw_.size()) until = std::min(until, place_of_raw(at));
  }
  const size_t word = text_.find_last_not_of(kBlank, until == 0 ? 0 : until - 1);
  return until == 0 || word == kNone ? 0 : std::min(until, word + 1);
}

Said AnswerText::finish(const Completion& completion) {
  Said out = said_in(rules_, completion);
  out.content = out.content.starts_with(shown_) ? out.content.substr(shown_.size()) : "";
  let_go_ = std::max(let_go_, text_.size());
  return out;
}

}  // namespace temper
