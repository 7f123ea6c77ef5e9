// Problems that are made, not read: as many as wanted, with exact answers. Problem i is a pure function of
// the kind's options, a seed and i, so a resumed run finds its own again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "base/random.h"
#include "data/records.h"

namespace temper {

// columns: "question", "completion" (a worked answer), "difficulty", and what the kind's reward reads.
// content: what makes it this problem and no other, however it is worded.
struct MadeProblem {
  Json columns;
  std::string content;
};

// What a kind of problem looks like; `kind` picks it from the registry.
struct ProblemOptions : Fields {
  // A problem by the stream's draws; index: of the problem, for shares that are to be exact. nullopt: these
  // draws gave none of the sort asked for, others may.
  virtual std::optional<MadeProblem> draw(RandomStream& random, int64_t index) const = 0;
  // What to change where no draws give any.
  virtual std::string advice() const = 0;
};
const Registry<ProblemOptions>& problem_registry();

// All of a run's are in memory at once.
constexpr int64_t kMostProblems = 1'000'000;

// A section of a config: {"kind": ..., "count"?, "seed"?, ...the kind's own fields}. Without a kind it is
// off.
struct ProblemSource : Fields {
  std::string kind;
  std::unique_ptr<ProblemOptions> options;
  std::optional<int64_t> count, seed;
  void fields(FieldVisitor& v) override;
  bool on() const { return options != nullptr; }
};

// Problem `index` as a record's columns: the kind's, and "prompt", the question with a line's end. An eighth
// of all problems, told by their content, is for held-out data alone: for any two seeds no held-out problem
// is one of the others. Throws UserError, naming `where`, when 400 draws give none.
Json make_problem(const ProblemOptions& options, uint64_t seed, bool held_out, int64_t index,
                  const std::string& where);

// The problems 0 to count - 1 of a source whose count and seed are given; `where` stands for their file.
std::vector<Record> make_problems(const ProblemSource& source, bool held_out, const std::string& where);

}  // namespace temper
