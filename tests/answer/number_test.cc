#include "answer/number.h"

#include <chrono>

#include "answer/place.h"
#include "base/random.h"
#include "test.h"

using namespace temper;

namespace {

std::string read(const std::string& text) {
  const auto number = read_number(text);
  return number ? number->value.to_string() : "none";
}

}  // namespace

TEST_CASE("answers: numbers are read exactly") {
  CHECK(read("1,080") == "1080");
  CHECK(read("$-1{,}080.50$") == "-2161/2");
  CHECK(read("\\frac{-3}{6}") == "-1/2");
  CHECK(read("12\\frac{3}{4}\\%") == "51/4");
  CHECK(read("0.1\\overline{6}") == "1/6");
  CHECK(read("2.5 \\times 10^{-3}") == "1/400");
  CHECK(read("2^{-3}") == "1/8");
  CHECK(read("10^{400}").size() == 401);
  CHECK(read("10^{1300}") == "none");
  CHECK(read("\\text{about } 5") == "none");
  CHECK(read("3 - 5") == "none");
  CHECK(read("4^{1/2}") == "none");
  CHECK(read("1/2/3") == "none");
}

TEST_CASE("numbers: an equation, an inequality, a list or a product of letters is no number") {
  for (const char* text :
       {"x^2 + y^2 = 13", "34x+45y-20z+100=0", "2x = 10", "xy + 1 = 5", "x=-6, x=2", "x <= 1", "x < 1",
        "x \\le 1", "x \\ne 3", "|x| = 3", "20xy", "3s^2", "16m^{2}-64n^{2}", "-2n^2 - n", "5m - 3", "7ab",
        "(2,251,252)", "(1,000)", "x \\approx y"}) {
    CAPTURE(text);
    CHECK(read(text) == "none");
  }
  const std::pair<const char*, const char*> numbers[] = {{"x = 5", "5"},
                                                         {"x_1 = 5", "5"},
                                                         {"f(2) = 5", "5"},
                                                         {"AB = 5", "5"},
                                                         {"P(X=2) = 1/3", "1/3"},
                                                         {"x = y = 5", "5"},
                                                         {"Total cost = 5", "5"},
                                                         {"12*3 = 36", "36"},
                                                         {"x-coordinate = 5", "5"},
                                                         {"20cm", "20"},
                                                         {"5 m^2", "5"},
                                                         {"5 m^{-2}", "5"},
                                                         {"20 dollars", "20"},
                                                         {"6 ft-lbs", "6"},
                                                         {"\\frac{1}{3} \\approx 0.333", "1/3"},
                                                         {"x = 2/3 ≈ 0.67", "2/3"},
                                                         {"32,\\! 349", "32349"},
                                                         {"125\\textnormal{ miles}", "125"},
                                                         {"\\left(118 \\text{ dollars}\\right)", "118"}};
  for (const auto& [text, value] : numbers) {
    CAPTURE(text);
    CHECK(read(text) == value);
  }
}

TEST_CASE("numbers: a solution as reference is its last box, whatever stands behind it") {
  const auto reference = [](const char* text) {
    const auto answer = read_reference(text);
    return answer ? to_string(*answer) : std::string("none");
  };
  CHECK(reference("So we get $\\boxed{7}$. To check, $3a+2b=44$, which holds.") == "7");
  CHECK(reference("Hence the maximum of $\\boxed{28}$ is achieved when $x= -4$.") == "28");
  CHECK(reference("$\\boxed{1}$, no, $\\boxed{x^2}$: the answer is 3") == "x^2");
  CHECK(reference("3 + 4 = 7\n#### 7") == "7");
}

