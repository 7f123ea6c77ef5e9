// temper-eval --choices: questions whose choices are compared by their log-prob, file by file.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/benchmarks.h"
#include "data/records.h"
#include "eval/choices.h"
#include "eval/figures.h"
#include "eval/further.h"
#include "eval_arguments.h"
#include "named_files.h"

namespace temper {

struct ChoiceFile {
  std::string name;
  std::vector<Record> records;
  std::vector<EvalPrompt> prompts;  // as the record has them
};

// The files of --choices. Throws UserError for one without questions.
inline std::vector<ChoiceFile> read_choice_files(const EvalArguments& a) {
  std::vector<ChoiceFile> out;
  for (const NamedFile& named : named_files("--choices", a.choices)) {
    ChoiceFile file{named.name, read_benchmark({named.path}, a.format), {}};
    if (a.limit > 0 && file.records.size() > static_cast<size_t>(a.limit))
      file.records.resize(static_cast<size_t>(a.limit));
    for (Record& record : file.records) {
      choice_question(record);
      if (a.chat) ask_as_chat(record);
      const Json& prompt = record.json["prompt"];
      file.prompts.push_back(
          {{}, prompt.is_string() ? prompt.get<std::string>() : dump_line(prompt), nullptr});
    }
    for (size_t i = 0; i < file.records.size(); ++i) file.prompts[i].columns = &file.records[i].json;
    for (const std::string& column : a.eval.by) column_values(file.prompts, column);
    out.push_back(std::move(file));
  }
  return out;
}

// "acc/NAME" and the other measures of each file, also for each value of --by; lines: a line for each
// question.
inline void add_choice_figures(Model& model, const RecordEncoder& encoder,
                               const std::vector<ChoiceFile>& files, const EvalArguments& a,
                               const std::function<void(const std::string&, size_t)>& on_pass, Json& out,
                               std::string& lines) {
  constexpr int64_t kPassTokens = 4096;  // memory, never results, depends on it
  ChoiceOptions options;
  options.text = a.choice_form != "letters";
  options.letters = a.choice_form != "text";
  options.prior = a.prior;
  for (const ChoiceFile& file : files) {
    const auto scores = score_choices(model, encoder, file.records, options, kPassTokens,
                                      [&](size_t done) { on_pass(file.name, done); });
    const EvalResult result = choice_result(file.records, scores, options);
    const auto figures = [&](const std::vector<size_t>& places) {
      auto list = choice_figures(result, places, a.eval.level);
      for (Figure& figure : list) figure.name += "/" + file.name;
      return figures_json(list);
    };
    std::vector<size_t> all;
    for (size_t i = 0; i < file.records.size(); ++i) all.push_back(i);
    out["figures"].update(figures(all));
    for (const std::string& column : a.eval.by) {
      for (const auto& [value, places] : column_values(file.prompts, column)) {
        Json& of_value = out["by"][column][value];
        of_value["prompts"] = (of_value.is_null() ? 0 : of_value["prompts"].get<size_t>()) + places.size();
        of_value["figures"].update(figures(places));
      }
    }
    for (const EvalSample& sample : result.samples)
      lines += dump_line(result.sample_json(sample, file.prompts)) + "\n";
  }
}

}  // namespace temper
