#include "data/benchmarks.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "data/formats/format.h"
#include "data/source/csv.h"

namespace temper {
namespace {

constexpr size_t kMostChoices = 26;

// ---- what lines have
// ---------------------------------------------------------------------------------------

[[noreturn]] void wrong_line(const Record& line, const std::string& expected) {
  std::string keys;
  for (const auto& [key, value] : line.json.items()) keys += (keys.empty() ? "" : ", ") + key;
  user_error("{}: expected {}; the line has: {}", line.where(), expected, keys.empty() ? "nothing" : keys);
}

const std::string& text_at(const Record& line, const char* key, const std::string& expected) {
  const auto found = line.json.find(key);
  if (found == line.json.end() || !found->is_string()) wrong_line(line, expected);
  return found->get_ref<const std::string&>();
}

std::vector<std::string> texts_at(const Record& line, const Json& list, const std::string& expected) {
  std::vector<std::string> out;
  if (!list.is_array() || list.size() < 2 || list.size() > kMostChoices) wrong_line(line, expected);
  for (const Json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) wrong_line(line, expected);
    out.push_back(item);
  }
  return out;
}

std::string trimmed(const std::string& text) {
  const char* space = " \t\r\n";
  const size_t begin = text.find_first_not_of(space);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + by.size()))
    text.replace(at, part.size(), by);
  return text;
}

// The rest of the line's columns, behind `out`.
Json with_rest(Json out, const Record& line, const std::vector<std::string>& read) {
  for (const auto& [key, value] : line.json.items()) {
    if (std::find(read.begin(), read.end(), key) == read.end() && !out.contains(key)) out[key] = value;
  }
  return out;
}

Json with_choices(const std::string& question, const std::vector<std::string>& choices, size_t right) {
  return {{"prompt", lettered(question, choices)},
          {"question", question},
          {"choices", choices},
          {"answer", choice_letter(right)}};
}

// ---- the formats
// -------------------------------------------------------------------------------------------

Json gsm8k(const Record& line) {
  const char* expected = "a line of GSM8K: \"question\", and \"answer\" with the result behind \"####\"";
  const std::string &question = text_at(line, "question", expected),
                    &solution = text_at(line, "answer", expected);
  const size_t mark = solution.rfind("####");
  const std::string answer =
      mark == std::string::npos ? "" : trimmed(replaced(solution.substr(mark + 4), ",", ""));
  if (answer.empty()) wrong_line(line, expected);
  return with_rest({{"prompt", question}, {"completion", solution}, {"answer", answer}}, line,
                   {"question", "answer"});
}

// What stands in the last \boxed{} (or \fbox{}) of a solution, braces in braces; "": there is none.
std::string last_boxed(const std::string& text) {
  size_t at = text.rfind("\\boxed");
  if (at == std::string::npos) at = text.rfind("\\fbox");
  if (at == std::string::npos) return "";
  const size_t begin = text.find('{', at), space = text.find(' ', at);
  if (space != std::string::npos && space < begin) {  // "\boxed 2"
    const size_t end = text.find_first_of("$ \n.", space + 1);
    return text.substr(space + 1, std::min(end, text.size()) - space - 1);
  }
  if (begin == std::string::npos) return "";
  int64_t open = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    open += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (open == 0) return text.substr(begin + 1, i - begin - 1);
  }
  return "";
}

Json math(const Record& line) {
  const char* expected = "a problem of MATH: \"problem\", and \"solution\" with a \\boxed{} answer";
  const std::string &problem = text_at(line, "problem", expected),
                    &solution = text_at(line, "solution", expected);
  const std::string answer = last_boxed(solution);
  if (answer.empty()) wrong_line(line, expected);
  return with_rest({{"prompt", problem}, {"completion", solution}, {"answer", answer}}, line,
                   {"problem", "solution"});
}

// Both forms: the original's {"question": {"stem", "choices": [{"text", "label"}]}}, and {"question",
// "choices": {"text": [...], "label": [...]}} of Hugging Face. Labels are letters, or digits from 1.
Json arc(const Record& line) {
  const char* expected =
      "a question of ARC: \"question\" with choices that have \"text\" and \"label\", and \"answerKey\"";
  const std::string& key = text_at(line, "answerKey", expected);
  const auto question = line.json.find("question");
  if (question == line.json.end()) wrong_line(line, expected);
  std::string stem;
  Json texts = Json::array(), labels = Json::array();
  if (question->is_object()) {
    stem = question->value("stem", Json("")).is_string() ? question->value("stem", "") : "";
    const Json choices = question->value("choices", Json::array());
    for (const Json& choice : choices.is_array() ? choices : Json::array()) {
      if (!choice.is_object()) wrong_line(line, expected);
      texts.push_back(choice.value("text", Json()));
      labels.push_back(choice.value("label", Json()));
    }
  } else {
    stem = text_at(line, "question", expected);
    const auto choices = line.json.find("choices");
    if (choices == line.json.end() || !choices->is_object()) wrong_line(line, expected);
    texts = choices->value("text", Json::array());
    labels = choices->value("label", Json::array());
  }
  if (stem.empty() || !labels.is_array() || labels.size() != texts.size()) wrong_line(line, expected);
  const auto right = std::find(labels.begin(), labels.end(), Json(key));
  if (right == labels.end()) wrong_line(line, expected);
  return with_rest(
      with_choices(stem, texts_at(line, texts, expected), static_cast<size_t>(right - labels.begin())), line,
      {"answerKey"});
}

