#include "answer/measure.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "answer/number_context.h"

namespace temper {
namespace {

enum Base { kMetre, kGram, kSecond, kDegree, kDollar, kEuro, kPound, kYen, kRupee };

struct Known {
  std::string_view names;  // with blanks between; of words of three letters and more the plural with "s" too
  Base base;
  int8_t exponent;
  int64_t over, under;  // the factor
};

constexpr Known kKnown[] = {
    {"m meter metre", kMetre, 1, 1, 1},
    {"cm centimeter centimetre", kMetre, 1, 1, 100},
    {"mm millimeter millimetre", kMetre, 1, 1, 1000},
    {"km kilometer kilometre", kMetre, 1, 1000, 1},
    {"in inch inches", kMetre, 1, 254, 10000},
    {"ft foot feet", kMetre, 1, 3048, 10000},
    {"yd yard", kMetre, 1, 9144, 10000},
    {"mi mile", kMetre, 1, 1609344, 1000},
    {"g gram", kGram, 1, 1, 1},
    {"mg milligram", kGram, 1, 1, 1000},
    {"kg kilogram", kGram, 1, 1000, 1},
    {"oz ounce", kGram, 1, 45359237, 1600000},
    {"lb lbs", kGram, 1, 45359237, 100000},
    {"s sec second", kSecond, 1, 1, 1},
    {"min minute", kSecond, 1, 60, 1},
    {"h hr hrs hour", kSecond, 1, 3600, 1},
    {"day", kSecond, 1, 86400, 1},
    {"week", kSecond, 1, 604800, 1},
    {"ml mL milliliter millilitre", kMetre, 3, 1, 1000000},
    {"cl cL centiliter centilitre", kMetre, 3, 1, 100000},
    {"l L liter litre", kMetre, 3, 1, 1000},
    {"° deg degree", kDegree, 1, 1, 1},
    {"$ USD dollar", kDollar, 1, 1, 1},
    {"¢ cent", kDollar, 1, 1, 100},
    {"€ EUR euro", kEuro, 1, 1, 1},
    {"£ GBP", kPound, 1, 1, 1},
    {"¥ yen", kYen, 1, 1, 1},
    {"₹ INR Rs Rs. rupee", kRupee, 1, 1, 1},
};

bool names(const Known& known, std::string_view word) {
  for (std::string_view rest = known.names; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (word == name || (name.size() > 2 && word.size() == name.size() + 1 && word.back() == 's' &&
                         word.substr(0, name.size()) == name))
      return true;
  }
  return false;
}

const Known* find(std::string_view word) {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const Known& known : kKnown) {
    if (names(known, word) || (word.size() > 2 && names(known, lower))) return &known;
  }
  return nullptr;
}

// Words, "/" and exponents: {"cm", "^2"}; nullopt for anything else.
std::optional<std::vector<std::string>> pieces(std::string_view text) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (blank(c) || c == '{' || c == '}' || c == '*') {
      ++i;
    } else if (c == '^') {
      std::string exponent = "^";
      for (++i; i < text.size() && (digit(text[i]) || text[i] == '{' || text[i] == '-'); ++i)
        if (text[i] != '{') exponent += text[i];
      out.push_back(exponent);
    } else if (c == '/') {
      out.push_back("per");
      ++i;
    } else if (letter(c) || c == '$') {
      std::string word;
      for (; i < text.size() && (letter(text[i]) || text[i] == '$' || text[i] == '.'); ++i) word += text[i];
      out.push_back(word);
    } else if (c == '.' && i + 1 == text.size()) {
      ++i;
    } else {
      return std::nullopt;
    }
    if (out.size() > 8) return std::nullopt;
  }
  return out;
}

bool multiply(Measure& unit, const Known& known, int64_t exponent) {
  const auto one = Rational::of(known.over).over(Rational::of(known.under));
  const auto factor = one ? one->to_power(exponent) : std::nullopt;
  const auto product = factor ? unit.factor.times(*factor) : std::nullopt;
  if (!product) return false;
  unit.factor = *product;
  unit.dimension[known.base] = static_cast<int8_t>(unit.dimension[known.base] + known.exponent * exponent);
  return true;
}

}  // namespace

std::optional<Measure> known_measure(std::string_view text) {
  if (text.size() > 64) return std::nullopt;
  const auto words = pieces(text);
  if (!words || words->empty()) return std::nullopt;
  Measure unit;
  int64_t sign = 1, power = 1;
  for (size_t i = 0; i < words->size(); ++i) {
    std::string word = (*words)[i];
    if (word == "per") {
      sign = -1;
      continue;
    }
    if (word == "square" || word == "sq" || word == "sq.") {
      power = 2;
      continue;
    }
    if (word == "cubic" || word == "cu" || word == "cu.") {
      power = 3;
      continue;
    }
    const Known* known = word == "mph" ? find("mile") : word == "kph" ? find("km") : find(word);
    if (known == nullptr && word.back() == '.') known = find(word.substr(0, word.size() - 1));
    if (known == nullptr) return std::nullopt;
    if (i + 1 < words->size() && (*words)[i + 1][0] == '^') {
      const std::string& exponent = (*words)[++i];
      const bool negative = exponent.size() == 3 && exponent[1] == '-';
      const char last = exponent.back();
      if (exponent.size() != (negative ? 3U : 2U) || !digit(last) || last > '4') return std::nullopt;
      power = negative ? '0' - last : last - '0';
    }
    if (!multiply(unit, *known, sign * power)) return std::nullopt;
    if ((word == "mph" || word == "kph") && !multiply(unit, *find("hour"), -1)) return std::nullopt;
    power = 1;
  }
  return unit;
}

}  // namespace temper
