// Which modules an adapter touches, by PEFT's rules.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

// A regular expression that must match a whole text, in Python's syntax. Matching that takes too many steps
// throws UserError, as a pattern that is none does; `where` names the place in the message.
class WholeMatch {
 public:
  WholeMatch(const std::string& pattern, const std::string& where);
  ~WholeMatch();
  WholeMatch(WholeMatch&&) noexcept;
  bool operator()(const std::string& text) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// targets: "all-linear" is every linear of every block; another string is a regular expression of whole
// module paths; an array holds paths or their last parts ("q_proj", "self_attn.q_proj"). Throws UserError
// when one entry or all of them match nothing, listing what there is.
std::vector<std::string> select_modules(const std::vector<std::string>& modules, const Json& targets,
                                        const std::string& where);

// {"pattern": number}: the first pattern that matches the path or, after a dot, its end (PEFT's
// get_pattern_key). `fallback` when none does.
double pattern_value(const Json& patterns, const std::string& path, double fallback,
                     const std::string& where);

// The short names that mean the same selection: the last part of each path where all modules of that name are
// chosen, whole paths otherwise.
std::vector<std::string> short_names(const std::vector<std::string>& modules,
                                     const std::vector<std::string>& chosen);

bool path_ends_with(const std::string& path, const std::string& name);  // equal, or behind a dot

}  // namespace temper
