// Stories in which a number of things changes, step by step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"

namespace temper {

struct Story {
  std::string question;  // the sentences, then what is asked
  std::string solution;  // a line a step, each with its equation "12 + 5 = 17", then "#### 17"
};

// A story of so many steps by these operations ('+', '-', '*', '/'), all of whose numbers are whole, from 1
// to max_number. nullopt: it came to a number from which none of the operations leads on.
std::optional<Story> tell_story(int64_t steps, int64_t max_number, const std::vector<char>& operations,
                                RandomStream& random);

}  // namespace temper