// {"question", "choices": [...], "answer": 0 ... or a letter, "subject"}; rows of CSV come so, too.
Json mmlu(const Record& line) {
  const char* expected =
      "a question of MMLU: \"question\", \"choices\" and \"answer\" (a letter, or a number from 0), or CSV "
      "with "
      "question, choices and letter";
  const std::string& question = text_at(line, "question", expected);
  const auto choices = line.json.find("choices"), answer = line.json.find("answer");
  if (choices == line.json.end() || answer == line.json.end()) wrong_line(line, expected);
  const std::vector<std::string> texts = texts_at(line, *choices, expected);
  size_t right = texts.size();
  if (answer->is_number_integer() && *answer >= 0) right = answer->get<size_t>();
  for (size_t i = 0; answer->is_string() && i < texts.size(); ++i)
    if (*answer == choice_letter(i)) right = i;
  if (right >= texts.size()) wrong_line(line, expected);
  return with_rest(with_choices(question, texts, right), line, {});
}

// As the language model evaluation harness cleans WikiHow's texts.
std::string without_marks(const std::string& text) {
  std::string out = replaced(trimmed(text), " [title]", ". ");
  for (size_t begin = out.find('['); begin != std::string::npos; begin = out.find('[', begin)) {
    const size_t end = out.find(']', begin), line_end = out.find('\n', begin);
    if (end == std::string::npos || line_end < end) break;
    out.erase(begin, end - begin + 1);
  }
  return replaced(out, "  ", " ");
}

Json hellaswag(const Record& line) {
  const char* expected =
      "a line of HellaSwag: \"ctx\", or \"ctx_a\" and \"ctx_b\", \"endings\" and \"label\"";
  std::string context;
  if (has_column(line.json, "ctx_a") && has_column(line.json, "ctx_b")) {
    std::string begun = text_at(line, "ctx_b", expected);
    for (size_t i = 0; i < begun.size(); ++i)  // as Python's capitalize()
      begun[i] = static_cast<char>(i == 0 ? std::toupper(static_cast<unsigned char>(begun[i]))
                                          : std::tolower(static_cast<unsigned char>(begun[i])));
    context = text_at(line, "ctx_a", expected) + " " + begun;
  } else {
    context = text_at(line, "ctx", expected);
  }
  if (has_column(line.json, "activity_label"))
    context = text_at(line, "activity_label", expected) + ": " + context;
  const auto endings = line.json.find("endings"), label = line.json.find("label");
  if (endings == line.json.end() || label == line.json.end()) wrong_line(line, expected);
  std::vector<std::string> choices = texts_at(line, *endings, expected);
  for (std::string& choice : choices) choice = without_marks(choice);
  const std::string number = label->is_string() ? label->get<std::string>() : label->dump();
  const bool digit =
      number.size() == 1 && number[0] >= '0' && static_cast<size_t>(number[0] - '0') < choices.size();
  if (!digit) wrong_line(line, expected);
  return with_rest({{"prompt", without_marks(context)}, {"choices", choices}, {"answer", number[0] - '0'}},
                   line, {"ctx", "ctx_a", "ctx_b", "endings", "label"});
}

Json piqa(const Record& line) {
  const char* expected = "a line of PIQA: \"goal\", \"sol1\", \"sol2\" and \"label\" (0 or 1)";
  const std::string& goal = text_at(line, "goal", expected);
  const auto label = line.json.find("label");
  if (label == line.json.end() || (*label != 0 && *label != 1)) wrong_line(line, expected);
  return with_rest({{"prompt", "Question: " + goal + "\nAnswer:"},
                    {"choices", {text_at(line, "sol1", expected), text_at(line, "sol2", expected)}},
                    {"answer", *label}},
                   line, {"goal", "sol1", "sol2", "label"});
}

// ---- files
// -------------------------------------------------------------------------------------------------

std::string extension(const std::string& path) {
  return fs::path(path).extension().string();
}

