#include "task/reward_model/data.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "data/groups.h"
#include "model/load.h"
#include "task/reward_model/config.h"

namespace temper {

using objective::RewardRows;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kNotRated = -100;  // HelpSteer2's mark

const char* columns_of(RewardRows rows) {
  switch (rows) {
    case RewardRows::kPairs:
      return "\"chosen\" and \"rejected\"";
    case RewardRows::kRated:
      return "\"prompt\", \"completion\" and \"ratings\"";
    default:
      return "\"prompt\", \"completions\" and \"labels\"";
  }
}

// The form of a record, by its keys and what the losses want.
RewardRows form_of(const Record& record, const objective::RewardObjective& objective) {
  const Json& j = record.json;
  const auto has = [&](const char* key) { return has_column(j, key); };
  const std::pair<RewardRows, bool> forms[] = {
      {RewardRows::kPairs, has("chosen") && has("rejected")},
      {RewardRows::kRated, has("prompt") && has("completion") && has("ratings")},
      {RewardRows::kGroups, has("prompt") && has("completions") && has("labels")},
      {RewardRows::kSteps, has("prompt") && has("completions") && has("labels")}};
  for (const auto& [form, there] : forms) {
    if (there && objective.wants(form)) return form;
  }
  std::string needs;
  for (const auto& part : objective.parts())
    needs += (needs.empty() ? "" : "; ") + part.name + " needs " + columns_of(part.needs.rows);
  std::string keys;
  for (const auto& [key, value] : j.items()) keys += (keys.empty() ? "" : ", ") + key;
  user_error("{}: no loss of this run learns from a record of the keys {}; {}", record.where(),
             keys.substr(0, 200), needs);
}

double number(const Record& record, const std::string& what, const Json& value) {
  if (!value.is_number() || !std::isfinite(value.get<double>()))
    user_error("{}: {}: expected a number, found {}", record.where(), what, dump_line(value).substr(0, 40));
  return value.get<double>();
}

double rating(const Record& record, const std::string& what, const Json& value) {
  if (value.is_null()) return kNan;
  const double x = number(record, what, value);
  return x == kNotRated ? kNan : x;
}

// NaN when the record has none and nobody needs it.
double strength_of(const Record& record, bool needed) {
  for (const char* key : {"strength", "margin"}) {
    if (has_column(record.json, key)) return number(record, fmt::format("\"{}\"", key), record.json[key]);
  }
  if (needed) {
    user_error(
        "{}: there is no \"strength\" (or \"margin\"), a number for how much better the chosen answer is",
        record.where());
  }
  return kNan;
}

std::vector<double> ratings_of(const Record& record, const ModelConfig& config) {
  const Json& ratings = record.json["ratings"];
  std::vector<double> out(static_cast<size_t>(config.scores), kNan);
  if (ratings.is_array()) {
    if (ratings.size() != out.size()) {
      user_error("{}: {} ratings, but the model has {} scores", record.where(), ratings.size(), out.size());
    }
    for (size_t i = 0; i < out.size(); ++i) out[i] = rating(record, fmt::format("ratings.{}", i), ratings[i]);
    return out;
  }
  for (const auto& [name, value] : ratings.items()) {
    const auto& names = config.score_names;
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
      user_error("{}: ratings: the model has no score \"{}\"; it has {}", record.where(), name,
                 names.empty() ? "no named ones" : fmt::format("{}", fmt::join(names, ", ")));
    }
    out[static_cast<size_t>(at - names.begin())] = rating(record, "ratings." + name, value);
  }
  return out;
}

void add_rows(ScoredUnit& unit, const ScoreReader& reader, const Model& model) {
  for (Answer& answer : unit.answers) {
    answer.completion.insert(answer.completion.end(), reader.question().begin(), reader.question().end());
    unit.reads.push_back({reader.position(model, answer.prompt, answer.completion)});
  }
}

