// The parts of JSON as texts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "grammar/builder.h"

namespace temper {

// A bound of a number, exactly as written: 0 or more digits behind the point.
struct DecimalBound {
  bool negative = false;
  std::string whole = "0", fraction;  // digits, without zeros in front and behind
  bool exclusive = false;
};
// Throws UserError for a number whose digits are more than `kDigits` on a side of the point.
DecimalBound decimal_bound(const Json& number, bool exclusive, const std::string& where);

struct NumberRange {
  std::optional<DecimalBound> least, most;
  bool integer = false;
  int64_t multiple_of = 1;  // of an integer
};

class JsonText {
 public:
  using State = GrammarBuilder::State;
  explicit JsonText(GrammarBuilder& builder) : b_(builder) {}

  // Between the parts of an object or array: nothing, one space, or a line end and up to kIndent spaces.
  State space(State from);
  // One character inside a string, in any spelling.
  State any_character(State from);
  // One of a set, spelt in one way: as it is, with a backslash where it must have one, control characters as
  // \n and its kin or \u00XX.
  State character(State from, const CharSet& set);
  State any_string(State from);
  // A string that is none of these, each character spelt in one way.
  State other_string(State from, const std::vector<std::string>& names);
  // A value written in one way, without spaces.
  State literal(State from, const Json& value);
  // A number with at most kDigits digits before the point and behind it; without bounds an exponent of two
  // digits too.
  State number(State from, const NumberRange& range);

  static constexpr int kIndent = 24, kDigits = 18;

 private:
  State number_without_bounds(State from, bool integer);

  GrammarBuilder& b_;
};

}  // namespace temper
