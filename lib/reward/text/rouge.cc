#include "reward/text/rouge.h"

#include <algorithm>
#include <bit>
#include <set>

#include "reward/text/compared.h"
#include "reward/text/porter.h"
#include "reward/text/words.h"

namespace temper {
namespace {

using Numbers = std::vector<uint32_t>;

RougeScore score_of(int64_t hits, size_t given, size_t wanted) {
  RougeScore s;
  s.precision = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(given, 1));
  s.recall = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(wanted, 1));
  if (s.precision + s.recall > 0) s.f = 2 * s.precision * s.recall / (s.precision + s.recall);
  return s;
}

size_t ngram_count(size_t words, size_t n) {
  return words < n ? 0 : words - n + 1;
}

RougeScore score_ngrams(const Numbers& wanted, const Numbers& given, size_t n) {
  const NgramCounts theirs = count_ngrams(given, n);
  int64_t hits = 0;
  for (const auto& [ngram, count] : count_ngrams(wanted, n)) {
    const auto found = theirs.find(ngram);
    if (found != theirs.end()) hits += std::min(count, found->second);
  }
  return score_of(hits, ngram_count(given.size(), n), ngram_count(wanted.size(), n));
}

// A row of the table of the lengths of longest common subsequences, of some first words of the reference and
// the first j words of the completion: bit j is 0 where the length grows from j to j + 1. A row in a pass
// over its words of 64 bits, by Hyyro, "Bit-parallel LCS-length computation revisited" (2004).
using Row = std::vector<uint64_t>;

// A text to be compared, with where each of its words stands.
struct Indexed {
  explicit Indexed(const Numbers& text) : words(text) {
    for (size_t j = 0; j < text.size(); ++j) places[text[j]].push_back(j);
  }
  Row first_row() const { return Row((words.size() + 63) / 64, ~uint64_t{0}); }

  Numbers words;
  std::unordered_map<uint32_t, std::vector<size_t>> places;
};

// `matches`: zeros, as many as a row has words; zeros again afterwards.
void next_row(Row& row, uint32_t word, const Indexed& text, Row& matches) {
  const auto found = text.places.find(word);
  if (found == text.places.end()) return;
  for (const size_t j : found->second) matches[j / 64] |= uint64_t{1} << (j % 64);
  uint64_t carry = 0;
  for (size_t w = 0; w < row.size(); ++w) {
    const uint64_t old = row[w], some = old + (old & matches[w]), sum = some + carry;
    carry = some < old || sum < some ? 1 : 0;
    row[w] = sum | (old & ~matches[w]);
  }
  for (const size_t j : found->second) matches[j / 64] = 0;
}

// The length for the first j words.
size_t length_at(const uint64_t* row, size_t j) {
  size_t ones = 0;
  for (size_t w = 0; w < j / 64; ++w) ones += static_cast<size_t>(std::popcount(row[w]));
  if (j % 64 != 0) ones += static_cast<size_t>(std::popcount(row[j / 64] & ((uint64_t{1} << (j % 64)) - 1)));
  return j - ones;
}

RougeScore score_subsequence(const Numbers& wanted, const Numbers& given) {
  const Indexed text(given);
  Row row = text.first_row(), matches(row.size(), 0);
  for (const uint32_t word : wanted) next_row(row, word, text, matches);
  return score_of(static_cast<int64_t>(length_at(row.data(), given.size())), given.size(), wanted.size());
}

constexpr size_t kTableBits = size_t{1} << 32;

// Marks the words of `wanted` in one longest common subsequence: which of them is part of the definition, as
// the union of several counts. False: the table would be too large.
bool mark_subsequence(const Numbers& wanted, const Indexed& text, std::vector<bool>& marks) {
  size_t i = wanted.size(), j = text.words.size();
  Row row = text.first_row(), matches(row.size(), 0);
  if ((i + 1) * row.size() * 64 > kTableBits) return false;
  std::vector<uint64_t> table;  // row by row
  table.reserve((i + 1) * row.size());
  table.insert(table.end(), row.begin(), row.end());
  for (const uint32_t word : wanted) {
    next_row(row, word, text, matches);
    table.insert(table.end(), row.begin(), row.end());
  }
  const auto row_at = [&](size_t k) { return &table[k * row.size()]; };
  while (i > 0 && j > 0) {
    if (wanted[i - 1] == text.words[j - 1]) {
      marks[i - 1] = true;
      --i;
      --j;
    } else if (length_at(row_at(i), j - 1) > length_at(row_at(i - 1), j)) {
      --j;
    } else {
      --i;
    }
  }
  return true;
}