std::vector<Record> benchmark_csv(const std::string& path) {
  std::vector<Record> out;
  for (CsvRow& row : read_csv(read_file(path), path)) {
    const std::string where = fmt::format("{}:{}", path, row.line);
    if (row.fields.size() < 4)
      user_error("{}: expected a row of question, choices and the right one's letter, found {} fields", where,
                 row.fields.size());
    Json choices = Json::array();
    for (size_t i = 1; i + 1 < row.fields.size(); ++i) choices.push_back(row.fields[i]);
    out.push_back(
        {{{"question", row.fields.front()}, {"choices", choices}, {"answer", trimmed(row.fields.back())}},
         path,
         row.line});
  }
  if (out.empty()) user_error("{}: no rows in this file", path);
  return out;
}

std::vector<Record> lines_of_file(const std::string& path) {
  if (extension(path) == ".csv") return benchmark_csv(path);
  if (extension(path) != ".json") return read_records({path});
  Json json = read_json_file(path);
  std::vector<Record> out;
  if (!json.is_array()) json = Json::array({json});
  for (Json& item : json) {
    if (!item.is_object()) user_error("{}: expected an object, or a list of them", path);
    out.push_back({std::move(item), path, static_cast<int64_t>(out.size()) + 1});
  }
  return out;
}

// "college_physics_test.csv" -> "college_physics"
std::string subject_of(const std::string& path) {
  std::string name = fs::path(path).stem().string();
  for (const std::string end : {"_test", "_dev", "_val"}) {
    if (name.size() > end.size() && name.ends_with(end)) name.resize(name.size() - end.size());
  }
  return name;
}

}  // namespace

const std::vector<BenchmarkFormat>& benchmark_formats() {
  static const std::vector<BenchmarkFormat> formats = {
      {"gsm8k", "question, and answer that ends in #### and the result", "Cobbe et al., arXiv 2110.14168",
       gsm8k},
      {"math", "problem, solution with a boxed answer, level and type; lines, or a folder of JSON files",
       "Hendrycks et al., arXiv 2103.03874", math},
      {"arc", "question with labelled choices and answerKey, the original's lines or Hugging Face's",
       "Clark et al., arXiv 1803.05457", arc},
      {"mmlu", "question, four choices and answer: CSV without a header, or Hugging Face's lines",
       "Hendrycks et al., arXiv 2009.03300", mmlu},
      {"hellaswag", "a context, endings and label", "Zellers et al., arXiv 1905.07830", hellaswag},
      {"piqa", "goal, sol1, sol2 and label", "Bisk et al., arXiv 1911.11641", piqa},
  };
  return formats;
}

std::vector<std::string> benchmark_names() {
  std::vector<std::string> out;
  for (const BenchmarkFormat& format : benchmark_formats()) out.push_back(format.name);
  return out;
}

std::vector<Record> read_benchmark(const std::vector<std::string>& paths, const std::string& format) {
  if (format == "jsonl") return read_data(paths);
  const auto& formats = benchmark_formats();
  const auto found = std::find_if(formats.begin(), formats.end(),
                                  [&](const BenchmarkFormat& f) { return f.name == format; });
  if (found == formats.end()) user_error("format: there is no \"{}\"", format);
  std::vector<Record> out;
  for (const std::string& path : paths) {
    std::vector<std::string> files = {path};
    const bool folder = fs::is_directory(path);
    if (folder) {
      files.clear();
      for (const auto& entry : fs::recursive_directory_iterator(path)) {
        const std::string end = entry.path().extension().string();
        if (entry.is_regular_file() && (end == ".json" || end == ".jsonl" || end == ".csv"))
          files.push_back(entry.path().string());
      }
      std::sort(files.begin(), files.end());
      if (files.empty()) user_error("{}: no .json, .jsonl or .csv file in this folder", path);
    }
    for (const std::string& file : files) {
      for (const Record& line : lines_of_file(file)) {
        Record record{found->record(line), line.file, line.line};
        if (folder && !record.json.contains("source"))
          record.json["source"] = fs::path(file).lexically_relative(path).generic_string();
        if (format == "mmlu" && !has_column(record.json, "subject"))
          record.json["subject"] = subject_of(file);
        out.push_back(std::move(record));
      }
    }
  }
  return out;
}

std::string choice_letter(size_t choice) {
  if (choice >= kMostChoices) bug("choice_letter({})", choice);
  return std::string(1, static_cast<char>('A' + choice));
}

std::string lettered(const std::string& question, const std::vector<std::string>& choices) {
  std::string out = trimmed(question) + "\n";
  for (size_t i = 0; i < choices.size(); ++i) out += choice_letter(i) + ". " + choices[i] + "\n";
  return out + "Answer:";
}

void ask_as_chat(Record& record) {
  const auto say = [](const char* role, const Json& words) {
    return Json::array({{{"role", role}, {"content", words}}});
  };
  if (!has_column(record.json, "prompt") || !record.json["prompt"].is_string()) return;
  record.json["prompt"] = say("user", record.json["prompt"]);
  if (has_column(record.json, "completion") && record.json["completion"].is_string())
    record.json["completion"] = say("assistant", record.json["completion"]);
}

}  // namespace temper
