// Chats as token ids, and which of the ids the assistant wrote.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "text/template_impl.h"
#include "text/template_places.h"
#include "text/template_turns.h"

namespace temper {
namespace {

using jinja::Text;

bool is_unlearnt(const Json& message) {
  return message.contains("weight") && message["weight"] == 0;
}

// Whether its turn is marked.
bool is_marked(const Json& message) {
  return message.contains("role") && message["role"] == "assistant" && !is_unlearnt(message);
}

bool has_unlearnt(const Json& messages) {
  return std::any_of(messages.begin(), messages.end(), is_unlearnt);
}

// Marks what the assistant wrote in an encoded chat.
class Marker {
 public:
  Marker(const Tokenizer& tokenizer, const Text& text, const Spans& plain, EncodedChat& chat, Turns& turns)
      : tokenizer_(tokenizer),
        text_(text),
        chat_(chat),
        turns_(turns),
        places_(tokenizer, chat.text, plain, chat.ids) {}

  // The generation spans, each with the special token that ends its turn even where the span stops before it.
  void mark_spans(const Json& messages) {
    const bool some_unlearnt = has_unlearnt(messages);
    for (const auto& [begin, end] : spans_of(text_, jinja::kGeneration)) {
      if (some_unlearnt) {
        const size_t message = turns_.message_in(begin, end);
        if (message == std::string::npos || is_unlearnt(messages[message])) continue;
      }
      const size_t first = places_.first(begin);
      size_t last = places_.last(end);
      if (special(last) && !ends_with_special(first, last)) {
        const size_t message = turns_.message_in(begin, end);
        const auto turn_end = message == std::string::npos ? std::nullopt : this->end(message, first);
        if (turn_end && *turn_end > last) ++last;
      }
      mark(first, last);
    }
  }

  // Message i's turn, from token `from` where that is given. Returns what of it cannot be told, "" when it is
  // marked.
  const char* mark_turn(size_t i, std::optional<size_t> from) {
    if (!from) {
      const auto begin = turns_.begin(i);
      if (!begin) return "beginning";
      from = places_.first(*begin);
    }
    const auto last = end(i, *from);
    if (!last) return "end";
    mark(*from, *last);
    return "";
  }

  // All from the token on, without what the template prints behind the last special token.
  void mark_rest(size_t first) { mark(first, without_blank(first, chat_.ids.size())); }

  void unmark(size_t last) {
    std::fill_n(chat_.assistant_mask.begin(), std::min(last, chat_.ids.size()), false);
  }

  size_t first(size_t byte) const { return places_.first(byte); }

 private:
  bool special(size_t k) const { return k < chat_.ids.size() && tokenizer_.is_special(chat_.ids[k]); }

  void mark(size_t first, size_t last) {
    for (size_t k = first; k < last; ++k) chat_.assistant_mask[k] = true;
  }

  bool blank(size_t first, size_t last) const {
    for (size_t k = first; k < last; ++k) {
      if (tokenizer_.decode({chat_.ids[k]}, true).find_first_not_of(" \t\r\n") != std::string::npos)
        return false;
    }
    return true;
  }

  bool ends_with_special(size_t first, size_t last) const {
    while (last > first && blank(last - 1, last)) --last;
    return last > first && special(last - 1);
  }

  // What the template prints behind a turn's end token (a line end) is not the assistant's.
  size_t without_blank(size_t first, size_t last) const {
    size_t cut = last;
    while (cut > first && !special(cut - 1)) --cut;
    return cut > first && blank(cut, last) ? cut : last;
  }

  // One past the last token of message i's turn, which begins at token `first`.
  std::optional<size_t> end(size_t i, size_t first) {
    const auto end = turns_.end(i);
    if (!end) return {};
    if (end->certain) return without_blank(first, std::max(first, places_.last(end->at)));
    // The chat up to there is closed in a way of its own. The turn reaches to the last special token that
    // both have behind its words, else to where the chat's own end token follows, else to the first special
    // token before anyone else's words.
    const size_t words = std::max(first, places_.last(end->words));
    size_t last = places_.first(end->at);
    while (last > words && !special(last - 1)) --last;
    if (last > words) return last;
    if (end->closed) {
      size_t shared = places_.last(end->at);
      while (shared > words && blank(shared - 1, shared)) --shared;
      if (shared > words) return shared;
    }
    for (last = words; last < chat_.ids.size() && !special(last);) ++last;
    const size_t next = turns_.next_words(end->words);
    const size_t limit = next == std::string::npos ? chat_.ids.size() : places_.first(next);
    return last < limit ? std::optional(last + 1) : std::nullopt;
  }

