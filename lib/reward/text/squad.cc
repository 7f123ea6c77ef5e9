#include "reward/text/squad.h"

#include <utf8proc.h>

#include <algorithm>

#include "reward/text/compared.h"
#include "reward/text/words.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

bool is_ascii_punctuation(char32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
         (c >= 0x7B && c <= 0x7E);
}

// What \w of Python's `re` matches once underscores are gone: letters and numbers, marks not among them.
bool is_word_character(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

// \b(a|an|the)\b with a space in its place: whole runs of word characters.
std::string without_articles(const std::string& text) {
  std::string out, run;
  const auto end_run = [&] {
    out += run == "a" || run == "an" || run == "the" ? " " : run;
    run.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    const bool word = is_word_character(c);
    if (!word) end_run();
    append_utf8(word ? run : out, c);
  }
  end_run();
  return out;
}

double f1(std::vector<std::string> given, std::vector<std::string> wanted) {
  std::sort(given.begin(), given.end());
  std::sort(wanted.begin(), wanted.end());
  std::vector<std::string> common;
  std::set_intersection(given.begin(), given.end(), wanted.begin(), wanted.end(), std::back_inserter(common));
  if (common.empty()) return 0;
  const auto same = static_cast<double>(common.size());
  const double precision = same / static_cast<double>(given.size());
  const double recall = same / static_cast<double>(wanted.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace

std::vector<std::string> squad_words(const std::string& text) {
  std::string kept;
  const std::string lower = python_lower(text);
  for (size_t at = 0; at < lower.size();) {
    const char32_t c = next_char(lower, at);
    if (!is_ascii_punctuation(c)) append_utf8(kept, c);
  }
  return split_at_space(without_articles(kept));
}

void SquadOptions::fields(FieldVisitor& v) {
  v.field("column", column, {.help = "the column with the reference, or with an array of alternatives"});
  v.field("metric", metric,
          {.help = "f1: of the words that both have; exact_match: 1 when all words are the same, in order",
           .choices = {"f1", "exact_match"}});
}

std::unique_ptr<Reward> SquadOptions::make() const {
  return compared_with("f1", column,
                       [exact = metric == "exact_match"](const auto& completion, const auto& references) {
                         const std::vector<std::string> given = squad_words(completion);
                         double best = 0;
                         for (const std::string& reference : references) {
                           const std::vector<std::string> wanted = squad_words(reference);
                           best = std::max(best, exact ? (given == wanted ? 1.0 : 0.0) : f1(given, wanted));
                         }
                         return std::optional(best);
                       });
}

}  // namespace temper
