// What a solution has computed after each of its steps, so that two ways to the same place are seen as such.
#pragma once

#include <string>
#include <vector>

namespace temper {

// The steps of a solution: its lines that are not blank, each with the line end behind it.
std::vector<std::string> solution_steps(const std::string& text);

// After each step the values known by then, sorted: of a line "name = expression" in numbers, names of lines
// before it and + - * / ( ), its value; of any other line the last number in it; of a line without one,
// nothing new. Values of one name replace one another. Rounded to nine significant digits.
using SolutionState = std::vector<std::string>;
std::vector<SolutionState> solution_states(const std::vector<std::string>& steps);

}  // namespace temper
