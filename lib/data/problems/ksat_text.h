// A formula as people read it: a small scene in English, or symbols.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "data/problems/cnf.h"

namespace temper {

struct KsatText {
  std::string question;
  std::vector<std::string> names;    // of the variables, a word each
  std::vector<std::string> states;   // what true and false are called
  std::vector<std::string> answers;  // what an answer calls them: "yes" and "no"
};

// The most variables that the scenes have names for.
int64_t ksat_english_names();

KsatText ksat_english(const CnfFormula& formula, RandomStream& random);
KsatText ksat_symbols(const CnfFormula& formula);

// "Ana: yes, Ben: no"
std::string ksat_answer(const KsatText& text, const CnfValues& values);

}  // namespace temper
