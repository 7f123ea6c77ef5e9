#include "reward/text/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "reward/normalise.h"
#include "reward/text/compared.h"
#include "reward/text/words.h"

namespace temper {
namespace {

constexpr size_t kOrders = 4;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_point(char c) {
  return c == '.' || c == ',';
}

// The ASCII characters that are tokens wherever they stand: punctuation but for . , - and '.
bool is_symbol(char c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
         (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

// Blanks around pairs of characters, as the substitution of a regular expression of two characters puts them:
// from left to right, and what is part of a pair begins no other. Bytes do for characters: what is no ASCII
// is on the same side of all these questions as its bytes.
template <class IsPair>
std::string parted(const std::string& text, IsPair is_pair, bool before, bool behind) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == text.size() || !is_pair(text[i], text[i + 1])) {
      out += text[i];
      continue;
    }
    if (before) out += ' ';
    out += text[i];
    out += ' ';
    out += text[++i];
    if (behind) out += ' ';
  }
  return out;
}

}  // namespace

std::vector<std::string> bleu_tokens(const std::string& text) {
  std::string line(without_trailing_space(text));
  replace_all(line, "<skipped>", "");
  replace_all(line, "-\n", "");
  replace_all(line, "\n", " ");
  replace_all(line, "&quot;", "\"");
  replace_all(line, "&amp;", "&");
  replace_all(line, "&lt;", "<");
  replace_all(line, "&gt;", ">");
  std::string spaced = " ";
  for (const char c : line) {
    if (is_symbol(c)) {
      spaced.append({' ', c, ' '});
    } else {
      spaced += c;
    }
  }
  spaced += ' ';
  // A point is a token unless a digit stands before it and behind it; a dash is one behind a digit.
  spaced = parted(
      spaced, [](char a, char b) { return !is_digit(a) && is_point(b); }, false, true);
  spaced = parted(
      spaced, [](char a, char b) { return is_point(a) && !is_digit(b); }, true, false);
  spaced = parted(
      spaced, [](char a, char b) { return is_digit(a) && b == '-'; }, false, true);
  return split_at_space(spaced);
}

double sentence_bleu(const std::string& completion, const std::vector<std::string>& references) {
  WordNumbers number;
  const std::vector<uint32_t> given = number(bleu_tokens(completion));
  std::vector<std::vector<uint32_t>> wanted;
  for (const std::string& reference : references) wanted.push_back(number(bleu_tokens(reference)));

  // The reference whose length is nearest, of two the shorter.
  const auto distance = [&](size_t length) {
    return length > given.size() ? length - given.size() : given.size() - length;
  };
  size_t length = wanted.front().size();
  for (const auto& reference : wanted) {
    const size_t other = reference.size();
    if (std::pair(distance(other), other) < std::pair(distance(length), length)) length = other;
  }
  if (given.empty()) return 0;
  const double brevity = given.size() < length
                             ? std::exp(1 - static_cast<double>(length) / static_cast<double>(given.size()))
                             : 1.0;

  const size_t orders = std::min(kOrders, given.size());
  double logs = 0, smooth = 1;
  bool any = false;
  for (size_t n = 1; n <= orders; ++n) {
    NgramCounts most;  // of each n-gram in any one reference
    for (const auto& reference : wanted) {
      for (const auto& [ngram, count] : count_ngrams(reference, n))
        most[ngram] = std::max(most[ngram], count);
    }
    int64_t matched = 0;
    for (const auto& [ngram, count] : count_ngrams(given, n)) {
      const auto found = most.find(ngram);
      if (found != most.end()) matched += std::min(count, found->second);
    }
    any = any || matched > 0;
    const auto total = static_cast<double>(given.size() - n + 1);
    if (matched == 0) smooth *= 2;
    logs += std::log(matched == 0 ? 1 / (smooth * total) : static_cast<double>(matched) / total);
  }
  return any ? brevity * std::exp(logs / static_cast<double>(orders)) : 0.0;
}

void BleuOptions::fields(FieldVisitor& v) {
  v.field("column", column, {.help = "the column with the reference, or with an array of several"});
  v.field("lowercase", lowercase, {.help = "letters match in either case"});
}

std::unique_ptr<Reward> BleuOptions::make() const {
  return compared_with("bleu", column, [lower = lowercase](const auto& completion, const auto& references) {
    if (!lower) return std::optional(sentence_bleu(completion, references));
    std::vector<std::string> small;
    for (const std::string& reference : references) small.push_back(python_lower(reference));
    return std::optional(sentence_bleu(python_lower(completion), small));
  });
}

}  // namespace temper
