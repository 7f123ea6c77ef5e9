#include "report/model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <sstream>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "report/parts.h"

namespace temper {
namespace {

// One line of Markdown whose text means nothing to Markdown or HTML.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : escape_html(text)) {
    if (c == '\n' || c == '\r') {
      out += ' ';
      continue;
    }
    if (c == '|' || c == '`' || c == '*' || c == '_' || c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// The value of "license:" in the front matter of a base model's own card; "" where it says none.
std::string licence_of(const fs::path& base) {
  if (base.empty() || !fs::exists(base / "README.md")) return "";
  std::istringstream lines(read_file((base / "README.md").string()));
  std::string line;
  if (!std::getline(lines, line) || line != "---") return "";
  const std::string key = "license:";
  while (std::getline(lines, line) && line != "---") {
    if (line.rfind(key, 0) != 0) continue;
    std::string out = line.substr(key.size());
    // Names of licences have letters, digits, dots and dashes.
    std::erase_if(out, [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-'; });
    return out;
  }
  return "";
}

// What a path of this machine says to others: its last name, or that of a model in the hub's cache,
// .../models--org--name/snapshots/REVISION.
std::string public_name(const std::string& path) {
  const fs::path at = fs::path(path).lexically_normal();
  const fs::path named = at.has_filename() ? at : at.parent_path();
  const std::string cached = named.parent_path().parent_path().filename().string(), mark = "models--";
  if (named.parent_path().filename() != "snapshots" || cached.rfind(mark, 0) != 0)
    return named.filename().string();
  std::string out = cached.substr(mark.size());
  if (const size_t parting = out.find("--"); parting != std::string::npos) out.replace(parting, 2, "/");
  return out;
}

// The config with public names in the place of absolute paths.
Json public_settings(const Json& config) {
  if (config.is_string() && config.get<std::string>().rfind('/', 0) == 0)
    return public_name(config.get<std::string>());
  if (!config.is_structured()) return config;
  Json out = config;
  for (Json& value : out) value = public_settings(value);
  return out;
}

std::string number_text(const std::string& key, double value) {
  if (key == "accuracy" || key == "truncated") return fmt::format("{:.1f} %", 100 * value);
  return format_value(value);
}

std::string measured_table(const std::vector<MetricsRow>& rows) {
  if (rows.empty()) return "Nothing was measured on held-out data.\n";
  const MetricsRow &first = rows.front(), &last = rows.back();
  const std::string main = main_key(rows);
  std::string out = first.step == last.step ? fmt::format("| held out | step {} |\n|---|---|\n", last.step)
                                            : fmt::format("| held out | step {} | step {} |\n|---|---|---|\n",
                                                          first.step, last.step);
  const auto cell = [&](const MetricsRow& row, const std::string& key) {
    const auto value = row.find(key);
    if (!value || !std::isfinite(*value)) return std::string();
    std::string text = number_text(key, *value);
    const auto low = row.find("low"), high = row.find("high");
    if (key == main && low && high)
      text += fmt::format(" (95 %: {} to {})", number_text(key, *low), number_text(key, *high));
    return text;
  };
  for (const auto& [key, value] : last.values) {
    if (key == "low" || key == "high" || is_calibration_figure(key)) continue;
    out += fmt::format("| {} |", plain(key));
    if (first.step != last.step) out += fmt::format(" {} |", cell(first, key));
    out += fmt::format(" {} |\n", cell(last, key));
  }
  return out;
}

// Where the training data comes from, a line each.
std::vector<std::string> data_lines(const Json& config) {
  std::vector<std::string> out;
  const Json data = config.value("data", Json::object());
  for (const Json& file : data.value("train", Json::array()))
    if (file.is_string()) out.push_back(fs::path(file.get<std::string>()).filename().string());
  if (const Json make = data.value("make", Json()); make.is_object() && make.contains("kind"))
    out.push_back("made problems: " + make["kind"].get<std::string>());
  return out;
}

std::string loading(const CardFacts& facts, const std::string& base) {
  const std::string shown = base.empty() ? "BASE" : base;
  if (!facts.scores.empty())
    return fmt::format(
        "A score, {}, is read where transformers reads it (`AutoModelForSequenceClassification`).\n\n"
        "```python\nfrom transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "model = AutoModelForSequenceClassification.from_pretrained(\"FOLDER\")\n"
        "tokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\n```\n",
        facts.scores);
  if (!facts.adapter)
    return "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
           "model = AutoModelForCausalLM.from_pretrained(\"FOLDER\")\n"
           "tokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\n```\n\n"
           "```\ntemper-generate --model FOLDER --chat\ntemper-convert FOLDER model.gguf --to gguf\n```\n";
  std::string out;
  if (facts.peft)
    out += fmt::format(
        "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n"
        "model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(\"{}\"), \"FOLDER\")\n"
        "```\n\n",
        shown);
  return out + fmt::format(
                   "```\ntemper-generate --model {0} --adapter FOLDER --chat\n"
                   "temper-convert {0} MERGED --adapter FOLDER\n```\n",
                   shown);
}

}  // namespace

std::string model_card(const std::string& run_folder, const CardFacts& facts) {
  const fs::path folder(run_folder);
  const Json config = read_json_file((folder / "config.json").string());
  std::vector<MetricsRow> train, eval;
  for (MetricsRow& row : read_metrics((folder / MetricsLog::kMetricsFile).string()))
    (row.split == "eval" ? eval : train).push_back(std::move(row));
  const std::string task = config.value("task", ""), base = config["model"].value("path", "");
  const std::string base_name = base.empty() ? "" : public_name(base);
  const std::string licence = licence_of(base);

  std::string out = "---\n";
  out += fmt::format("library_name: {}\n", facts.adapter && facts.peft ? "peft" : "transformers");
  // JSON strings are YAML's, too.
  if (!base.empty()) out += fmt::format("base_model: {}\n", dump_line(base_name));
  if (!licence.empty()) out += fmt::format("license: {}\n", licence);
  out += fmt::format("tags: [temper, {0}]\n---\n\n# {1}{0}\n\n", task,
                     base_name.empty() ? "" : plain(base_name) + ", ");

  out += base.empty()
             ? "Trained from random weights"
             : fmt::format("{} of {}", facts.adapter ? "An adapter" : "A tuned copy", plain(base_name));
  out += fmt::format(" by Temper: task `{}`", task);
  if (!facts.method.empty()) out += ", " + plain(facts.method);
  out += ".\n\n## Measured\n\n" + measured_table(eval);
  if (!train.empty()) {
    const MetricsRow& last = train.back();
    out += fmt::format("\n{} steps", last.step);
    if (const auto tokens = last.find("tokens"))
      out += fmt::format(", {} tokens", format_count(std::llround(*tokens)));
    out += ".\n";
  }
  out += "\n## Load it\n\n" + loading(facts, base_name);
  if (const auto lines = data_lines(config); !lines.empty()) {
    out += "\n## Data\n\n";
    for (const std::string& line : lines) out += fmt::format("- {}\n", plain(line));
  }
  out += "\n## Licence\n\n";
  out += !licence.empty() ? fmt::format("{}, as the base model's card says.\n", licence)
         : base.empty()   ? "Not stated.\n"
                          : "That of the base model, whose folder names none.\n";
  // Where processes were, how many shared the work and what was kept on disk is not the model's.
  Json shown = public_settings(config);
  shown.erase("dist");
  shown.erase("ranks");
  if (shown.contains("data") && shown["data"].is_object())
    for (const char* field : {"cache", "cache_from_mb", "cache_gb"}) shown["data"].erase(field);
  std::string settings = shown.dump(2, ' ', false, Json::error_handler_t::replace);
  return out + "\n## Settings\n\n```json\n" + settings + "\n```\n";
}

}  // namespace temper
