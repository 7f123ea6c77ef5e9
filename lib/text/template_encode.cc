// Chats as token ids, and which of the ids the assistant wrote.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "text/template_impl.h"

namespace temper {
namespace {

using jinja::Text;

// Finds the tokens of byte positions. Where decoding gives the text back and a token ends at the position,
// the bytes of the decoded tokens tell; else (a normaliser changed the text, a token reaches over the
// position) the encoding of the text up to there is compared with the whole.
class TokenPlaces {
 public:
  TokenPlaces(const Tokenizer& tokenizer, const std::string& text, const Spans& plain,
              const std::vector<int64_t>& ids)
      : tokenizer_(tokenizer), text_(text), plain_(plain), ids_(ids) {
    StreamDecoder decoder(tokenizer, /*special=*/true);
    std::string decoded;
    for (const int64_t id : ids) {
      decoded += decoder.push(id);
      ends_.push_back(decoded.size());
    }
    counted_ = decoder.finish().empty() && decoded == text;
  }

  // The first token that has a byte at or behind `begin`, as transformers' char_to_token finds it.
  size_t first(size_t begin) const { return border(begin).whole; }

  // One past the last token that has a byte before `end`.
  size_t last(size_t end) const {
    const Border at = border(end);
    return std::min(at.whole + (at.crossed ? 1 : 0), ids_.size());
  }

 private:
  struct Border {
    size_t whole;  // tokens that lie before it
    bool crossed;  // whether the next one begins before it
  };

  Border border(size_t at) const {
    if (at == 0) return {0, false};
    if (counted_) {
      const auto k = static_cast<size_t>(std::lower_bound(ends_.begin(), ends_.end(), at) - ends_.begin());
      if (k < ends_.size() && ends_[k] == at) return {k + 1, false};
    }
    EncodeOptions options{.parse_special = true};
    for (const auto& [from, to] : plain_) {
      if (from < at) options.plain.emplace_back(from, std::min(to, at));
    }
    const auto part = tokenizer_.encode(std::string_view(text_).substr(0, at), options);
    const auto differ = std::mismatch(part.begin(), part.end(), ids_.begin(), ids_.end());
    return {static_cast<size_t>(differ.first - part.begin()), differ.first != part.end()};
  }

