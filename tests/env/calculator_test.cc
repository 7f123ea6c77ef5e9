// Values are Python's: fractions.Fraction, precedence and associativity of its operators.
#include "env/tools/calculator.h"

#include "test.h"
#include "tools_of.h"

using namespace temper;

TEST_CASE("calculator: exact values, written plainly") {
  const std::pair<const char*, const char*> cases[] = {
      {"12*34", "408"},
      {" 2 + 3 * 4 ", "14"},
      {"(2+3)*4", "20"},
      {"10-4-3", "3"},
      {"100/5/2", "10"},
      {"2^3^2", "512"},
      {"2**10", "1024"},
      {"-2^2", "-4"},
      {"(-2)^2", "4"},
      {"2^-2", "0.25"},
      {"2*-3", "-6"},
      {"--3", "3"},
      {"0.1+0.2", "0.3"},
      {".5 * 4.", "2"},
      {"1/8", "0.125"},
      {"-1/8", "-0.125"},
      {"-1/1000", "-0.001"},
      {"1/3", "1/3 (about 0.3333333333)"},
      {"1/3+1/6", "0.5"},
      {"2/3*3", "2"},
      {"3 × 4 ÷ 6", "2"},
      {"0^0", "1"},
      {"12345678901234567890*98765432109876543210", "1219326311370217952237463801111263526900"},
      {"((((7))))", "7"}};
  for (const auto& [text, value] : cases) {
    CAPTURE(std::string(text));
    const ToolResult result = calculate(text);
    CHECK(result.ok);
    CHECK(result.text == value);
  }
}

TEST_CASE("calculator: what cannot be worked out says where") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected a number, found the end at character 1"},
      {"2+", "expected a number, found the end at character 3"},
      {"2 3", "unexpected \"3\" at character 3"},
      {"1,000", "unexpected \",\" at character 2"},
      {"5 apples", "unexpected \"a\" at character 3"},
      {"2(3)", "unexpected \"(\" at character 2"},
      {"x+1", "expected a number, found \"x\" at character 1"},
      {"2+é", "expected a number, found \"é\" at character 3"},
      {"(1+2", "expected \")\" at character 5"},
      {"1+2)", "unexpected \")\" at character 4"},
      {"1/0", "division by zero at character 4"},
      {"1/(2-2)", "division by zero at character 8"},
      {"0^-1", "division by zero at character 5"},
      {"2^0.5", "the exponent is no integer that fits at character 6"},
      {"9^9^9^9", "the number is too large at character 8"},
      {"2^99999999999999999999", "the exponent is no integer that fits at character 23"},
      {".", "expected a number, found the end at character 2"}};
  for (const auto& [text, error] : cases) {
    CAPTURE(std::string(text));
    const ToolResult result = calculate(text);
    CHECK(!result.ok);
    CHECK(result.text == error);
  }
  std::string signs(999, '-');
  signs += '1';
  CHECK(calculate(signs).text == "-1");
  CHECK(!calculate(std::string(1000, '(')).ok);
  CHECK(calculate(std::string(1001, '1')).text == "the expression is longer than 1000 characters");
  CHECK(!calculate(std::string("\xff\xfe", 2)).ok);
}

TEST_CASE("calculator: as a tool") {
  const auto tool = tool_of({{"kind", "calculator"}});
  CHECK(tool->signature().name == "calculator");
  CHECK(!tool->external());
  CHECK(tool->call({{"expression", "6*7"}}).text == "42");
}
