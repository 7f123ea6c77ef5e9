// Every kind of made problem that a config can name.
#include "data/problems/ksat.h"
#include "data/problems/word_problems.h"

namespace temper {

const Registry<ProblemOptions>& problem_registry() {
  static const Registry<ProblemOptions> registry = [] {
    Registry<ProblemOptions> r("problem");
    r.add({"ksat", "random k-SAT as a text or in symbols: values for all variables, or that there are none",
           "Mitchell, Selman and Levesque, Hard and Easy Distributions of SAT Problems (1992); in words: "
           "Madusanka, Pratt-Hartmann and Batista-Navarro, Natural Language Satisfiability (2024)",
           std::make_unique<KsatOptions>});
    r.add({"word_problems", "grade-school stories of several steps with a worked solution",
           "Temper; answers in the form of GSM8K (arXiv 2110.14168)", std::make_unique<WordProblemsOptions>});
    return r;
  }();
  return registry;
}

}  // namespace temper