// One record; no answers when it is left out, which `out` counts.
ScoredUnit read_unit(const RecordEncoder& encoder, const Record& record,
                     const objective::RewardObjective& objective, const ScoreReader& reader,
                     const Model& model, const std::string& separator, ScoredUnits& out) {
  ScoredUnit unit;
  const auto left_out = [&](int64_t& count) {
    ++count;
    unit.answers.clear();
    return unit;
  };
  unit.form = form_of(record, objective);
  if (unit.form == RewardRows::kPairs) {
    bool needed = false;
    for (const auto& part : objective.parts()) needed = needed || part.needs.strength;
    unit.strength = strength_of(record, needed);
    if (has_column(record.json, "margin")) unit.margin = number(record, "\"margin\"", record.json["margin"]);
    auto [chosen, rejected] = encoder.preference(record);
    if (chosen.completion.empty() || rejected.completion.empty()) return left_out(out.overlong);
    unit.answers = {std::move(chosen), std::move(rejected)};
  } else if (unit.form == RewardRows::kRated) {
    unit.ratings = ratings_of(record, model.config());
    Answer answer = encoder.answer(record);
    const bool rated = std::any_of(unit.ratings.begin(), unit.ratings.end(), [](double x) { return x == x; });
    if (answer.completion.empty()) return left_out(out.overlong);
    if (!rated) return left_out(out.useless);
    unit.answers = {std::move(answer)};
  } else if (unit.form == RewardRows::kGroups) {
    const std::vector<Answer> answers = encoder.answers(record);
    for (size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].completion.empty()) continue;
      unit.answers.push_back(answers[i]);
      unit.labels.push_back(*truth(record.json["labels"][i]) ? 1 : 0);
    }
    if (unit.answers.empty()) return left_out(out.overlong);
    const auto right = std::count(unit.labels.begin(), unit.labels.end(), 1.0);
    if (right == 0 || right == static_cast<int64_t>(unit.labels.size())) return left_out(out.useless);
    out.overlong_answers += static_cast<int64_t>(answers.size() - unit.answers.size());
  } else {
    if (record_kind(record) != RecordKind::kStepwise) bug("{}: a record of steps", record.where());
    const auto texts = record.json["completions"].get<std::vector<std::string>>();
    Steps steps = encoder.steps(record, texts, separator);
    if (steps.ends.empty()) return left_out(out.overlong);
    for (size_t i = 0; i < steps.ends.size(); ++i)
      unit.labels.push_back(*truth(record.json["labels"][i]) ? 1 : 0);
    unit.answers = {{std::move(steps.prompt), std::move(steps.completion), {}}};
    unit.reads = {std::move(steps.ends)};
    return unit;
  }
  add_rows(unit, reader, model);
  return unit;
}

}  // namespace

std::vector<Record> in_forms(const std::vector<Record>& records, const objective::RewardObjective& objective,
                             const RewardModelTask& task, uint64_t seed, int64_t* without) {
  const bool labels = objective.wants(RewardRows::kGroups) || objective.wants(RewardRows::kSteps);
  std::vector<Record> out, groups;
  for (const Record& record : records) {
    if (!is_group(record)) {
      out.push_back(record);
    } else if (objective.wants(RewardRows::kPairs)) {
      groups.push_back(record);
    } else if (labels) {
      out.push_back(with_labels(record, task.label_threshold));
    } else {
      for (Record& answer : rated_alone(record)) out.push_back(std::move(answer));
    }
  }
  SelectContext context{.seed = seed};
  for (Record& pair : task.pairs.select(std::move(groups), context)) out.push_back(std::move(pair));
  for (const auto& [name, value] : context.figures) {
    if (without == nullptr) continue;
    if (name == "prompts") *without += static_cast<int64_t>(value);
    if (name == "prompts_selected") *without -= static_cast<int64_t>(value);
  }
  return out;
}

std::vector<std::string> rated_attributes(const std::vector<Record>& records) {
  std::set<std::string> names;
  size_t count = 0;
  const Record* first = nullptr;
  for (const Record& record : records) {
    if (!has_column(record.json, "ratings")) continue;
    const Json& ratings = record.json["ratings"];
    if (!(ratings.is_object() || ratings.is_array()) || ratings.empty()) {
      user_error("{}: ratings: expected {{\"attribute\": number, ...}} or an array of numbers, found {}",
                 record.where(), dump_line(ratings).substr(0, 40));
    }
    if (first == nullptr) first = &record;
    if (first->json["ratings"].type() != ratings.type())
      user_error("{}: ratings: some records have names and others an array ({})", record.where(),
                 first->where());
    if (ratings.is_array()) count = std::max(count, ratings.size());
    if (ratings.is_object()) {
      for (const auto& [name, value] : ratings.items()) names.insert(name);
    }
  }
  if (count > 0) return std::vector<std::string>(count);
  return {names.begin(), names.end()};
}

