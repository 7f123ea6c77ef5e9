// Of a run in rounds: what each phase of each round said, with links to what it left.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "report/parts.h"

namespace temper {
namespace {

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_directory()) out.push_back(entry.path().filename().string());
  // "2-good" before "10-evaluate".
  std::sort(out.begin(), out.end(), [](const std::string& a, const std::string& b) {
    const long x = std::strtol(a.c_str(), nullptr, 10), y = std::strtol(b.c_str(), nullptr, 10);
    return x != y ? x < y : a < b;
  });
  return out;
}

std::string figures(const Json& phase) {
  std::string out;
  size_t shown = 0;
  const auto number = [](const Json& x) { return x.is_number() ? format_value(x.get<double>()) : "–"; };
  const Json all = phase.value("figures", Json::object());
  for (const auto& [name, figure] : all.items()) {
    if (++shown > 8) break;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", escape_html(name),
                       number(figure.value("value", Json())));
    if (figure.contains("low") && figure.contains("high"))
      out += fmt::format(" [{}, {}]", number(figure["low"]), number(figure["high"]));
  }
  return out;
}

}  // namespace

std::string report_rounds(const std::string& run_folder) {
  const fs::path rounds = fs::path(run_folder) / "rounds";
  std::string rows;
  for (const std::string& round : folders_in(rounds)) {
    for (const std::string& phase : folders_in(rounds / round)) {
      const fs::path folder = rounds / round / phase;
      const bool done = fs::exists(folder / "phase.json");
      std::string links;
      for (const auto& [file, what] : {std::pair{"lines.jsonl", "lines"},
                                       {"data.jsonl", "data"},
                                       {"grid.jsonl", "grid"},
                                       {"samples.jsonl", "samples"},
                                       {"run/report.html", "report"}}) {
        if (fs::exists(folder / file))
          links += fmt::format("<a href=\"rounds/{}/{}/{}\">{}</a> ", escape_html(round), escape_html(phase),
                               file, what);
      }
      rows +=
          fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                      std::strtol(round.c_str(), nullptr, 10), escape_html(phase),
                      done ? figures(read_json_file((folder / "phase.json").string())) : "under way", links);
    }
  }
  if (rows.empty()) return "";
  return "<h2>Rounds</h2>\n<section><div class=\"scroll\"><table "
         "class=\"rounds\"><thead><tr><th>round</th><th>phase</th>"
         "<th>figures</th><th>files</th></tr></thead><tbody>" +
         rows + "</tbody></table></div></section>\n";
}

}  // namespace temper