std::optional<RougeScore> score_lines(const std::vector<Numbers>& wanted, const std::vector<Numbers>& given) {
  std::unordered_map<uint32_t, int64_t> theirs;
  std::vector<Indexed> lines;
  std::set<Numbers> distinct;
  size_t words = 0, theirs_in_all = 0;
  for (const Numbers& line : given) {
    for (const uint32_t word : line) ++theirs[word];
    theirs_in_all += line.size();
    // A line that stands there again adds nothing to a union.
    if (!line.empty() && distinct.insert(line).second) lines.emplace_back(line);
  }
  int64_t hits = 0;
  for (const Numbers& line : wanted) {
    words += line.size();
    std::vector<bool> marks(line.size(), false);
    for (const Indexed& text : lines) {
      if (!mark_subsequence(line, text, marks)) return std::nullopt;
    }
    // A word of the completion is a hit once, whatever lines it is common to.
    for (size_t i = 0; i < line.size(); ++i) {
      if (marks[i] && theirs[line[i]]-- > 0) ++hits;
    }
  }
  return score_of(hits, theirs_in_all, words);
}

std::vector<Numbers> numbered_lines(const std::string& text, bool stem, WordNumbers& number) {
  std::vector<Numbers> lines;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(number(rouge_words(text.substr(begin, end - begin), stem)));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

std::vector<std::string> rouge_words(const std::string& text, bool stem) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(stem && word.size() > 3 ? porter_stem(word) : word);
    word.clear();
  };
  // The two letters beyond ASCII whose small forms begin with one of a-z: I with a dot, whose dot is a
  // character of its own, and the sign of kelvin.
  constexpr std::string_view kDottedI = "\u0130", kKelvin = "\u212a";
  const std::string_view all = text;
  for (size_t at = 0; at < all.size();) {
    const char c = all[at];
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += c;
    } else if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else if (all.substr(at).starts_with(kKelvin)) {
      word += 'k';
      at += kKelvin.size() - 1;
    } else {
      if (all.substr(at).starts_with(kDottedI)) word += 'i';
      end_word();
    }
    ++at;
  }
  end_word();
  return words;
}

std::optional<RougeScore> rouge(const std::string& type, const std::string& reference,
                                const std::string& completion, bool stem) {
  WordNumbers number;
  if (type == "rougeLsum")
    return score_lines(numbered_lines(reference, stem, number), numbered_lines(completion, stem, number));
  const Numbers wanted = number(rouge_words(reference, stem)), given = number(rouge_words(completion, stem));
  if (type == "rougeL") return score_subsequence(wanted, given);
  return score_ngrams(wanted, given, type == "rouge1" ? 1 : 2);
}

void RougeOptions::fields(FieldVisitor& v) {
  v.field("column", column, {.help = "the column with the reference, or with an array of alternatives"});
  v.field("type", type,
          {.help = "common words, pairs of words, the longest common subsequence of words, or that of each "
                   "line of the reference with all lines (rougeLsum; null where lines of 65,000 words meet)",
           .choices = {"rouge1", "rouge2", "rougeL", "rougeLsum"}});
  v.field("measure", measure,
          {.help = "the F-measure, the share of the completion that is common, or that of the reference",
           .choices = {"f", "precision", "recall"}});
  v.field("stem", stem, {.help = "compare the stems of English words (Porter, as nltk has it)"});
}

std::unique_ptr<Reward> RougeOptions::make() const {
  return compared_with(
      "rouge", column,
      [o = *this](const std::string& completion, const std::vector<std::string>& references) {
        std::optional<RougeScore> best;
        for (const std::string& reference : references) {
          const auto score = rouge(o.type, reference, completion, o.stem);
          if (!score) return std::optional<double>();
          if (!best || score->f > best->f) best = score;
        }
        return std::optional(o.measure == "precision" ? best->precision
                             : o.measure == "recall"  ? best->recall
                                                      : best->f);
      });
}

}  // namespace temper
