#include "reward/text/chrf.h"

#include <algorithm>

#include "reward/text/compared.h"
#include "reward/text/words.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

std::u32string without_space(const std::string& text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    if (!is_python_space(c)) out += c;
  }
  return out;
}

using CharCounts = std::map<std::u32string, int64_t>;

CharCounts counts_of(const std::u32string& text, size_t n) {
  CharCounts out;
  for (size_t i = 0; i + n <= text.size(); ++i) ++out[text.substr(i, n)];
  return out;
}

double chrf(const std::u32string& given, const std::u32string& wanted, size_t order, double beta) {
  double precision = 0, recall = 0;
  int64_t orders = 0;
  for (size_t n = 1; n <= order && given.size() >= n && wanted.size() >= n; ++n, ++orders) {
    const CharCounts of_given = counts_of(given, n), of_wanted = counts_of(wanted, n);
    int64_t matched = 0;
    for (const auto& [ngram, count] : of_given) {
      const auto found = of_wanted.find(ngram);
      if (found != of_wanted.end()) matched += std::min(count, found->second);
    }
    precision += static_cast<double>(matched) / static_cast<double>(given.size() - n + 1);
    recall += static_cast<double>(matched) / static_cast<double>(wanted.size() - n + 1);
  }
  if (precision + recall == 0) return 0;
  precision /= static_cast<double>(orders);
  recall /= static_cast<double>(orders);
  return (1 + beta * beta) * precision * recall / (beta * beta * precision + recall);
}

}  // namespace

void ChrfOptions::fields(FieldVisitor& v) {
  v.field("column", column, {.help = "the column with the reference, or with an array of several"});
  v.field("order", order, {.help = "longest n-grams that count", .unit = "characters", .min = 1, .max = 32});
  v.field("beta", beta, {.help = "how much more recall weighs than precision", .min = 0, .max = 100});
}

std::unique_ptr<Reward> ChrfOptions::make() const {
  return compared_with(
      "chrf", column,
      [order = static_cast<size_t>(order), beta = beta](const auto& completion, const auto& references) {
        const std::u32string given = without_space(completion);
        double best = 0;
        for (const std::string& reference : references)
          best = std::max(best, chrf(given, without_space(reference), order, beta));
        return std::optional(best);
      });
}

}  // namespace temper
