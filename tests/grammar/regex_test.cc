#include "grammar/regex.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "test.h"

using namespace temper;

namespace {

std::string regex_refused(const std::string& pattern) {
  try {
    regex_automaton(pattern, "regex");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("regex: the texts that Python's fullmatch takes") {
  const Json cases = read_json_file(test_file("grammar/golden/regex.json"));
  REQUIRE(cases.size() > 200);
  int taken = 0, left = 0;
  for (const Json& c : cases) {
    const std::string pattern = c[0];
    const Automaton automaton = regex_automaton(pattern, "regex");
    for (const auto& [text, fits] : c[1].items()) {
      CAPTURE(pattern);
      CAPTURE(text);
      CHECK(automaton.matches(text) == fits.get<bool>());
      ++(fits.get<bool>() ? taken : left);
    }
  }
  CHECK(taken > 1000);
  CHECK(left > 1000);
}

TEST_CASE("regex: what is not offered says what and where") {
  const std::pair<const char*, const char*> cases[] = {
      {"a(b", "at byte 2: the group is never closed"},
      {"ab)", "at byte 3: ')' closes no group"},
      {"[ab", "at byte 1: the class is never closed"},
      {"a**", "at byte 3: a repetition directly behind another one"},
      {"*a", "at byte 1: '*' repeats nothing"},
      {"a|{2}", "at byte 3: a repetition of nothing"},
      {"a{3,2}", "the counts 3 to 2 are the wrong way round"},
      {"a{1000000}", "a count above 100000"},
      {"(a)\\1", "at byte 5: \\1: references to groups are not offered"},
      {"(?=a)b", "at byte 3: look-around is not offered"},
      {"(?<!a)b", "look-around is not offered"},
      {"(?P=n)", "references to groups are not offered"},
      {"(?i)a", "at byte 3: the group (?i is not offered"},
      {"a\\b", "at byte 3: \\b: word boundaries are not offered"},
      {"\\p{L}", "\\p: properties of characters are not offered"},
      {"\\q", "\\q is no escape that is offered"},
      {"a++", "possessive repetitions are not offered"},
      {"a^b", "at byte 2: '^' stands inside"},
      {"a$b", "at byte 2: '$' stands inside"},
      {"(a$)", "at byte 3: '$' stands inside"},
      {"[b-a]", "a range the wrong way round"},
      {"[[:alpha:]]", "POSIX classes are not offered"},
      {"[]a]", "']' directly behind '['"},
      {"\\ud800", "no character has this number"},
      {"\\x4", "too few hexadecimal digits"},
      {"a\\", "a backslash at the end"},
      {"\xff", "not valid UTF-8"},
      {"[^\\s\\S]", "the regular expression matches no text"},
      {"a[^\\d\\D]", "the regular expression matches no text"},
      {"(a|b)*a(a|b){40}", "its automaton is too large"},
      {"((((a{1000}){1000}){1000}){1000})", "the grammar is too large"},
      {"(((){99999}){99999}){99999}", "the grammar is too large"},
  };
  for (const auto& [pattern, message] : cases) {
    CAPTURE(pattern);
    const std::string found = regex_refused(pattern);
    CHECK_MESSAGE(found.find(message) != std::string::npos, found);
    CHECK(found.starts_with("regex: "));
    CHECK(found.find('\n') == std::string::npos);
  }
  CHECK(regex_refused(std::string(1000, '(')).find("more than 200 groups") != std::string::npos);
}

TEST_CASE("regex: bytes are those of whole characters") {
  const Automaton any = regex_automaton(".", "regex");
  for (const char* text : {"a", "\u00e9", "\u20ac", "\U0001F600", "\U0010FFFF", "\uFFFF", "\u0800"})
    CHECK(any.matches(text));
  for (const char* text :
       {"\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"})
    CHECK_FALSE(any.matches(text));
  const Automaton few = regex_automaton("[\\u007f-\\u0801]", "regex");
  CHECK(few.matches("\x7f"));
  CHECK(few.matches("\xe0\xa0\x81"));
  CHECK_FALSE(few.matches("\xe0\xa0\x82"));
  CHECK_FALSE(few.matches("~"));
}