  const Tokenizer& tokenizer_;
  const std::string& text_;
  const Spans& plain_;
  const std::vector<int64_t>& ids_;
  std::vector<size_t> ends_;  // bytes of text that tokens [0, i] make
  bool counted_ = false;
};

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// The last byte that came from message i, plus one; 0 when none did.
size_t end_of_message(const Text& text, size_t message) {
  size_t end = 0;
  for (const Text::Run& run : text.runs()) {
    if (run.tag == jinja::kFirstMessage + message) end = run.end;
  }
  return end;
}

// Where the assistant's turn of message i begins; npos when that cannot be told. prompt: the chat before it,
// with the generation prompt. It begins the whole, or (Mistral moves the system's words and the tools to the
// last user turn) what it prints behind the words of message i - 1 stands behind them in the whole, too.
size_t begin_of_turn(const Text& text, const Text& prompt, size_t i) {
  if (text.str().starts_with(prompt.str())) return prompt.size();
  if (i == 0) return std::string::npos;
  const size_t words = end_of_message(prompt, i - 1);
  const std::string opening = prompt.str().substr(words);
  const size_t at = end_of_message(text, i - 1);
  const bool literal = prompt.runs().back().tag == jinja::kLiteral &&
                       (prompt.runs().size() < 2 || prompt.runs()[prompt.runs().size() - 2].end == words);
  if (words == 0 || at == 0 || !literal || text.str().compare(at, opening.size(), opening) != 0) {
    return std::string::npos;
  }
  return at + opening.size();
}

bool ends_with_special(const Tokenizer& tokenizer, const std::vector<int64_t>& ids, size_t first,
                       size_t last) {
  while (last > first && is_blank(tokenizer.decode({ids[last - 1]}, true))) --last;
  return last > first && tokenizer.is_special(ids[last - 1]);
}

}  // namespace

Json ChatTemplate::Impl::variables(const Tokenizer& tokenizer, const Json& extra) const {
  Json out = Json::object();
  auto name = [&](const char* key, std::optional<int64_t> id) {
    if (id) out[key] = tokenizer.piece(*id);
  };
  for (const auto& [key, token] : tokenizer.named_tokens()) out[key] = token;
  if (built_in) {
    const auto im_end = tokenizer.id("<|im_end|>");
    if (!im_end || !tokenizer.is_special(*im_end)) name("turn_end_token", tokenizer.eos());
  }
  if (!extra.is_null() && !extra.is_object())
    user_error("{}: the template's variables must be an object", where);
  for (const auto& [key, value] : extra.items()) out[key] = value;
  return out;
}

std::vector<int64_t> ChatTemplate::encode_ids(const Tokenizer& tokenizer, const Json& messages,
                                              bool generation_prompt, const Json& extra) const {
  const Json variables = impl_->variables(tokenizer, extra);
  const Text text = impl_->render(messages, messages.size(), generation_prompt, variables);
  return tokenizer.encode(text.str(), {.parse_special = true, .plain = spans_of(text, ~jinja::kGeneration)});
}

EncodedChat ChatTemplate::encode(const Tokenizer& tokenizer, const Json& messages,
                                 bool generation_prompt) const {
  return encode(tokenizer, messages, generation_prompt, Json());
}

EncodedChat ChatTemplate::encode(const Tokenizer& tokenizer, const Json& messages, bool generation_prompt,
                                 const Json& extra) const {
  const Json variables = impl_->variables(tokenizer, extra);
  const Text text = impl_->render(messages, messages.size(), generation_prompt, variables);
  const Spans plain = spans_of(text, ~jinja::kGeneration);
  EncodedChat out;
  out.text = text.str();
  out.ids = tokenizer.encode(out.text, {.parse_special = true, .plain = plain});
  out.assistant_mask.assign(out.ids.size(), false);
  const TokenPlaces places(tokenizer, out.text, plain, out.ids);
  auto mark = [&](size_t first, size_t last) {
    for (size_t k = first; k < last; ++k) out.assistant_mask[k] = true;
  };
  auto special = [&](size_t k) { return k < out.ids.size() && tokenizer.is_special(out.ids[k]); };

  if (has_generation_spans()) {
    for (const auto& [begin, end] : spans_of(text, jinja::kGeneration)) {
      const size_t first = places.first(begin);
      size_t last = places.last(end);
      if (special(last) && !ends_with_special(tokenizer, out.ids, first, last)) ++last;
      mark(first, last);
    }
    return out;
  }

  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].contains("role") || messages[i]["role"] != "assistant") continue;
    auto lost = [&](const char* what) {
      user_error(
          "{}: the {} of the assistant's turn in message {} cannot be found, because the template writes the "
          "chat up to there differently; give a template with {{% generation %}} around what the assistant "
          "writes",
          impl_->where, what, i);
    };
    const Text prompt = impl_->render(messages, i, true, variables);
    const size_t begin = begin_of_turn(text, prompt, i);
    if (begin == std::string::npos) lost("beginning");
    const size_t first = places.first(begin);

    size_t end = out.text.size();
    if (i + 1 < messages.size() || generation_prompt) {
      const std::string after = impl_->render(messages, i + 1, false, variables).str();
      end = begin == prompt.size() && after.size() >= begin && out.text.starts_with(after) ? after.size() : 0;
    }
    size_t last = std::max(first, places.last(end));
    if (end > 0) {
      // What the template prints behind the end token (a line end) is not the assistant's.
      size_t cut = last;
      while (cut > first && !special(cut - 1)) --cut;
      const std::vector<int64_t> rest(out.ids.begin() + static_cast<std::ptrdiff_t>(cut),
                                      out.ids.begin() + static_cast<std::ptrdiff_t>(last));
      if (cut > first && is_blank(tokenizer.decode(rest, true))) last = cut;
    } else {
      // Templates that drop the reasoning of earlier turns, or that close the last one in a way of its own:
      // the turn reaches to the first special token behind the message's words, before anyone else's.
      end = std::max(begin, end_of_message(text, i));
      last = std::max(first, places.last(end));
      while (last < out.ids.size() && !special(last)) ++last;
      const auto next =
          std::find_if(plain.begin(), plain.end(), [&](const auto& span) { return span.first >= end; });
      const size_t limit = next == plain.end() ? out.ids.size() : places.first(next->first);
      if (++last > limit) lost("end");
    }
    mark(first, last);
  }
  return out;
}

}  // namespace temper
