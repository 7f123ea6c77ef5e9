// The tool calculator.
#pragma once

#include <string_view>

#include "env/tools/tool.h"

namespace temper {

struct CalculatorOptions : ToolOptions {
  CalculatorOptions();
  std::vector<std::unique_ptr<Tool>> make() const override;
};

// The exact value of an expression of integers, decimals, + - * / ^ (or **) and parentheses; ^ binds to the
// right and before a sign, as in Python. A reader of answers (lib/answer) would take much more, and some of
// it (2 3, 1,000, 5 apples) in more than one way. Written as an integer, a decimal where that is exact with
// at most 15 places, else as "1/3 (about 0.3333333333)". Not ok: what cannot be read, at most 1000
// characters; division by zero; powers that are not rational; numbers past 4096 bits.
ToolResult calculate(std::string_view expression);

}  // namespace temper
