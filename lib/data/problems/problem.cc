#include "data/problems/problem.h"

#include "base/error.h"
#include "base/hash.h"

namespace temper {
namespace {

bool is_for_held_out(const std::string& content) {
  return Fingerprint().add(content).hex()[0] < '2';  // 2 of 16
}

}  // namespace

void ProblemSource::fields(FieldVisitor& v) {
  v.choice_here("kind", options, kind, problem_registry());
  if (!on()) return;
  v.field("count", count,
          {.help = "how many; left out: as many as the run's steps draw, of held-out ones 200",
           .min = 1,
           .max = kMostProblems});
  v.field("seed", seed,
          {.help = "the same seed and fields give the same problems; left out: the run's",
           .min = 0,
           .max = 0x1p63});
}

Json make_problem(const ProblemOptions& options, uint64_t seed, bool held_out, int64_t index,
                  const std::string& where) {
  constexpr int kDraws = 400;
  for (uint64_t draw = 0; draw < kDraws; ++draw) {
    RandomStream random(seed, held_out ? "held-out problem" : "problem", draw, static_cast<uint64_t>(index));
    auto made = options.draw(random, index);
    if (!made || is_for_held_out(made->content) != held_out) continue;
    made->columns["prompt"] = made->columns["question"].get<std::string>() + "\n";
    return std::move(made->columns);
  }
  user_error("{}: {} draws gave no {}problem {} of this kind: {}", where, kDraws, held_out ? "held-out " : "",
             index + 1, options.advice());
}

std::vector<Record> make_problems(const ProblemSource& source, bool held_out, const std::string& where) {
  if (!source.on() || !source.count || !source.seed) bug("{}: problems without kind, count or seed", where);
  std::vector<Record> records;
  for (int64_t i = 0; i < *source.count; ++i) {
    records.push_back({make_problem(*source.options, static_cast<uint64_t>(*source.seed), held_out, i, where),
                       where, i + 1});
  }
  return records;
}

}  // namespace temper
