#include "data/problems/cnf.h"

#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace temper {
namespace {

bool holds(int32_t literal, const CnfValues& values) {
  return values[static_cast<size_t>(std::abs(literal) - 1)] == (literal > 0 ? 1 : -1);
}

class Search {
 public:
  Search(const CnfFormula& formula, const CnfValues& wished)
      : formula_(formula),
        wished_(wished),
        values_(static_cast<size_t>(formula.variables), 0),
        places_(2 * static_cast<size_t>(formula.variables)),
        true_(formula.clauses.size(), 0),
        open_(formula.clauses.size(), 0) {
    for (size_t c = 0; c < formula.clauses.size(); ++c) {
      open_[c] = static_cast<int32_t>(formula.clauses[c].size());
      for (const int32_t literal : formula.clauses[c]) places_[place(literal)].push_back(c);
    }
  }

  std::optional<CnfVerdict> run(int64_t max_decisions) {
    bool sound = true;
    for (size_t c = 0; sound && c < formula_.clauses.size(); ++c) {
      if (open_[c] == 0) sound = false;
      if (sound && formula_.clauses[c].size() == 1) sound = put(formula_.clauses[c][0]);
    }
    if (!sound) return CnfVerdict{};
    for (int64_t decisions = 0;; ++decisions) {
      const int32_t literal = branch();
      if (literal == 0) return CnfVerdict{true, filled()};
      if (decisions == max_decisions) return std::nullopt;
      stack_.push_back({set_.size(), literal, false});
      bool fits = put(literal);
      while (!fits) {
        while (!stack_.empty() && stack_.back().flipped) pop();
        if (stack_.empty()) return CnfVerdict{};
        Decision& last = stack_.back();
        undo(last.set_before);
        last.flipped = true;
        fits = put(-last.literal);
      }
    }
  }

 private:
  struct Decision {
    size_t set_before;
    int32_t literal;
    bool flipped;  // its negation is tried now
  };

  static size_t place(int32_t literal) {
    return 2 * static_cast<size_t>(std::abs(literal) - 1) + (literal < 0 ? 1 : 0);
  }
  int8_t value(int32_t literal) const {
    const int8_t v = values_[static_cast<size_t>(std::abs(literal) - 1)];
    return literal > 0 ? v : static_cast<int8_t>(-v);
  }

  // Makes the literal true, and all that follows; false when a clause has no literal left that could be.
  bool put(int32_t literal) {
    std::vector<int32_t> next{literal};
    while (!next.empty()) {
      const int32_t now = next.back();
      next.pop_back();
      if (value(now) > 0) continue;
      if (value(now) < 0) return false;
      values_[static_cast<size_t>(std::abs(now) - 1)] = now > 0 ? 1 : -1;
      set_.push_back(now);
      for (const size_t c : places_[place(now)]) ++true_[c];
      bool sound = true;
      for (const size_t c : places_[place(-now)]) {
        --open_[c];
        if (true_[c] > 0 || open_[c] > 1) continue;
        if (open_[c] == 0) sound = false;
        for (const int32_t other : formula_.clauses[c])
          if (open_[c] == 1 && value(other) == 0) next.push_back(other);
      }
      if (!sound) return false;
    }
    return true;
  }

  void undo(size_t set_before) {
    for (; set_.size() > set_before; set_.pop_back()) {
      const int32_t literal = set_.back();
      for (const size_t c : places_[place(literal)]) --true_[c];
      for (const size_t c : places_[place(-literal)]) ++open_[c];
      values_[static_cast<size_t>(std::abs(literal) - 1)] = 0;
    }
  }
  void pop() {
    undo(stack_.back().set_before);
    stack_.pop_back();
  }

  // The next literal to try; 0 when all clauses hold.
  int32_t branch() const {
    std::vector<double> weight(values_.size(), 0.0);
    bool all_hold = true;
    for (size_t c = 0; c < formula_.clauses.size(); ++c) {
      if (true_[c] > 0) continue;
      all_hold = false;
      for (const int32_t literal : formula_.clauses[c])
        if (value(literal) == 0)
          weight[static_cast<size_t>(std::abs(literal) - 1)] += std::ldexp(1, -open_[c]);
    }
    if (all_hold) return 0;
    size_t best = 0;
    for (size_t v = 0; v < weight.size(); ++v)
      if (weight[v] > weight[best]) best = v;
    return static_cast<int32_t>(best + 1) * wish(best);
  }
  int8_t wish(size_t variable) const { return wished_.empty() ? int8_t{1} : wished_[variable]; }
  CnfValues filled() const {
    CnfValues out = values_;
    for (size_t v = 0; v < out.size(); ++v)
      if (out[v] == 0) out[v] = wish(v);
    return out;
  }

  const CnfFormula& formula_;
  const CnfValues& wished_;
  CnfValues values_;
  std::vector<std::vector<size_t>> places_;  // the clauses of each literal
  std::vector<int32_t> true_, open_;         // of each clause: literals that are true, that are not false
  std::vector<int32_t> set_;                 // the literals made true, in order
  std::vector<Decision> stack_;
};

}  // namespace

int64_t satisfied_clauses(const CnfFormula& formula, const CnfValues& values) {
  if (values.size() != static_cast<size_t>(formula.variables))
    bug("{} values for {} variables", values.size(), formula.variables);
  int64_t count = 0;
  for (const auto& clause : formula.clauses) {
    bool any = false;
    for (const int32_t literal : clause) any = any || holds(literal, values);
    count += any ? 1 : 0;
  }
  return count;
}

std::optional<CnfVerdict> solve(const CnfFormula& formula, const CnfValues& wished, int64_t max_decisions) {
  return Search(formula, wished).run(max_decisions);
}

}  // namespace temper