ScoredUnits read_units(const RecordEncoder& encoder, const std::vector<Record>& records,
                       const objective::RewardObjective& objective, const ScoreReader& reader,
                       const Model& model, const std::string& separator) {
  ScoredUnits out;
  out.records = static_cast<int64_t>(records.size());
  for (const Record& record : records) {
    const auto empty = [&](const char* list) {
      return has_column(record.json, list) && record.json[list].empty();
    };
    if (empty("completions") && empty("labels")) {
      ++out.useless;  // a group without any reward
      continue;
    }
    ScoredUnit unit = read_unit(encoder, record, objective, reader, model, separator, out);
    if (!unit.answers.empty()) out.all.push_back(std::move(unit));
  }
  return out;
}

void check_units(const ScoredUnits& units, const objective::RewardObjective& objective, int64_t max_tokens) {
  if (units.all.empty()) {
    user_error("data.train: no record is left: all are longer than max_tokens {} or have nothing to compare",
               max_tokens);
  }
  for (const auto& part : objective.parts()) {
    const bool any = std::any_of(units.all.begin(), units.all.end(),
                                 [&](const ScoredUnit& unit) { return unit.form == part.needs.rows; });
    if (!any) {
      user_error("data.train: no record is for {}, which needs {}", part.name, columns_of(part.needs.rows));
    }
  }
}

ScoredStep make_step(const std::vector<const ScoredUnit*>& units) {
  ScoredStep step;
  step.units = units;
  int64_t group = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    const Answer* before = nullptr;
    for (size_t k = 0; k < units[u]->answers.size(); ++k) {
      const Answer& a = units[u]->answers[k];
      // Tokenised together with its completion, a prompt may end otherwise; then it is not shared.
      if (before == nullptr || before->prompt != a.prompt) {
        ++group;
        step.tokens += static_cast<int64_t>(a.prompt.size());
      }
      step.tokens += static_cast<int64_t>(a.completion.size());
      before = &a;
      step.sequences.push_back(
          {.prompt = &a.prompt, .completion = &a.completion, .group = group, .joined = k > 0});
      step.reads.push_back(&units[u]->reads[k]);
      step.unit_of.push_back(static_cast<int64_t>(u));
    }
  }
  return step;
}

at::Tensor score_rows(const ScoredStep& step, const MicroBatch& micro) {
  std::vector<int64_t> rows;
  size_t next = 0;
  for (const Segment& own : micro.tokens.segments) {
    if (own.parent < 0) continue;  // a prompt
    const Segment& prompt = micro.tokens.segments[static_cast<size_t>(own.parent)];
    for (const int64_t at : *step.reads[static_cast<size_t>(micro.sequences[next])])
      rows.push_back(at < prompt.length() ? prompt.begin + at : own.begin + at - prompt.length());
    ++next;
  }
  return at::tensor(rows, at::kLong).to(micro.tokens.ids.device());
}

objective::RewardBatch reward_batch(const std::vector<const ScoredUnit*>& units, RewardRows form,
                                    const at::Tensor& scores) {
  std::vector<int64_t> rows, group;
  std::vector<double> strength, margin, label, ratings;
  int64_t row = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    const ScoredUnit& unit = *units[u];
    for (const auto& reads : unit.reads) {
      for (size_t i = 0; i < reads.size(); ++i, ++row) {
        if (unit.form != form) continue;
        rows.push_back(row);
        group.push_back(static_cast<int64_t>(u));
      }
    }
    if (unit.form != form) continue;
    if (form == RewardRows::kPairs) {
      strength.push_back(unit.strength);
      margin.push_back(unit.margin);
    }
    label.insert(label.end(), unit.labels.begin(), unit.labels.end());
    ratings.insert(ratings.end(), unit.ratings.begin(), unit.ratings.end());
  }
  const auto numbers = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kFloat).to(scores.device());
  };
  objective::RewardBatch batch;
  batch.score = scores.index_select(0, at::tensor(rows, at::kLong).to(scores.device()));
  if (form == RewardRows::kPairs) {
    batch.strength = numbers(strength);
    batch.margin = numbers(margin);
  }
  if (form == RewardRows::kGroups) batch.group = at::tensor(group, at::kLong).to(scores.device());
  if (form == RewardRows::kGroups || form == RewardRows::kSteps) batch.label = numbers(label);
  if (form == RewardRows::kRated) batch.target = numbers(ratings).view({-1, scores.size(1)});
  return batch;
}

}  // namespace temper
