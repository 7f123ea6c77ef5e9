// What a regular expression is made of.
#pragma once

#include <memory>
#include <vector>

#include "grammar/regex.h"

namespace temper {

struct RegexTree::Node {
  enum Kind { kSet, kSequence, kEither, kRepeat };
  Kind kind = kSequence;
  CharSet set;
  std::vector<std::unique_ptr<Node>> parts;
  int64_t least = 0, most = 0;  // of kRepeat; most < 0: without an end
};

// The alternatives of a pattern; throws as RegexTree does.
std::vector<RegexTree::Alternative> parse_regex(const std::string& pattern, const std::string& where);

}  // namespace temper
