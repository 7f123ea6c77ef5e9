#include "text/template_turns.h"

#include <algorithm>

#include "base/error.h"

namespace temper {

using jinja::Text;

namespace {

constexpr size_t kNone = std::string::npos;
constexpr int kRenderings = 256;  // of one chat, before turns are told as those before them

// The message that a tag stands for; kNone: another origin.
size_t message_of(jinja::Tag tag) {
  tag &= ~jinja::kGeneration;
  return tag < jinja::kFirstMessage ? kNone : tag - jinja::kFirstMessage;
}

size_t alike(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first - a.begin());
}

size_t spans_of_message(const Text& text, size_t message) {
  return static_cast<size_t>(std::count_if(text.runs().begin(), text.runs().end(), [&](const Text::Run& run) {
    return message_of(run.tag) == message;
  }));
}

// The nearest message before i whose words are shown; kNone: none.
size_t shown_before(const std::vector<Words>& words, size_t i) {
  while (i-- > 0) {
    if (words[i].shown()) return i;
  }
  return kNone;
}

size_t end_of(const std::vector<Words>& words, size_t i) {
  return i == kNone ? 0 : words[i].last;
}

// What a rendering prints behind the words of its last message that has some, `message`; none when that is
// another one, or words of others stand behind them.
std::optional<std::string_view> tail(const Text& text, const std::vector<Words>& words, size_t message) {
  if (shown_before(words, words.size()) != message) return {};
  const size_t at = end_of(words, message);
  for (const Words& w : words) {
    if (w.shown() && w.last > at) return {};
  }
  return std::string_view(text.str()).substr(at);
}

// The last border of the text's own tokens at or before `at`, and whether a special token begins there.
struct Border {
  size_t at;
  bool special;
};
Border token_border(const Tokenizer& tokenizer, const std::string& text, size_t at) {
  StreamDecoder decoder(tokenizer, /*special=*/true);
  size_t end = 0, border = 0;
  for (const int64_t id : tokenizer.encode(text, {.parse_special = true})) {
    end += decoder.push(id).size();
    if (end > at) return {border, tokenizer.is_special(id)};
    border = end;
  }
  return {at, false};
}

}  // namespace

std::vector<Words> words_of(const Text& text, size_t messages) {
  std::vector<Words> out(messages);
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    const size_t message = message_of(run.tag);
    if (message < messages && run.end > begin) {
      out[message].first = std::min(out[message].first, begin);
      out[message].last = run.end;
    }
    begin = run.end;
  }
  return out;
}

Turns::Turns(const Tokenizer& tokenizer, const Text& text, const Json& messages, bool generation_prompt,
             Render render)
    : tokenizer_(tokenizer),
      text_(text.str()),
      messages_(messages),
      generation_prompt_(generation_prompt),
      render_(std::move(render)),
      words_(words_of(text, messages.size())),
      word_ends_(messages.size()) {
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    const size_t message = message_of(run.tag);
    if (message != kNone) {
      spans_.push_back({begin, run.end, message});
      word_ends_[message].push_back(run.end);
    }
    begin = run.end;
  }
}

size_t Turns::next_words(size_t at) const {
  const auto next =
      std::partition_point(spans_.begin(), spans_.end(), [&](const Span& span) { return span.begin < at; });
  return next == spans_.end() ? kNone : next->begin;
}

size_t Turns::message_in(size_t begin, size_t end) const {
  const auto next =
      std::partition_point(spans_.begin(), spans_.end(), [&](const Span& span) { return span.end <= begin; });
  return next == spans_.end() || next->begin >= end ? kNone : next->message;
}

// A template may refuse a part of a chat that it takes as a whole.
std::optional<Text> Turns::rendered(size_t count, bool generation_prompt) const {
  ++renderings_;
  try {
    return render_(count, generation_prompt);
  } catch (const UserError&) {
    return {};
  }
}

// Two places look alike when the roles around them are the same (messages without words as they are), and
// what is printed there up to the next words.
std::string Turns::roles(char kind, size_t from, size_t to) const {
  std::string out(1, kind);
  for (size_t i = from == kNone ? 0 : from; i <= to && i < messages_.size(); ++i) {
    const Json& message = messages_[i];
    out += words_[i].shown() ? message.value("role", Json()).dump() : message.dump();
    out += '\n';
  }
  return out + (from == kNone ? "0" : "1");
}

std::string Turns::until_words(size_t begin) const {
  return text_.substr(begin, std::min(next_words(begin), text_.size()) - begin);
}

std::optional<size_t> Turns::find_given(size_t i, size_t before, const std::string& opening) const {
  if (i == 0) return 0;
  const std::optional<Text> chat = rendered(i, false);
  if (!chat) return {};
  const auto closing = tail(*chat, words_of(*chat, i), before);
  if (!closing) return {};
  const size_t same = alike(opening, *closing);
  return same == closing->size() ? same : token_border(tokenizer_, opening, same).at;
}

