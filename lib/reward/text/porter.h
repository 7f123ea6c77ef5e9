// Stems of English words.
#pragma once

#include <string>

namespace temper {

// Porter, "An algorithm for suffix stripping" (1980), with what nltk's PorterStemmer adds to it in its
// standard mode (NLTK_EXTENSIONS). Of a word of a-z and 0-9.
std::string porter_stem(std::string word);

}  // namespace temper
