// What of a record rules compare: its text, words and n-grams.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "data/records.h"

namespace temper {

// The words of a record: "text", or prompt, completion and completions, or the contents of messages, a line
// each.
std::string record_text(const Record& record);
// What a record asks: its prompt, the messages before a last answer, or its text.
std::string prompt_words(const Record& record);

// What texts that count as the same have in common. how: "exact", the text itself; "folded", in lower case,
// with runs of white space as one space and none at the ends.
std::string text_key(const std::string& text, const std::string& how);

// NLTK's wordpunct_tokenize of the text in lower case: runs of letters, digits and _, and runs of anything
// else that is no white space.
std::vector<std::string> punctuated_words(const std::string& text);

// The different runs of n of these words, joined by spaces; of fewer words the only one of all of them.
std::set<std::string> word_ngrams(const std::vector<std::string>& words, int64_t n);

}  // namespace temper
