// Grade-school stories with an exact answer and a worked solution, in GSM8K's form.
#pragma once

#include "data/problems/problem.h"

namespace temper {

// Columns beside a problem's: "answer", the worked solution, which ends in "#### 72". difficulty: the number
// of steps.
struct WordProblemsOptions : ProblemOptions {
  int64_t min_steps = 1, max_steps = 4, max_number = 100;
  std::vector<std::string> operations = {"add", "subtract", "multiply", "divide"};
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::optional<MadeProblem> draw(RandomStream& random, int64_t index) const override;
  std::string advice() const override;
};

}  // namespace temper
