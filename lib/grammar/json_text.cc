#include "grammar/json_text.h"

#include <map>

#include "base/json.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

using State = GrammarBuilder::State;

// What a string holds as it is.
const CharSet& plain() {
  static const CharSet set = CharSet{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}.complement();
  return set;
}
CharSet hex_digits() {
  return {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
}

}  // namespace

State JsonText::space(State from) {
  const State end = b_.state();
  b_.skip(from, end);
  b_.step(from, {' ', ' '}, end);
  State at = b_.bytes(from, "\n");
  for (int i = 0; i < kIndent; ++i) {
    b_.skip(at, end);
    at = b_.bytes(at, " ");
  }
  b_.skip(at, end);
  return end;
}

State JsonText::any_character(State from) {
  const auto hex = [&](State at, int count) {
    for (int i = 0; i < count; ++i) at = b_.characters(at, hex_digits());
    return at;
  };
  return b_.either(
      from,
      {[&](State at) { return b_.characters(at, plain()); },
       [&](State at) {
         return b_.characters(b_.bytes(at, "\\"), CharSet{{'"', '"'},
                                                          {'/', '/'},
                                                          {'\\', '\\'},
                                                          {'b', 'b'},
                                                          {'f', 'f'},
                                                          {'n', 'n'},
                                                          {'r', 'r'},
                                                          {'t', 't'}});
       },
       [&](State at) {  // not a surrogate
         return hex(
             b_.characters(b_.bytes(at, "\\u"), {{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}}),
             3);
       },
       [&](State at) {
         return hex(b_.characters(b_.characters(b_.bytes(at, "\\u"), {{'D', 'D'}, {'d', 'd'}}), {{'0', '7'}}),
                    2);
       },
       [&](State at) {  // a pair of surrogates
         at = b_.characters(b_.bytes(at, "\\u"), {{'D', 'D'}, {'d', 'd'}});
         at = hex(b_.characters(at, {{'8', '9'}, {'A', 'B'}, {'a', 'b'}}), 2);
         at = b_.characters(b_.bytes(at, "\\u"), {{'D', 'D'}, {'d', 'd'}});
         return hex(b_.characters(at, {{'C', 'F'}, {'c', 'f'}}), 2);
       }});
}

State JsonText::character(State from, const CharSet& set) {
  const State end = b_.state();
  if (const CharSet as_is = set.common(plain()); !as_is.empty()) b_.skip(b_.characters(from, as_is), end);
  const CharSet escaped = set.common(plain().complement());
  for (const CharRange& r : escaped.ranges()) {
    for (char32_t c = r.first; c <= r.last; ++c) {
      const std::string spelt = dump_line(std::string(1, static_cast<char>(c)));
      b_.skip(b_.bytes(from, spelt.substr(1, spelt.size() - 2)), end);
    }
  }
  return end;
}

State JsonText::any_string(State from) {
  const State chars = b_.repeat(b_.bytes(from, "\""), 0, -1, [&](State at) { return any_character(at); });
  return b_.bytes(chars, "\"");
}

State JsonText::other_string(State from, const std::vector<std::string>& names) {
  struct Begun {
    std::map<char32_t, size_t> next;
    bool whole = false;  // a name ends here
    State state = -1;
  };
  std::vector<Begun> begun(1);
  for (const std::string& name : names) {
    size_t at = 0;
    for (size_t i = 0; i < name.size();) {
      const auto [next, fresh] = begun[at].next.emplace(next_char(name, i), begun.size());
      at = next->second;
      if (fresh) begun.emplace_back();
    }
    begun[at].whole = true;
  }
  const State end = b_.state(), other = b_.state();  // other: behind a beginning that is of no name
  const State rest = b_.repeat(other, 0, -1, [&](State at) { return character(at, CharSet::all()); });
  b_.skip(b_.bytes(rest, "\""), end);
  begun[0].state = b_.bytes(from, "\"");
  for (const Begun& at : begun) {  // a beginning stands before those that go on with it
    CharSet going_on;
    for (const auto& [c, next] : at.next) {
      going_on.add(c, c);
      begun[next].state = character(at.state, {{c, c}});
    }
    b_.skip(character(at.state, going_on.complement()), other);
    if (!at.whole) b_.skip(b_.bytes(at.state, "\""), end);
  }
  return end;
}

State JsonText::literal(State from, const Json& value) {
  return b_.bytes(from, dump_line(value));
}

}  // namespace temper
