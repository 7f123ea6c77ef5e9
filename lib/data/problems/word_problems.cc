#include "data/problems/word_problems.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "data/problems/story.h"

namespace temper {
namespace {

const std::vector<std::string> kOperations = {"add", "subtract", "multiply", "divide"};

}  // namespace

void WordProblemsOptions::fields(FieldVisitor& v) {
  v.field("min_steps", min_steps, {.help = "of a solution, the difficulty", .min = 1, .max = 12});
  v.field("max_steps", max_steps,
          {.help = "of a solution; each number in between is equally likely", .min = 1, .max = 12});
  v.field("max_number", max_number,
          {.help = "the largest number, results included; the smallest is 1", .min = 8, .max = 1'000'000});
  v.field("operations", operations, {.help = "what steps may do: add, subtract, multiply, divide"});
}

void WordProblemsOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (max_steps < min_steps)
    problems.push_back(fmt::format("{}.max_steps: {} is below min_steps {}", where, max_steps, min_steps));
  if (operations.empty())
    problems.push_back(where + ".operations: none; give some of " +
                       fmt::format("{}", fmt::join(kOperations, ", ")));
  for (const std::string& name : operations) {
    if (std::find(kOperations.begin(), kOperations.end(), name) != kOperations.end()) continue;
    const std::string near = nearest_name(name, kOperations);
    problems.push_back(fmt::format("{}.operations: expected some of {}, found \"{}\"{}", where,
                                   fmt::join(kOperations, ", "), name,
                                   near.empty() ? "" : "; did you mean \"" + near + "\"?"));
  }
}

std::string WordProblemsOptions::advice() const {
  return fmt::format("lower max_steps {}, raise max_number {} or allow other operations than {}", max_steps,
                     max_number, fmt::join(operations, ", "));
}

std::optional<MadeProblem> WordProblemsOptions::draw(RandomStream& random, int64_t) const {
  const int64_t steps =
      min_steps + static_cast<int64_t>(random.below(static_cast<uint64_t>(max_steps - min_steps + 1)));
  std::vector<char> signs;
  for (const auto& [name, sign] :
       {std::pair("add", '+'), {"subtract", '-'}, {"multiply", '*'}, {"divide", '/'}}) {
    if (std::find(operations.begin(), operations.end(), name) != operations.end()) signs.push_back(sign);
  }
  const auto story = tell_story(steps, max_number, signs, random);
  if (!story) return std::nullopt;
  MadeProblem out;
  out.content = story->question;
  out.columns = {{"question", story->question},
                 {"answer", story->solution},
                 {"completion", story->solution},
                 {"difficulty", steps}};
  return out;
}

}  // namespace temper
