#include "report/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.h"
#include "base/progress.h"

namespace temper {
namespace {

std::string shown(const Json& number) {
  return number.is_number() ? format_value(number.get<double>()) : "-";
}

std::string interval(const Json& figure) {
  const Json low = figure.value("low", Json()), high = figure.value("high", Json());
  if (low.is_null() && high.is_null()) return "";
  return fmt::format("[{}, {}]", shown(low), shown(high));
}

std::string with_interval(const Json& figure) {
  if (!figure.is_object()) return "-";
  const std::string range = interval(figure);
  return shown(figure.value("value", Json())) + (range.empty() ? "" : " " + range);
}

// How many it is over.
std::string over(const Json& figure) {
  for (const char* what : {"prompts", "records"})
    if (figure.contains(what)) return format_count(figure[what].get<int64_t>());
  return "";
}

void add_figures(const Json& figures, EvaluationTable& table) {
  for (const auto& [name, figure] : figures.items())
    table.rows.push_back({name, shown(figure.value("value", Json())), interval(figure), over(figure)});
}

EvaluationTable figures_table(const std::string& title, const Json& figures) {
  EvaluationTable out{title, {"figure", "value", "interval", "over"}, {}};
  add_figures(figures, out);
  return out;
}

std::string summary(const Json& evaluation) {
  std::string out;
  for (const char* name : {"prompts", "samples", "nulls", "left_out", "tokens"}) {
    if (evaluation.contains(name) && evaluation[name].is_number_integer())
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name,
                         format_count(evaluation[name].get<int64_t>()));
  }
  return out;
}

EvaluationTable extrapolated_table(const Json& extrapolated) {
  if (extrapolated.contains("none"))
    return {"Beyond the samples: " + extrapolated["none"].get<std::string>(), {"figure"}, {}};
  const Json& law = extrapolated["law"];
  return figures_table(fmt::format("Beyond the samples, by c(k) = exp(a k^b), a = {}, b = {}",
                                   shown(law["a"]), shown(law["b"])),
                       extrapolated["figures"]);
}

EvaluationTable verifier_table(const Json& v) {
  EvaluationTable out{fmt::format("The verifier {}, a wrong answer costs {}: best with {} attempts, worth {}",
                                  v["name"].get<std::string>(), shown(v["cost"]), v["best"]["k"].dump(),
                                  with_interval(v["best"])),
                      {"figure", "value", "interval", "over"},
                      {}};
  for (const char* name : {"false_positive_rate", "true_positive_rate", "correct_given_pass"}) {
    if (v[name].is_object())
      out.rows.push_back({name, shown(v[name]["value"]), interval(v[name]), over(v[name])});
  }
  // The curve at the powers of two, the best and the last.
  int64_t next = 1;
  for (const Json& at : v["curve"]) {
    const int64_t k = at["k"];
    if (k != next && k != v["best"]["k"] && &at != &v["curve"].back()) continue;
    if (k == next) next *= 2;
    for (const char* name : {"true_accept", "false_accept", "value"})
      out.rows.push_back(
          {fmt::format("{}@{}", name, k), shown(at[name]["value"]), interval(at[name]), over(at[name])});
  }
  return out;
}

// The figures that a break-down has a place for: of pass@k and its kin that with the largest k.
std::vector<std::string> main_figures(const Json& figures) {
  std::vector<std::string> out;
  const auto last_of = [&](const std::string& kind) {
    std::string last;
    for (const auto& [name, figure] : figures.items())
      if (name.rfind(kind, 0) == 0) last = name;
    if (!last.empty()) out.push_back(last);
  };
  for (const auto& [name, figure] : figures.items())
    if (name.rfind("acc", 0) == 0 && name.find('/') != std::string::npos)
      out.push_back(name);  // of --choices
  for (const char* kind : {"accuracy", "pass@", "maj@", "reward", "length"}) {
    if (figures.contains(kind))
      out.push_back(kind);
    else if (std::string(kind).back() == '@')
      last_of(kind);
  }
  return out;
}

EvaluationTable by_table(const std::string& column, const Json& values) {
  std::vector<std::string> names;
  for (const auto& [value, part] : values.items()) {
    for (const std::string& name : main_figures(part["figures"]))
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  EvaluationTable out{"By " + column, {column, "prompts"}, {}};
  out.columns.insert(out.columns.end(), names.begin(), names.end());
  for (const auto& [value, part] : values.items()) {
    std::vector<std::string> row = {value, format_count(part["prompts"].get<int64_t>())};
    for (const std::string& name : names) row.push_back(with_interval(part["figures"].value(name, Json())));
    out.rows.push_back(std::move(row));
  }
  return out;
}

EvaluationTable compared_table(const Json& evaluation) {
  const Json& prompts = evaluation["prompts"];
  std::string title = fmt::format("A and B on {} prompts", format_count(prompts["matched"].get<int64_t>()));
  if (prompts["only_a"] != 0 || prompts["only_b"] != 0)
    title +=
        fmt::format("; {} are in A only, {} in B only", prompts["only_a"].dump(), prompts["only_b"].dump());
  EvaluationTable out{title, {"figure", "A", "B", "A - B", "P(A > B)", "over"}, {}};
  for (const auto& [name, row] : evaluation["compared"].items())
    out.rows.push_back({name, with_interval(row["a"]), with_interval(row["b"]),
                        with_interval(row["difference"]),
                        fmt::format("{:.3f}", row["p_a_above_b"].get<double>()), over(row)});
  return out;
}

// Columns on a terminal: bytes that begin a character.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::vector<EvaluationTable> evaluation_tables(const Json& evaluation) {
  std::vector<EvaluationTable> out;
  if (evaluation.contains("figures"))
    out.push_back(figures_table(summary(evaluation), evaluation["figures"]));
  if (evaluation.contains("extrapolated")) out.push_back(extrapolated_table(evaluation["extrapolated"]));
  if (evaluation.contains("verifier")) out.push_back(verifier_table(evaluation["verifier"]));
  if (evaluation.contains("by")) {
    for (const auto& [column, values] : evaluation["by"].items()) out.push_back(by_table(column, values));
  }
  if (evaluation.contains("compared")) out.push_back(compared_table(evaluation));
  return out;
}

std::string evaluation_text(const Json& evaluation) {
  std::string out;
  for (const EvaluationTable& table : evaluation_tables(evaluation)) {
    if (!out.empty()) out += "\n";
    if (!table.title.empty()) out += table.title + "\n";
    std::vector<size_t> widths(table.columns.size());
    const auto widen = [&](const std::vector<std::string>& row) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
    };
    widen(table.columns);
    for (const auto& row : table.rows) widen(row);
    const auto line = [&](const std::vector<std::string>& row) {
      std::string text;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string space(widths[i] - width(row[i]), ' ');
        text += (i == 0 ? "" : "  ") + (i == 0 ? row[i] + space : space + row[i]);
      }
      out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
    };
    if (table.rows.empty()) continue;
    line(table.columns);
    for (const auto& row : table.rows) line(row);
  }
  return out;
}

}  // namespace temper
