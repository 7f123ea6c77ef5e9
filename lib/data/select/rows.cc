// Rules that put what was sampled into the forms of other losses:
//   contrast   answers to one prompt under several constitutions, as the rows of SAMI (arXiv 2404.14313):
//              {"prompts", "completions"}, the i-th answer beside the prompt that it was asked with; equal
//              answers are left out
//   self_play  the record's own answer against a sampled one (SPIN, arXiv 2401.01335)
//   feedback   every answer with what its rewards say of it as "feedback": error texts, a judge's words
#include <set>

#include "base/error.h"
#include "data/groups.h"
#include "data/select/rules.h"

namespace temper {
namespace {

struct Contrast : SelectOptions {
  std::vector<std::string> columns;

  void fields(FieldVisitor& v) override {
    v.field("columns", columns,
            {.help = "the columns with the answers, each beside the prompt it was asked with in "
                     "\"<column>_prompt\"",
             .required = true});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (columns.size() == 1)
      problems.push_back(where + ".columns: one answer has nothing to differ from; give two or more");
  }
  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    int64_t alike = 0;
    for (Record& record : in) {
      Json prompts = Json::array(), answers = Json::array();
      std::set<std::string> said;
      for (const std::string& column : columns) {
        const std::string answer = text_column(record, column, "select.contrast");
        if (!has_column(record.json, column + "_prompt"))
          user_error("{}: has no column \"{}_prompt\", which select.contrast needs", record.where(), column);
        said.insert(answer);
        prompts.push_back(record.json[column + "_prompt"]);
        answers.push_back(answer);
        for (const std::string& used : {column, column + "_prompt"}) record.json.erase(used);
      }
      if (said.size() < columns.size()) {
        ++alike;
        continue;
      }
      for (const char* used : {"prompt", "completion", "messages"}) record.json.erase(used);
      record.json["prompts"] = std::move(prompts);
      record.json["completions"] = std::move(answers);
      out.push_back(std::move(record));
    }
    context.figures.emplace_back("alike", static_cast<double>(alike));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
};

struct SelfPlay : SelectOptions {
  std::string reference = "reference";
  void fields(FieldVisitor& v) override {
    v.field("reference", reference, {.help = "the column with the record's own answer"});
  }
  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    int64_t same = 0;
    for (const AnswerGroup& group : answer_groups(in)) {
      for (const Record& answer : group.answers) {
        if (!has_column(answer.json, reference))
          user_error("{}: has no column \"{}\", the answer that select.self_play prefers", answer.where(),
                     reference);
        Record pair{prompt_columns(answer.json), answer.file, answer.line};
        pair.json["chosen"] = answer.json[reference];
        pair.json["rejected"] = answer.json["completion"];
        if (pair.json["chosen"] == pair.json["rejected"]) {
          ++same;
          continue;
        }
        if (is_unfinished(answer, "completion")) pair.json["unfinished"] = {"rejected"};
        out.push_back(std::move(pair));
      }
    }
    context.figures.emplace_back("same", static_cast<double>(same));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
};

struct Feedback : SelectOptions {
  void fields(FieldVisitor&) override {}
  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    for (const AnswerGroup& group : rewarded_groups(in, "feedback", context)) {
      for (Record answer : group.answers) {
        std::string text;
        const Json texts = answer.json.value("reward_texts", Json::object());
        for (const auto& [name, said] : texts.items())
          if (said.is_string() && !said.get<std::string>().empty())
            text += (text.empty() ? "" : "\n") + said.get<std::string>();
        answer.json["feedback"] = text;
        out.push_back(std::move(answer));
      }
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<SelectOptions> select_contrast() {
  return std::make_unique<Contrast>();
}
std::unique_ptr<SelectOptions> select_self_play() {
  return std::make_unique<SelfPlay>();
}
std::unique_ptr<SelectOptions> select_feedback() {
  return std::make_unique<Feedback>();
}

}  // namespace temper