// Where the template refuses the messages before i (none: a chat that the assistant opens), the generation
// prompt of a later turn stands before its words.
std::optional<size_t> Turns::begin_as_others(size_t i) const {
  if (!words_[i].shown()) return {};
  const size_t from = end_of(words_, shown_before(words_, i));
  for (size_t k = i + 1; k < words_.size(); ++k) {
    if (messages_[k].value("role", Json()) != "assistant") continue;
    const std::optional<Text> chat = rendered(k, false), prompt = rendered(k, true);
    if (!chat || !prompt) return {};
    const std::string generation = prompt->str().substr(alike(chat->str(), prompt->str()));
    if (generation.empty()) return {};
    const std::string_view before = std::string_view(text_).substr(from, words_[i].first - from);
    const size_t at = before.rfind(generation);
    return at == std::string::npos ? std::nullopt : std::optional(from + at + generation.size());
  }
  return {};
}

std::optional<size_t> Turns::begin(size_t i) {
  const size_t before = shown_before(words_, i), at = end_of(words_, before), words = words_[i].first;
  const bool shown = words_[i].shown();
  if (shown && words < at) return {};
  const std::string roles = this->roles('b', before, i), look = roles + until_words(at);
  if (renderings_ >= kRenderings && !printed_.contains(look)) {
    const auto usual = usual_.find(roles);
    if (!shown || usual == usual_.end()) return {};
    const std::string& lead = usual->second;
    if (words - at < lead.size() || text_.compare(words - lead.size(), lead.size(), lead) != 0) return {};
    return words - lead.size();
  }
  const std::optional<size_t> told = begin_as_rendered(i, before, at, look);
  if (told && shown && *told <= words) usual_[roles] = text_.substr(*told, words - *told);
  return told;
}

std::optional<size_t> Turns::begin_as_rendered(size_t i, size_t before, size_t at, const std::string& look) {
  auto [found, is_new] = printed_.try_emplace(look);
  Printed& opening = found->second;
  if (is_new) {
    const std::optional<Text> prompt = rendered(i, true);
    const auto behind = prompt ? tail(*prompt, words_of(*prompt, i), before) : std::nullopt;
    if (!behind) {
      printed_.erase(found);
      if (prompt && text_.starts_with(prompt->str())) return prompt->size();
      return prompt ? std::nullopt : begin_as_others(i);
    }
    opening.text = *behind;
  }
  if (text_.compare(at, opening.text.size(), opening.text) == 0) return at + opening.text.size();
  if (!opening.given) {
    opening.given = find_given(i, before, opening.text);
    if (!opening.given) return {};
  }
  const size_t limit = words_[i].shown() ? words_[i].first : std::min(next_words(at), text_.size());
  const size_t same = alike(opening.text, std::string_view(text_).substr(at, limit - at));
  if (same < *opening.given) return {};
  return at + std::max(*opening.given, token_border(tokenizer_, opening.text, same).at);
}

// Words of a message may be said again in a later turn (a tool's answer names the call): more spans of them
// than the chat up to there has are no part of its own turn.
std::optional<Turns::End> Turns::end(size_t i) {
  const bool shown = words_[i].shown();
  std::optional<size_t> start = shown ? words_[i].last : begin(i);
  if (!start) return {};
  if (i + 1 == words_.size() && !generation_prompt_) return End{text_.size(), true, false, *start};
  const size_t before = shown ? i : shown_before(words_, i);
  const std::string roles = this->roles('e', before, i + 1), look = roles + until_words(*start);
  if (renderings_ >= kRenderings && !printed_.contains(look)) {
    const auto usual = usual_.find(roles);
    if (usual == usual_.end() || text_.compare(*start, usual->second.size(), usual->second) != 0) return {};
    return End{*start + usual->second.size(), true, false, *start};
  }
  auto [found, is_new] = printed_.try_emplace(look);
  if (is_new) {
    const std::optional<Text> chat = rendered(i + 1, false);
    auto behind = chat ? tail(*chat, words_of(*chat, i + 1), before) : std::nullopt;
    if (behind && !shown) {  // behind the turn's beginning, then
      const size_t from = end_of(words_, before);
      const auto opening = std::string_view(text_).substr(from, *start - from);
      behind = behind->starts_with(opening) ? std::optional(behind->substr(opening.size())) : std::nullopt;
    }
    if (!behind) {
      printed_.erase(found);
      if (chat && text_.starts_with(chat->str()) && chat->size() >= *start)
        return End{chat->size(), true, false, *start};
      return End{*start, false, false, *start};
    }
    found->second.text = *behind;
    const size_t own = spans_of_message(*chat, i);
    if (shown && own > 0 && own < word_ends_[i].size()) found->second.repeats = word_ends_[i].size() - own;
  }
  const auto& [closing, given, repeats] = found->second;
  if (repeats > 0 && repeats < word_ends_[i].size()) start = word_ends_[i].rbegin()[repeats];
  const size_t limit = std::min(next_words(*start), text_.size());
  const size_t same = alike(closing, std::string_view(text_).substr(*start, limit - *start));
  if (same == closing.size()) {
    if (is_new && repeats == 0) usual_[roles] = closing;
    return End{*start + same, true, false, *start};
  }
  const Border border = token_border(tokenizer_, closing, same);
  return End{*start + (border.special ? border.at : same), false, border.special && border.at > 0, *start};
}

}  // namespace temper
