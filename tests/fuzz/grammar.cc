// 'r' and a regular expression, or a JSON schema; a zero byte, and a text.
#include "base/json.h"
#include "fuzz.h"
#include "grammar/regex.h"
#include "grammar/schema.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = fuzz::text_of(data, size);
  const size_t zero = all.find('\0');
  const std::string said(all.substr(0, zero));
  const std::string text(zero == std::string_view::npos ? "{\"a\": [1, \"b\", null]}" : all.substr(zero + 1));
  fuzz::reads([&] {
    const bool regex = said.starts_with('r');
    const Automaton automaton = regex ? regex_automaton(said.substr(1), "regex")
                                      : schema_automaton(parse_json(said, "schema"), "schema");
    Branches branches = automaton.begin();
    const auto alive = [&] {
      fuzz::promise(automaton.goes_on(branches) || automaton.accepts(branches),
                    "a beginning that has no end");
    };
    alive();
    // Whatever may follow leads on.
    for (const char byte : text) {
      if (!automaton.advance(branches, std::string_view(&byte, 1))) break;
      alive();
    }
    if (!regex && automaton.matches(text)) fuzz::promise(Json::accept(text), "an accepted text is no JSON");
  });
  return 0;
}
