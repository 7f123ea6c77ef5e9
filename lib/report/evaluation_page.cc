#include <fmt/format.h>

#include <cmath>

#include "base/json.h"
#include "report/evaluation.h"
#include "report/parts.h"
#include "report/svg.h"

namespace temper {
namespace {

double number(const Json& figure, const char* name) {
  const auto found = figure.find(name);
  return found != figure.end() && found->is_number() ? found->get<double>() : std::nan("");
}

void add_point(Series& series, double x, const Json& figure) {
  series.x.push_back(x);
  series.y.push_back(number(figure, "value"));
  series.low.push_back(number(figure, "low"));
  series.high.push_back(number(figure, "high"));
}

// "pass@8" -> 8 for the kind "pass@"; 0: another figure.
double k_of(const std::string& name, const std::string& kind) {
  if (name.rfind(kind, 0) != 0) return 0;
  return std::strtod(name.c_str() + kind.size(), nullptr);
}

// pass@k and maj@k over k, on a scale of powers of two; what is extrapolated as a line of its own.
std::string curves(const Json& evaluation) {
  if (!evaluation.contains("figures")) return "";
  Chart chart{.title = "Repeated sampling",
              .help = "Against log2 k, the attempts at each prompt. Marks: figures with their intervals.",
              .share = true,
              .wide = true,
              .x_name = "log2 k"};
  int colour = 0;
  const auto add = [&](const std::string& kind, const std::string& name, const Json& figures, bool from_one) {
    Series series{.name = name, .points = true, .colour = colour};
    if (from_one && figures.contains("accuracy")) add_point(series, 0, figures["accuracy"]);
    for (const auto& [key, figure] : figures.items())
      if (const double k = k_of(key, kind); k > 1) add_point(series, std::log2(k), figure);
    if (series.x.size() < (from_one ? 2 : 1)) return;
    ++colour;
    chart.series.push_back(std::move(series));
  };
  add("pass@", "pass@k", evaluation["figures"], true);
  add("maj@", "maj@k", evaluation["figures"], true);
  if (evaluation.contains("extrapolated") && evaluation["extrapolated"].contains("figures"))
    add("pass@", "pass@k by the power law", evaluation["extrapolated"]["figures"], false);
  return render_chart(chart);
}

std::string verifier_curve(const Json& evaluation) {
  if (!evaluation.contains("verifier")) return "";
  Chart chart{.title = "Attempts with the verifier " + evaluation["verifier"]["name"].get<std::string>(),
              .help =
                  "Up to so many attempts, the first that passes is taken. Value: P(true accept) less the "
                  "cost times P(false accept).",
              .wide = true,
              .x_name = "attempts"};
  int colour = 0;
  for (const char* name : {"true_accept", "false_accept", "value"}) {
    Series series{.name = name, .points = true, .colour = colour++};
    for (const Json& at : evaluation["verifier"]["curve"])
      add_point(series, static_cast<double>(at["k"].get<int64_t>()), at[name]);
    chart.series.push_back(std::move(series));
  }
  return render_chart(chart);
}

std::string html_table(const EvaluationTable& table) {
  std::string out;
  if (!table.title.empty()) out += fmt::format("<h2>{}</h2>\n", escape_html(table.title));
  if (table.rows.empty()) return out;
  out += "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& column : table.columns) out += fmt::format("<th>{}</th>", escape_html(column));
  out += "</tr></thead><tbody>";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (const std::string& cell : row) out += fmt::format("<td>{}</td>", escape_html(cell));
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string evaluation_html(const Json& evaluation, const std::string& title) {
  std::string out = page_start(title);
  out += fmt::format("<header><div class=\"over\">Temper · evaluation</div><h1>{}</h1></header>\n<main>\n",
                     escape_html(title));
  const std::string charts = curves(evaluation) + verifier_curve(evaluation);
  if (!charts.empty()) out += "<section class=\"charts\" aria-label=\"Curves\">\n" + charts + "</section>\n";
  for (const EvaluationTable& table : evaluation_tables(evaluation)) out += html_table(table);
  return out + "</main>\n<footer>Written by temper-eval --page.</footer>\n</body>\n</html>\n";
}

}  // namespace temper