TEST_CASE("answers: rationals") {
  const auto r = [](const char* whole, const char* fraction = "") {
    return *Rational::from_digits(whole, fraction);
  };
  CHECK(r("007", "500") == *Rational::of(15).over(Rational::of(2)));
  CHECK(r("0").to_string() == "0");
  CHECK(Rational::of(INT64_MIN).to_string() == "-9223372036854775808");
  CHECK(Rational::of(INT64_MAX).to_int64() == INT64_MAX);
  CHECK_FALSE(r("9223372036854775808").to_int64().has_value());
  CHECK_FALSE(Rational::of(1).over(Rational()).has_value());
  CHECK_FALSE(Rational().to_power(-1).has_value());
  CHECK(Rational().to_power(0) == Rational::of(1));
  CHECK_FALSE(Rational::of(2).to_power(4096).has_value());
  CHECK(Rational::of(2).to_power(4095).has_value());
  CHECK(Rational::of(-1).to_power(INT64_MAX) == Rational::of(-1));
  // Against 64-bit arithmetic.
  RandomStream random(1, "rational");
  for (int i = 0; i < 2000; ++i) {
    const int64_t a = static_cast<int64_t>(random.below(2000001)) - 1000000,
                  b = static_cast<int64_t>(random.below(1000000)) + 1;
    const int64_t c = static_cast<int64_t>(random.below(2000001)) - 1000000,
                  d = static_cast<int64_t>(random.below(1000000)) + 1;
    const auto x = *Rational::of(a).over(Rational::of(b)), y = *Rational::of(c).over(Rational::of(d));
    CHECK(*x.plus(y) == *Rational::of(a * d + c * b).over(Rational::of(b * d)));
    CHECK(*x.times(y) == *Rational::of(a * c).over(Rational::of(b * d)));
    if (c != 0) CHECK(*x.over(y)->times(y) == x);
    CHECK(x.plus(x.negated())->is_zero());
  }
  // Against itself, far beyond 64 bits: (x + y)^2 = x^2 + 2xy + y^2.
  for (int i = 0; i < 50; ++i) {
    std::string digits[4];
    for (std::string& one : digits) {
      for (int k = 0; k < 60; ++k) one += static_cast<char>('0' + random.below(10));
      one[0] = '7';
    }
    const auto x = *r(digits[0].c_str()).over(r(digits[1].c_str())),
               y = *r(digits[2].c_str()).over(r(digits[3].c_str()));
    const auto left = x.plus(y)->to_power(2);
    const auto right = x.to_power(2)->plus(*x.times(y)->times(Rational::of(2)))->plus(*y.to_power(2));
    REQUIRE(left);
    CHECK(*left == *right);
  }
}

TEST_CASE("answers: hostile text takes no time and throws nothing") {
  const auto start = std::chrono::steady_clock::now();
  const size_t n = 100000;
  const auto repeated = [&](const std::string& what) {
    std::string out;
    while (out.size() < n) out += what;
    return out;
  };
  const std::string tokens[] = {"\\boxed{", "}",         "{",        "\\frac", "\\frac{1",    "(",
                                "1",        ",",         "9",        ".",      "-",           "answer is ",
                                "####",     "1,234",     "^",        "*",      "/",           "\\text{",
                                "1/",       "10^9",      "\n",       "%",      "$",           "\\",
                                "<answer>", "</answer>", "e9",       "\xff",   "½",           " ",
                                "x",        "=",         "answer: ", "A:",     "\\overline{", "²"};
  for (const std::string& token : tokens) {
    for (const std::string& place : answer_places()) {
      read_answer(repeated(token), place, false, Looking::kAny);
      read_answer(repeated("#### 1" + token), place, false, Looking::kNumbers);
    }
    read_reference(repeated(token));
  }
  RandomStream random(2, "hostile");
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    const uint64_t pieces = random.below(40);
    for (uint64_t k = 0; k < pieces; ++k) text += tokens[random.below(std::size(tokens))];
    for (const std::string& place : answer_places())
      read_answer(text, place, i % 2 == 0, i % 3 == 0 ? Looking::kAny : Looking::kNumbers);
    read_reference(text);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(seconds < 20);
  MESSAGE("hostile text: " << seconds << " s");
}
