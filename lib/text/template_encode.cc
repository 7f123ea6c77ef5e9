// Chats as token ids, and which of the ids the assistant wrote.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "text/template_impl.h"

namespace temper {
namespace {

using jinja::Text;

// Finds the tokens of byte positions. Where decoding gives the text back, each token's bytes are counted;
// where it does not (a normaliser changed the text), the encodings of the text's prefixes are compared with
// the whole.
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

  // The first token that has a byte at or behind `begin`; a character spread over tokens belongs to each of
  // them.
  size_t first(size_t begin) const {
    if (!counted_) return common(begin).first;
    auto at = static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
    while (at > 0 && ends_[at - 1] == begin && (at == 1 ? begin == 0 : ends_[at - 2] == begin)) --at;
    return at;
  }

  // One past the last token that has a byte before `end`.
  size_t last(size_t end) const {
    if (!counted_) {
      const auto [same, all] = common(end);
      return std::min(same + (all ? 0 : 1), ids_.size());
    }
    const auto at = static_cast<size_t>(std::lower_bound(ends_.begin(), ends_.end(), end) - ends_.begin());
    return std::min(at + 1, ids_.size());
  }

 private:
  // How many ids the text up to `end` shares with the whole, and whether those are all it has.
  std::pair<size_t, bool> common(size_t end) const {
    EncodeOptions options{.parse_special = true};
    for (const auto& [from, to] : plain_) {
      if (from < end) options.plain.emplace_back(from, std::min(to, end));
    }
    const auto prefix = tokenizer_.encode(std::string_view(text_).substr(0, end), options);
    const auto differ = std::mismatch(prefix.begin(), prefix.end(), ids_.begin(), ids_.end());
    return {static_cast<size_t>(differ.first - prefix.begin()), differ.first == prefix.end()};
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

struct Turn {
  size_t begin, end;  // bytes
  bool open = false;  // end is where the message's own text ends: its end token is still to come
};

}  // namespace

Json ChatTemplate::Impl::variables(const Tokenizer& tokenizer, const Json& extra) const {
  Json out = Json::object();
  auto name = [&](const char* key, std::optional<int64_t> id) {
    if (id) out[key] = tokenizer.piece(*id);
  };
  name("bos_token", tokenizer.bos());
  name("eos_token", tokenizer.eos());
  name("pad_token", tokenizer.pad());
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
      if (last > 0 && !special(last - 1) && special(last)) ++last;
      mark(first, last);
    }
    return out;
  }

  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].contains("role") || messages[i]["role"] != "assistant") continue;
    const std::string before = impl_->render(messages, i, true, variables).str();
    if (!out.text.starts_with(before)) {
      user_error(
          "{}: the assistant's turn cannot be found: the text before message {} is not the beginning of the "
          "whole chat; give a template with {{% generation %}} around what the assistant writes",
          impl_->where, i);
    }
    Turn turn{before.size(), out.text.size()};
    if (i + 1 < messages.size() || generation_prompt) {
      const std::string after = impl_->render(messages, i + 1, false, variables).str();
      if (out.text.starts_with(after) && after.size() >= turn.begin) {
        turn.end = after.size();
      } else {
        // Templates that drop the reasoning of earlier turns write this one differently when it is the last.
        turn.end = end_of_message(text, i);
        turn.open = true;
        if (turn.end < turn.begin) {
          user_error(
              "{}: the end of the assistant's turn in message {} cannot be found; give a template with "
              "{{% generation %}} around what the assistant writes",
              impl_->where, i);
        }
      }
    }
    const size_t first = places.first(turn.begin);
    size_t last = std::max(first, places.last(turn.end));
    if (turn.open) {
      while (last < out.ids.size() && !special(last)) ++last;
      last = std::min(last + 1, out.ids.size());
    } else {
      // What the template prints behind the end token (a line end) is not the assistant's.
      size_t end = last;
      while (end > first && !special(end - 1)) --end;
      const std::vector<int64_t> rest(out.ids.begin() + static_cast<std::ptrdiff_t>(end),
                                      out.ids.begin() + static_cast<std::ptrdiff_t>(last));
      if (end > first && is_blank(tokenizer.decode(rest, true))) last = end;
    }
    mark(first, last);
  }
  return out;
}

}  // namespace temper
