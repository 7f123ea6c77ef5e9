#include "reward/text/porter.h"

#include <initializer_list>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace temper {
namespace {

bool is_vowel(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

// Whether each letter is a consonant: y is one at the start and behind a vowel.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> out;
  for (const char c : word) out.push_back(c == 'y' ? out.empty() || !out.back() : !is_vowel(c));
  return out;
}

// Porter's m: how often a consonant follows a vowel.
int measure(std::string_view stem) {
  const std::vector<bool> consonant = consonants(stem);
  int m = 0;
  for (size_t i = 1; i < consonant.size(); ++i) m += consonant[i] && !consonant[i - 1] ? 1 : 0;
  return m;
}

bool has_vowel(std::string_view stem) {
  for (const bool consonant : consonants(stem)) {
    if (!consonant) return true;
  }
  return false;
}

bool ends_in_consonant(std::string_view stem) {
  return !stem.empty() && consonants(stem).back();
}

bool ends_in_double_consonant(std::string_view stem) {
  return stem.size() >= 2 && stem.back() == stem[stem.size() - 2] && ends_in_consonant(stem);
}

// Porter's *o, consonant, vowel, consonant that is not w, x or y; and nltk's: a word of vowel and consonant.
bool ends_short(std::string_view stem) {
  const std::vector<bool> c = consonants(stem);
  const size_t n = stem.size();
  if (n == 2) return !c[0] && c[1];
  return n >= 3 && c[n - 3] && !c[n - 2] && c[n - 1] && stem.back() != 'w' && stem.back() != 'x' &&
         stem.back() != 'y';
}

// `word` without its last n letters.
std::string_view cut(std::string_view word, size_t n) {
  return word.substr(0, word.size() - n);
}

struct Rule {
  std::string_view suffix, replacement;
};

// The first rule whose suffix the word has is the one that counts: it is applied where the measure of the
// stem is at least `least`.
void apply(std::string& word, std::initializer_list<Rule> rules, int least) {
  for (const auto& [suffix, replacement] : rules) {
    if (!word.ends_with(suffix)) continue;
    const std::string_view stem = cut(word, suffix.size());
    if (measure(stem) >= least) word = std::string(stem).append(replacement);
    return;
  }
}

void step_1a(std::string& word) {
  if (word.ends_with("ies") && word.size() == 4) {  // nltk's: dies -> die
    word.pop_back();
    return;
  }
  apply(word, {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}}, 0);
}

void step_1b(std::string& word) {
  if (word.ends_with("ied")) {  // nltk's: died -> die, spied -> spi
    word.resize(word.size() - (word.size() == 4 ? 1 : 2));
    return;
  }
  if (word.ends_with("eed")) {
    if (measure(cut(word, 3)) > 0) word.pop_back();
    return;
  }
  const size_t suffix = word.ends_with("ed") ? 2 : word.ends_with("ing") ? 3 : 0;
  if (suffix == 0 || !has_vowel(cut(word, suffix))) return;
  word.resize(word.size() - suffix);
  if (word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz")) {
    word += 'e';
  } else if (ends_in_double_consonant(word)) {
    if (word.back() != 'l' && word.back() != 's' && word.back() != 'z') word.pop_back();
  } else if (measure(word) == 1 && ends_short(word)) {
    word += 'e';
  }
}

// nltk's condition, which is not Porter's: a consonant before the y that is not all there is.
void step_1c(std::string& word) {
  if (word.size() > 2 && word.back() == 'y' && ends_in_consonant(cut(word, 1))) word.back() = 'i';
}

void step_2(std::string& word) {
  // nltk's: first, and the other rules after it, so that conditionally is what conditional is.
  if (word.ends_with("alli") && measure(cut(word, 4)) > 0) word.resize(word.size() - 2);
  if (word.ends_with("logi")) {  // the l counts with the stem, so that short ones are like long ones
    if (measure(cut(word, 3)) > 0) word.pop_back();
    return;
  }
  apply(word, {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
               {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
               {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
               {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
               {"fulli", "ful"}},
        1);
}

void step_3(std::string& word) {
  apply(word,
        {{"icate", "ic"},
         {"ative", ""},
         {"alize", "al"},
         {"iciti", "ic"},
         {"ical", "ic"},
         {"ful", ""},
         {"ness", ""}},
        1);
}

void step_4(std::string& word) {
  if (word.ends_with("ion")) {
    const std::string_view stem = cut(word, 3);
    if (measure(stem) > 1 && (stem.back() == 's' || stem.back() == 't')) word.resize(stem.size());
    return;
  }
  apply(word,
        {{"al", ""},
         {"ance", ""},
         {"ence", ""},
         {"er", ""},
         {"ic", ""},
         {"able", ""},
         {"ible", ""},
         {"ant", ""},
         {"ement", ""},
         {"ment", ""},
         {"ent", ""},
         {"ou", ""},
         {"ism", ""},
         {"ate", ""},
         {"iti", ""},
         {"ous", ""},
         {"ive", ""},
         {"ize", ""}},
        2);
}

void step_5(std::string& word) {
  if (word.ends_with('e')) {
    const std::string_view stem = cut(word, 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_short(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(cut(word, 1)) > 1) word.pop_back();
}

}  // namespace

std::string porter_stem(std::string word) {
  static const std::unordered_map<std::string_view, std::string_view> irregular = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return std::string(found->second);
  if (word.size() <= 2) return word;
  step_1a(word);
  step_1b(word);
  step_1c(word);
  step_2(word);
  step_3(word);
  step_4(word);
  step_5(word);
  return word;
}

}  // namespace temper
