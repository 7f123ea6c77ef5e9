#include <chrono>
#include <fstream>

#include "answer/place.h"
#include "answer/same_answer.h"
#include "answer/value.h"
#include "answer/vote.h"
#include "base/json.h"
#include "test.h"

using namespace temper;

namespace {

std::optional<bool> same(const std::string& reference, const std::string& given) {
  const auto a = read_value(reference), b = read_value(given);
  if (!a || !b) return std::nullopt;
  return same_answer(*a, *b, 1e-6);
}

std::string kind(const std::string& text) {
  const auto answer = read_value(text);
  return answer ? std::string(name_of(answer->kind)) : "none";
}

using Pairs = std::vector<std::pair<const char*, const char*>>;

void check_same(const Pairs& pairs) {
  for (const auto& [a, b] : pairs) {
    CAPTURE(a);
    CAPTURE(b);
    CHECK(same(a, b) == std::optional(true));
    CHECK(same(b, a) == std::optional(true));
  }
}
void check_different(const Pairs& pairs) {
  for (const auto& [a, b] : pairs) {
    CAPTURE(a);
    CAPTURE(b);
    CHECK(same(a, b) == std::optional(false));
    CHECK(same(b, a) == std::optional(false));
  }
}
void check_open(const Pairs& pairs) {
  for (const auto& [a, b] : pairs) {
    CAPTURE(a);
    CAPTURE(b);
    CHECK_FALSE(same(a, b).has_value());
  }
}

}  // namespace

TEST_CASE("kinds: the pairs of scripts/oracles/math_kinds.py") {
  std::ifstream in(test_file("answer/golden/kinds.jsonl"));
  std::string line;
  int rows = 0, votes = 0;
  while (std::getline(in, line)) {
    const Json row = Json::parse(line);
    CAPTURE(line);
    const auto verdict = same(row["answer"], row["text"]);
    if (row["equal"]) {
      CHECK(verdict == std::optional(true));
    } else {
      CHECK(verdict != std::optional(true));
      const auto a = read_value(row["answer"].get<std::string>()),
                 b = read_value(row["text"].get<std::string>());
      if (a && b && verdict == std::optional(false)) votes += vote(*a) == vote(*b) ? 1 : 0;
    }
    ++rows;
  }
  CHECK(rows >= 400);
  CHECK(votes < rows / 50);  // units and names are no part of a vote
}

