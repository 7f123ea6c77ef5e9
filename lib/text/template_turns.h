// Where the assistant's turns begin and end in a rendered chat.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "jinja/text.h"
#include "text/tokenizer.h"

namespace temper {

// The bytes [first, last) of a text from a message's first word to its last; none shown: first > last.
struct Words {
  size_t first = std::string::npos, last = 0;
  bool shown() const { return first < last; }
};
std::vector<Words> words_of(const jinja::Text& text, size_t messages);

// A turn is told from what the template prints behind the words before it: once in the whole chat, and once
// in the rendering of the messages up to there, which ends in the generation prompt or with the turn. What
// is printed there depends on the roles and on nothing that both are silent about, so it is rendered once
// for all turns that look alike in the whole; a chat of any length takes a few renderings.
class Turns {
 public:
  // The first `count` messages, rendered.
  using Render = std::function<jinja::Text(size_t count, bool generation_prompt)>;

  // text: all messages, rendered. All outlive this.
  Turns(const Tokenizer& tokenizer, const jinja::Text& text, const Json& messages, bool generation_prompt,
        Render render);

  // The byte where message i's turn begins: behind the generation prompt, or behind as much of it as the
  // turn has, where the prompt writes more than stored turns do (an open <think>). None: it cannot be told.
  std::optional<size_t> begin(size_t i);

  struct End {
    size_t at;     // one past the turn's last byte
    bool certain;  // false: the chat up to there ends in another way, alike up to `at` only
    bool closed;   // not certain, but it is a special token of that ending that begins there
    size_t words;  // one past its last word
  };
  std::optional<End> end(size_t i);

  const Words& words(size_t i) const { return words_[i]; }
  // The first byte of anyone's words at or behind `at`; npos: none.
  size_t next_words(size_t at) const;
  // The first message that has words in [begin, end); npos: none.
  size_t message_in(size_t begin, size_t end) const;

 private:
  struct Span {
    size_t begin, end, message;
  };
  struct Printed {
    std::string text;
    std::optional<size_t> given = {};  // of an opening: bytes that are no part of the generation prompt
    size_t repeats = 0;                // of a closing: see Turns::end
  };

  std::optional<jinja::Text> rendered(size_t count, bool generation_prompt) const;
  std::string roles(char kind, size_t from, size_t to) const;
  std::string until_words(size_t begin) const;
  std::optional<size_t> begin_as_rendered(size_t i, size_t before, size_t at, const std::string& look);
  std::optional<size_t> begin_as_others(size_t i) const;
  std::optional<size_t> find_given(size_t i, size_t before, const std::string& opening) const;

  const Tokenizer& tokenizer_;
  const std::string& text_;
  const Json& messages_;
  bool generation_prompt_;
  Render render_;
  std::vector<Words> words_;
  std::vector<std::vector<size_t>> word_ends_;  // of each message's spans of words
  std::vector<Span> spans_;                     // of words, by place
  std::map<std::string, Printed> printed_;
  // By the roles alone, for templates that print something else every time (that count the messages): what
  // the last turn told by rendering has before its words and behind them. Used when many renderings were
  // made.
  std::map<std::string, std::string> usual_;
  mutable int renderings_ = 0;
};

}  // namespace temper
