// Regular expressions that constrain a text: the regular part of what Python and ECMAScript write alike.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/builder.h"

namespace temper {

// Literals, escapes, classes, groups, alternatives, ? * + {m} {m,} {m,n} {,n}, and . (not a line end). \d \w
// \s are ASCII's. The mark of a lazy repetition is read and means nothing, for it changes no language. ^ and
// $ may stand at the ends of the whole or of one of its outermost alternatives.
class RegexTree {
 public:
  // Throws UserError with `where`, the place in the pattern and what is wrong there; so for what is not
  // regular or not offered: references, look-around, \b, possessive repetitions, flags, \p.
  RegexTree(const std::string& pattern, const std::string& where);
  RegexTree(RegexTree&&) noexcept;
  ~RegexTree();

  // How one character of a set is spelt.
  using Spelling = std::function<GrammarBuilder::State(GrammarBuilder::State from, const CharSet& set)>;
  // The whole text is the pattern's.
  GrammarBuilder::State whole(GrammarBuilder& builder, GrammarBuilder::State from,
                              const Spelling& spelling) const;
  // The text holds the pattern, where ^ and $ say so at its ends.
  GrammarBuilder::State anywhere(GrammarBuilder& builder, GrammarBuilder::State from,
                                 const Spelling& spelling) const;

  struct Node;
  struct Alternative {
    std::unique_ptr<Node> node;
    bool from_start = false, to_end = false;  // ^ and $
  };

 private:
  std::vector<Alternative> alternatives_;
};

// Texts that match the pattern from end to end. Throws UserError as RegexTree does, when it matches nothing,
// and when its automaton is too large.
Automaton regex_automaton(const std::string& pattern, const std::string& where);

}  // namespace temper