TEST_CASE("kinds: each text is read as what it is") {
  const Pairs texts = {{"\\frac{1}{2}", "number"},
                       {"2\\sqrt{3}", "expression"},
                       {"3 + 4i", "expression"},
                       {"x = 5", "number"},
                       {"y = 2x + 3", "equation"},
                       {"x^2 + y^2 = 13", "equation"},
                       {"x > 3", "inequality"},
                       {"1 < x \\le 5", "inequality"},
                       {"(3, -1)", "tuple"},
                       {"(2,251,252)", "tuple"},
                       {"[2, 5)", "interval"},
                       {"(-\\infty, 3)", "interval"},
                       {"x \\in [1, 5]", "interval"},
                       {"\\mathbb{R} \\setminus \\{0\\}", "union"},
                       {"(0,1) \\cup [2,3]", "union"},
                       {"\\{1, 2, 3\\}", "set"},
                       {"\\{5\\}", "number"},
                       {"\\emptyset", "set"},
                       {"\\{x \\mid x > 3\\}", "inequality"},
                       {"2 \\text{ and } 3", "list"},
                       {"x = 2, x = 3", "list"},
                       {"1 \\pm \\sqrt{2}", "list"},
                       {"\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "matrix"},
                       {"1011_2", "base"},
                       {"4C6_{16}", "base"},
                       {"3:2", "ratio"},
                       {"3:45 \\text{ p.m.}", "time"},
                       {"\\text{(C)}", "choice"},
                       {"B. yes", "choice"},
                       {"\\text{even}", "text"},
                       {"\\oint_C f", "text"},
                       {"", "none"},
                       {"$ $", "none"}};
  for (const auto& [text, wanted] : texts) {
    CAPTURE(text);
    CHECK(kind(text) == wanted);
  }
}

TEST_CASE("kinds: formulas are equal by value, not by spelling") {
  check_same({{"2\\sqrt{3}", "\\sqrt{12}"},
              {"\\frac{1}{\\sqrt 2}", "\\frac{\\sqrt{2}}{2}"},
              {"\\sqrt{3+2\\sqrt2}", "1+\\sqrt2"},
              {"\\cos\\frac{\\pi}{3} + \\sqrt 2", "0.5 + sqrt(2)"},
              {"\\sin^2 x + \\cos^2 x", "1"},
              {"\\sin 30^\\circ + \\pi", "\\frac12 + \\pi"},
              {"e^{i\\pi}", "-1"},
              {"(1+i)^2", "2i"},
              {"\\frac{1}{1-i}", "\\frac{1+i}{2}"},
              {"\\ln 8", "3 \\ln 2"},
              {"\\log_2 8", "3"},
              {"\\sqrt[3]{-8}", "-2"},
              {"27^{2/3}", "9"},
              {"(x+1)^2", "x^2 + 2x + 1"},
              {"\\frac{x^2-1}{x-1}", "x + 1"},
              {"(x+1)^{50}", "(1+x)^{49}(x+1)"},
              {"\\binom{5}{2}", "10"},
              {"5!", "120"},
              {"|{-3}|\\pi", "3\\pi"},
              {"\\sqrt{x^2}", "|x|"},
              {"2^{x+1}", "2\\cdot 2^x"},
              {"3.141593", "\\pi"},
              {"90^\\circ", "\\frac{\\pi}{2}"},
              {"\\frac12 x", "x/2"},
              {"3ab", "b \\cdot 3 a"},
              {"1\\frac{1}{2}\\pi", "\\frac{3\\pi}{2}"},
              {"\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}", "-2"}});
  check_different({{"2\\sqrt{3}", "3\\sqrt{2}"},
                   {"\\sqrt2", "1.414"},
                   {"\\pi", "3.14"},
                   {"\\pi", "\\frac{22}{7}"},
                   {"x + 1", "y + 1"},
                   {"20xy", "20"},
                   {"3s^2", "3"},
                   {"\\sqrt{x^2}", "x"},
                   {"10^{99999999999}", "5"},
                   {"x^{10}", "x^{11}"},
                   {"e^{\\pi\\sqrt{163}}", "262537412640768744"}});
  // sqrt(x)^2 has no value where x is negative; log may be to 10 or to e; towers cannot be held.
  check_open({{"\\sqrt{x}\\sqrt{x}", "x"}, {"\\log 100", "2"}, {"9^{9^{9^{9}}}\\pi", "9^{9^{9^{8}}}\\pi"}});
}

TEST_CASE("kinds: equations and inequalities") {
  check_same({{"y = 2x + 3", "2x - y + 3 = 0"},
              {"y = 2x + 3", "2x + 3"},
              {"f(x) = 2x + 3", "2x + 3"},
              {"x = 5", "5"},
              {"5 = x", "x = 5"},
              {"x^2 + y^2 = 13", "13 - x^2 = y^2"},
              {"y = \\frac{1}{x}", "xy = 1"},
              {"\\frac{x}{2} + \\frac{y}{3} = 1", "3x + 2y = 6"},
              {"x > 3", "(3, \\infty)"},
              {"2x > 6", "x > 3"},
              {"-x < 3", "x > -3"},
              {"1 < x \\le 5", "(1, 5]"},
              {"x < 1 \\text{ or } x > 3", "(-\\infty, 1) \\cup (3, \\infty)"},
              {"x \\ne 0", "\\mathbb{R} \\setminus \\{0\\}"},
              {"x + y > 2", "-2x - 2y < -4"}});
  check_different({{"x^2 + y^2 = 13", "13"},
                   {"34x+45y-20z+100=0", "0"},
                   {"y = 2x + 3", "y = 2x + 4"},
                   {"x = 5", "y = 5"},
                   {"x > 3", "x \\ge 3"},
                   {"x > 3", "x < 3"},
                   {"x > 3", "y > 3"},
                   {"x <= 1", "1"},
                   {"2x + 1 = 0", "2x + 1"}});
}

TEST_CASE("kinds: what holds others compares by its own rules") {
  check_same(
      {{"\\{1, 2, 3\\}", "\\{3, 1, 2\\}"},
       {"\\{1, 2, 2\\}", "\\{2, 1\\}"},
       {"2, 3", "3 \\text{ and } 2"},
       {"x = 2, x = 3", "2, 3"},
       {"1 \\pm \\sqrt{2}", "1 - \\sqrt2, 1 + \\sqrt2"},
       {"(1, \\frac12)", "(1, 0.5)"},
       {"(x, y) = (1, 2)", "(1,2)"},
       {"(1, 2)", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"},
       {"\\langle 1, 2 \\rangle", "(1, 2)"},
       {"(0,1) \\cup [1,2]", "(0, 2]"},
       {"(2,3) \\cup (0,1)", "(0,1)\\cup(2,3)"},
       {"\\frac12\\begin{pmatrix} 2 \\\\ 4 \\end{pmatrix}", "\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}"},
       {"\\emptyset", "\\{\\}"}});
  check_different({{"(1, 2)", "(2, 1)"},
                   {"(1, 2)", "[1, 2]"},
                   {"[2, 5)", "(2, 5]"},
                   {"(-\\infty, 3)", "(3, -\\infty)"},
                   {"(5, 2]", "(2, 5]"},
                   {"1, 1, 2", "1, 2, 2"},
                   {"2, 3", "2"},
                   {"\\{2, 3\\}", "3"},
                   {"x=-6, x=2", "2"},
                   {"(2,251,252)", "2251252"},
                   {"a = 1, b = 2", "a = 2, b = 1"},
                   {"\\begin{pmatrix} 1 & 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"},
                   {"(0,1)\\cup(1,2)", "(0,2)"}});
}

TEST_CASE("kinds: units, bases, ratios, times, choices and words") {
  check_same({{"100 \\text{ cm}", "1 m"},
              {"5 m^2", "5 \\text{ square meters}"},
              {"60 \\text{ minutes}", "1 hour"},
              {"500 cents", "\\$5"},
              {"5\\pi \\text{ cm}", "5\\pi"},
              {"5 \\text{ km}", "5"},
              {"1011_2", "11_{10}"},
              {"3:2", "6:4"},
              {"3:2", "\\frac32"},
              {"3:45 \\text{ p.m.}", "3:45 PM"},
              {"10:00 a.m.", "10 am"},
              {"\\text{(C)}", "C"},
              {"C", "\\textbf{(C) } 12"},
              {"12", "(C) 12"},
              {"\\text{Even}", "even."},
              {"\\text{odd}", "odd"}});
  check_different({{"5 m", "5 km"},
                   {"5 \\text{ hours}", "5 \\text{ minutes}"},
                   {"5 cm^2", "5 cm^3"},
                   {"75\\%", "75^\\circ"},
                   {"111_2", "111_3"},
                   {"3:2", "2:3"},
                   {"3:45 p.m.", "3:45 a.m."},
                   {"(C)", "(D)"},
                   {"even", "odd"},
                   {"\\text{yes}", "\\text{yes or no}"},
                   {"\\text{even}", "\\text{not even}"}});
  check_open({{"5 \\text{ apples}", "5 \\text{ oranges}"},
              {"\\text{Evelyn}", "\\text{Evelyn is fastest}"},
              {"\\oint_C f", "5"},
              {"C", "12"}});
  CHECK(same("204_5", "204") == std::optional(true));   // who asks for base 5
  CHECK(same("204", "204_5") == std::optional(false));  // is 54
}

TEST_CASE("kinds: where an answer stands when it is no number") {
  const auto read = [](const char* text, Looking looking = Looking::kAny) {
    const auto answer = read_answer(text, "auto", false, looking);
    return answer ? to_string(*answer) : std::string("none");
  };
  CHECK(read("so \\boxed{x^2+1}") == "x^2 + 1");
  CHECK(read("The answer is $3x$.") == "3*x");
  CHECK(read("The answer is $2\\sqrt{3}$, since 12 = 4*3.") == "2*sqrt(3)");
  CHECK(read("#### 20xy") == "20*x*y");
  CHECK(read("x = 1 gives $y^2$ and so $(1, 2)$.") == "(1, 2)");
  CHECK(read("(3, -1)") == "(3, -1)");
  CHECK(read("\\boxed{2} and \\boxed{3}") == "2, 3");
  CHECK(read("$\\boxed{2}$ or $\\boxed{3}$") == "2, 3");
  CHECK(read("\\boxed{x + 1}, or \\boxed{1 + x}") == "1 + x");
  CHECK(read("\\boxed{2}. No, it is \\boxed{3}") == "3");
  CHECK(read("The answer is Tuesday.") == "tuesday");
  CHECK(read("The answer is clear: 3 + 4 makes 7.", Looking::kNumbers) == "7");
  CHECK(read("The answer is no good. 5", Looking::kNumbers) == "5");
}

TEST_CASE("kinds: equal answers share their vote") {
  const auto votes_alike = [](const char* a, const char* b) {
    return vote(*read_value(a)) == vote(*read_value(b));
  };
  CHECK(votes_alike("2\\sqrt{3}", "\\sqrt{12}"));
  CHECK(votes_alike("(x+1)^2", "x^2+2x+1"));
  CHECK(votes_alike("\\{1, 2\\}", "\\{2, 1\\}"));
  CHECK(votes_alike("y = 2x + 3", "2y = 4x + 6"));
  CHECK(votes_alike("x > 3", "(3, \\infty)"));
  CHECK(votes_alike("0.5", "\\frac12"));
  CHECK_FALSE(votes_alike("2\\sqrt{3}", "3\\sqrt{2}"));
  CHECK_FALSE(votes_alike("y = 2x + 3", "y = 2x + 4"));
  CHECK_FALSE(votes_alike("(1, 2)", "(2, 1)"));
}

TEST_CASE("kinds: hostile formulas are given up, not computed") {
  const auto repeated = [](const std::string& what, int times, const std::string& end = "") {
    std::string out;
    for (int i = 0; i < times; ++i) out += what;
    return out + end;
  };
  const std::string hostile[] = {"9^{9^{9^{9^9}}}",
                                 "10^{10^{10}}",
                                 repeated("9", 3000),
                                 repeated("9^{", 300, "9") + repeated("}", 300),
                                 repeated("(", 2000),
                                 repeated("{", 2000, "1"),
                                 repeated("\\frac{1}{", 300, "2") + repeated("}", 300),
                                 repeated("\\sqrt", 1000, "2"),
                                 "y = " + repeated("1+\\frac{1}{x+", 35, "x") + repeated("}", 35),
                                 "9" + repeated("!", 1000),
                                 "((((9!)!)!)!)",
                                 repeated("\\sin ", 900, "x"),
                                 repeated("(x+1)", 400, "^{999}"),
                                 repeated("\\sqrt{2}+", 400, "1"),
                                 repeated("\\begin{pmatrix}", 200),
                                 "(" + repeated("1,", 900, "1)"),
                                 "\\{" + repeated("\\sqrt{2},", 150, "1\\}"),
                                 repeated("(0,1)\\cup ", 190, "(0,1)"),
                                 repeated("1=", 900, "1"),
                                 repeated("x<", 900, "1"),
                                 repeated("1:", 900, "1"),
                                 "\\sin(10^{1000000})",
                                 "\\binom{10^9}{5\\cdot 10^8}",
                                 "\\sqrt[999999999]{2}",
                                 repeated("\\pm ", 1000, "1"),
                                 repeated("|", 1000, "x"),
                                 repeated("√", 1200, "2")};
  for (const std::string& text : hostile) {
    CAPTURE(text.substr(0, 60));
    const auto start = std::chrono::steady_clock::now();
    const auto answer = read_value(text);
    REQUIRE(answer);
    CHECK(same_answer(*answer, *answer, 1e-6) != std::optional(false));
    same_answer(*answer, *read_value("2\\pi"), 1e-6);
    same_answer(*answer, *read_value("xz = y + 1"), 1e-6);
    vote(*answer);
    to_string(*answer);
    // Milliseconds; the bound is for slow machines and sanitizers.
    CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 60);
  }
}
