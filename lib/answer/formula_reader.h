// The grammar of formulas.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "answer/expression.h"
#include "answer/token.h"

namespace temper {

// A recursive-descent reader: each function reads what it is named after at `at` and moves behind it, or
// gives nullopt. Bounded: kMaxDepth deep, and every token is read once.
class FormulaReader {
 public:
  static constexpr int kMaxDepth = 120;

  explicit FormulaReader(const std::vector<Token>& tokens);

  std::optional<Expression> sum();
  const Token& peek(size_t ahead = 0) const;
  // Of the bracket at position i: where its partner stands, and whether a comma stands between them and in no
  // further brackets. partner 0: none.
  struct Bracket {
    size_t partner = 0;
    bool comma = false;
  };
  const Bracket& bracket(size_t i) const { return brackets_[i]; }

  size_t at = 0;
  // What \pm stands for; \mp is the other one. saw_pm: one was read.
  bool plus = true, saw_pm = false;
  bool saw_degrees = false;  // outside the argument of a function, where it is a unit

 private:
  using Result = std::optional<Expression>;

  Result product();
  Result factor();
  Result base();
  Result group(std::string_view close);
  Result braces_or_one();
  Result command();
  Result function(const std::string& name);
  Result function_argument();
  Result fraction(const char* command_name);
  Result root();
  Result absolute();
  Result subscripted(std::string name);
  Result exponent();
  bool starts_factor() const;
  std::optional<std::string> subscript();

  const std::vector<Token>& tokens_;
  std::vector<Bracket> brackets_;
  int depth_ = 0, in_function_ = 0, in_bars_ = 0;
};

}  // namespace temper
