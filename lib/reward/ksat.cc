#include "reward/ksat.h"

#include <cstdlib>

#include "base/error.h"
#include "base/json.h"
#include "data/problems/cnf.h"
#include "reward/columns.h"
#include "reward/ksat_answer.h"

namespace temper {
namespace {

constexpr int64_t kMostVariables = 10'000, kMostLiterals = 100'000;

struct KsatRecord {
  CnfFormula formula;
  std::vector<std::string> names, states;
  std::optional<bool> satisfiable;
};

// A list of texts in a column that may be missing; nullopt: something else is there.
std::optional<std::vector<std::string>> texts_of(const Json& columns, const char* column) {
  const auto found = columns.find(column);
  std::vector<std::string> out;
  if (found == columns.end() || found->is_null()) return out;
  if (!found->is_array()) return std::nullopt;
  for (const Json& text : *found) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty()) return std::nullopt;
    out.push_back(text.get<std::string>());
  }
  return out;
}

// Why the record cannot be read, or "".
std::string read_record(const Json* columns, const std::string& column, KsatRecord& out) {
  const Json& clauses = column_value(columns, column, "ksat");
  const auto wrong = [&](const std::string& what) { return fmt::format("column \"{}\": {}", column, what); };
  if (!clauses.is_array()) return wrong("expected a list of clauses such as [[1, -2, 3], [2, 3, -4]]");
  int64_t literals = 0;
  for (const Json& clause : clauses) {
    auto& to = out.formula.clauses.emplace_back();
    if (!clause.is_array())
      return wrong("a clause is no list of literals: " + dump_line(clause).substr(0, 60));
    for (const Json& literal : clause) {
      // An unsigned number beyond int64_t would wrap.
      const bool whole = literal.is_number_integer() && !(literal.is_number_unsigned() &&
                                                          literal.get<uint64_t>() > uint64_t{kMostVariables});
      const int64_t value = whole ? literal.get<int64_t>() : 0;
      if (value == 0 || value < -kMostVariables || value > kMostVariables || ++literals > kMostLiterals) {
        return wrong(fmt::format("expected literals from 1 to {} or their negatives, found {}",
                                 kMostVariables, dump_line(literal).substr(0, 60)));
      }
      to.push_back(static_cast<int32_t>(value));
      out.formula.variables = std::max<int64_t>(out.formula.variables, std::abs(value));
    }
  }
  const auto names = texts_of(*columns, "variables"), states = texts_of(*columns, "states");
  if (!names) return "column \"variables\": expected a list of names";
  if (!states || (!states->empty() && states->size() != 2))
    return "column \"states\": expected two texts, for true and for false";
  out.names = *names;
  out.states = *states;
  const auto count = static_cast<int64_t>(out.names.size());
  if (out.names.empty()) {
    for (int64_t v = 1; v <= out.formula.variables; ++v) out.names.push_back(fmt::format("x{}", v));
  } else if (count < out.formula.variables) {
    return fmt::format("column \"variables\": {} names for {} variables", count, out.formula.variables);
  } else {
    out.formula.variables = count;
  }
  const auto verdict = columns->find("satisfiable");
  if (verdict != columns->end() && verdict->is_boolean()) out.satisfiable = verdict->get<bool>();
  return "";
}

class Ksat : public Reward {
 public:
  explicit Ksat(const KsatRewardOptions& options) : o_(options) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) scores.push_back(score_one(item));
    return scores;
  }
  bool each_alone() const override { return true; }
  bool knows_answers() const override { return true; }

  std::optional<std::string> answer(const RewardItem& item) const override {
    KsatRecord record;
    if (item.columns == nullptr || !has_column(item.columns, o_.column) ||
        !read_record(item.columns, o_.column, record).empty())
      return std::nullopt;
    const auto given = read_ksat_answer(item.completion, record.names, record.states);
    if (!given) return std::nullopt;
    if (given->unsatisfiable) return "unsatisfiable";
    std::string out;
    for (size_t v = 0; v < record.names.size(); ++v) {
      if (given->values[v] == 0) continue;
      out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", record.names[v],
                         given->values[v] > 0 ? "true" : "false");
    }
    return out;
  }

  Json read(const RewardItem& item) const override {
    const auto given = answer(item);
    Json out = {{"answer", given ? Json(*given) : Json(nullptr)}};
    KsatRecord record;
    if (!read_record(item.columns, o_.column, record).empty()) return out;
    const auto values = read_ksat_answer(item.completion, record.names, record.states);
    if (values && !values->unsatisfiable)
      out["satisfied"] = satisfied_clauses(record.formula, values->values);
    out["clauses"] = record.formula.clauses.size();
    return out;
  }

  std::optional<std::string> check(const Json& columns) const override {
    KsatRecord record;
    std::string why = read_record(&columns, o_.column, record);
    return why.empty() ? std::nullopt : std::optional(std::move(why));
  }

 private:
  std::optional<double> score_one(const RewardItem& item) const {
    KsatRecord record;
    if (!read_record(item.columns, o_.column, record).empty()) return std::nullopt;
    const auto given = read_ksat_answer(item.completion, record.names, record.states);
    if (!given) return o_.incorrect;
    if (given->unsatisfiable) {
      const auto verdict = satisfiable(record);
      if (!verdict) return std::nullopt;
      return *verdict ? o_.incorrect : o_.correct;
    }
    const auto all = static_cast<int64_t>(record.formula.clauses.size());
    const int64_t held = satisfied_clauses(record.formula, given->values);
    if (held == all) return o_.correct;
    if (o_.partial == 0) return o_.incorrect;
    const auto verdict = satisfiable(record);
    if (!verdict) return std::nullopt;
    if (!*verdict) return o_.incorrect;
    const double share = static_cast<double>(held) / static_cast<double>(all);
    return o_.incorrect + o_.partial * share * (o_.correct - o_.incorrect);
  }

  // nullopt: too large to be decided.
  static std::optional<bool> satisfiable(const KsatRecord& record) {
    if (record.satisfiable) return record.satisfiable;
    constexpr int64_t kDecisions = 20'000;
    const auto verdict = solve(record.formula, {}, kDecisions);
    return verdict ? std::optional(verdict->satisfiable) : std::nullopt;
  }

  KsatRewardOptions o_;
};

}  // namespace

void KsatRewardOptions::fields(FieldVisitor& v) {
  v.field(
      "column", column,
      {.help = "the column with the clauses, [[1, -2, 3], ...]; \"variables\" has their names (left out: x1, "
               "x2 ...), \"states\" two words for true and false, \"satisfiable\" the verdict (left out: it "
               "is worked out)"});
  v.field("correct", correct,
          {.help = "score of values that satisfy all clauses, or of a right claim that none do"});
  v.field("incorrect", incorrect, {.help = "score of anything else"});
  v.field(
      "partial", partial,
      {.help = "of a formula that can be satisfied: values that do not are moved by this, times the share of "
               "clauses that they satisfy, from incorrect to correct",
       .min = 0,
       .max = 1});
}

std::unique_ptr<Reward> KsatRewardOptions::make() const {
  return std::make_unique<Ksat>(*this);
}

}  // namespace temper