  const Tokenizer& tokenizer_;
  const Text& text_;
  EncodedChat& chat_;
  Turns& turns_;
  TokenPlaces places_;
};

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

Text ChatTemplate::Impl::prompt(const Tokenizer& tokenizer, const Json& messages, bool open,
                                const Json& variables) const {
  const size_t count = messages.size();
  Text text = render(messages, count, !open, variables);
  if (!open) return text;
  const Words words = words_of(text, count).back();
  if (words.shown()) return text.slice(0, words.last);
  // Nothing of it is shown, so its turn has just begun.
  const auto begin = Turns(tokenizer, text, messages, false, [&](size_t n, bool generation_prompt) {
                       return render(messages, n, generation_prompt, variables);
                     }).begin(count - 1);
  if (!begin) {
    user_error("{}: the last message cannot be continued: the template does not show it", where);
  }
  return text.slice(0, *begin);
}

std::vector<int64_t> ChatTemplate::encode_ids(const Tokenizer& tokenizer, const Json& messages,
                                              const Json& extra) const {
  const Text text = impl_->render(messages, messages.size(), false, impl_->variables(tokenizer, extra));
  return impl_->ids(tokenizer, text);
}

std::vector<int64_t> ChatTemplate::encode_prompt(const Tokenizer& tokenizer, const Json& messages, bool open,
                                                 const Json& extra) const {
  return impl_->ids(tokenizer, impl_->prompt(tokenizer, messages, open, impl_->variables(tokenizer, extra)));
}

std::vector<int64_t> ChatTemplate::encode_behind(const Tokenizer& tokenizer, const Json& messages,
                                                 size_t answer, const Json& extra) const {
  // What the model wrote stands in its ids; here a word in its place shows where it ends, whatever the
  // template does to old answers.
  Json chat = messages;
  chat[answer] = {{"role", "assistant"}, {"content", "answer"}};
  const Json variables = impl_->variables(tokenizer, extra);
  const Text text = [&] {
    try {
      return impl_->render(chat, chat.size(), true, variables);
    } catch (const UserError&) {
      // Some templates want to see the calls of old answers, others refuse several in one; what is written
      // behind the answer is the same.
      Json plain = chat;
      for (Json& message : plain) message.erase("tool_calls");
      if (plain == chat) throw;
      return impl_->render(plain, plain.size(), true, variables);
    }
  }();
  const std::vector<Words> words = words_of(text, chat.size());
  for (size_t i = answer; i < chat.size(); ++i) {
    if (words[i].shown()) continue;
    user_error(
        "{}: it does not show what a message of role {} says (message {}), so a conversation cannot go "
        "on with one",
        impl_->where, dump_line(chat[i].value("role", Json())), i);
  }
  return impl_->ids(tokenizer, text.slice(words[answer].last, text.size()));
}

std::vector<int64_t> ChatTemplate::Impl::ids(const Tokenizer& tokenizer, const Text& text) const {
  return tokenizer.encode(text.str(), {.parse_special = true, .plain = spans_of(text, ~jinja::kGeneration)});
}

EncodedChat ChatTemplate::encode(const Tokenizer& tokenizer, const Json& messages,
                                 bool generation_prompt) const {
  return encode(tokenizer, messages, generation_prompt, Json());
}

EncodedChat ChatTemplate::encode(const Tokenizer& tokenizer, const Json& messages, bool generation_prompt,
                                 const Json& extra) const {
  const Json variables = impl_->variables(tokenizer, extra);
  const auto render = [&](size_t count, bool prompt) {
    return impl_->render(messages, count, prompt, variables);
  };
  const Text text = render(messages.size(), generation_prompt);
  EncodedChat out{impl_->ids(tokenizer, text), {}, text.str(), {}};
  out.assistant_mask.assign(out.ids.size(), false);
  const Spans plain = spans_of(text, ~jinja::kGeneration);
  Turns turns(tokenizer, text, messages, generation_prompt, render);
  Marker marker(tokenizer, text, plain, out, turns);
  if (has_generation_spans()) {
    marker.mark_spans(messages);
    return out;
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!is_marked(messages[i])) continue;
    const std::string lost = marker.mark_turn(i, {});
    if (lost.empty()) continue;
    out.assistant_mask.clear();
    out.unmarked = fmt::format(
        "{}: the {} of the assistant's turn in message {} cannot be found, because the template writes the "
        "chat up to there differently; give a template with {{% generation %}} around what the assistant "
        "writes, or set targets to \"all\"",
        impl_->where, lost, i);
    break;
  }
  return out;
}

EncodedChat ChatTemplate::encode_answer(const Tokenizer& tokenizer, const Json& messages, const Json& prompt,
                                        bool open, const Json& extra) const {
  const Json variables = impl_->variables(tokenizer, extra);
  const auto render = [&](size_t count, bool generation_prompt) {
    return impl_->render(messages, count, generation_prompt, variables);
  };
  const Text text = render(messages.size(), false);
  EncodedChat out{impl_->ids(tokenizer, text), {}, text.str(), {}};
  out.assistant_mask.assign(out.ids.size(), false);
  const Spans plain = spans_of(text, ~jinja::kGeneration);
  Turns turns(tokenizer, text, messages, false, render);
  Marker marker(tokenizer, text, plain, out, turns);

  const size_t answer = prompt.size() - (open ? 1 : 0);
  if (answer >= messages.size()) return out;
  const Text asked = impl_->prompt(tokenizer, prompt, open, variables);
  size_t begin;
  if (text.str().starts_with(asked.str())) {
    begin = marker.first(asked.size());
  } else if (const auto turn = open ? std::nullopt : turns.begin(answer)) {
    begin = marker.first(*turn);
  } else {
    // As TRL: where the two part.
    const auto ids = impl_->ids(tokenizer, asked);
    const size_t n = std::min(ids.size(), out.ids.size());
    begin = static_cast<size_t>(
        std::mismatch(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n), out.ids.begin()).first -
        ids.begin());
  }

  if (has_generation_spans()) {
    marker.mark_spans(messages);
    marker.unmark(begin);
    return out;
  }
  for (size_t i = answer; i < messages.size(); ++i) {
    if (!is_marked(messages[i])) continue;
    const std::string lost = marker.mark_turn(i, i == answer ? std::optional(begin) : std::nullopt);
    if (lost.empty()) continue;
    if (has_unlearnt(messages)) {
      out.assistant_mask.clear();
      out.unmarked = fmt::format(
          "{}: the {} of the assistant's turn in message {} cannot be found, so that messages of \"weight\" "
          "0 "
          "cannot be told from the others; give a template with {{% generation %}} around what the assistant "
          "writes",
          impl_->where, lost, i);
      break;
    }
    marker.mark_rest(begin);
    break;
  }
  return out;
}

}  // namespace temper
