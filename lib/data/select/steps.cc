// Rules of per-step DPO (Setlur et al., arXiv 2406.14532), whose pairs are made by preference training
// ("pairs": {"from": "steps"}):
//   step_prefixes  of wrong answers, a prompt a step: what is asked with the steps up to it behind it, from
//                  which completions are sampled to see how often they come right
//   step_values    such completions gathered again: an answer in steps with the share that came right from
//                  behind each, {"prompt", "completions", "shares", "solution"}; or whole with its
//                  "segments", each step with its advantage Q_i - Q_(i-1), Q the share under the best of
//                  `attempts`, for losses that weight the tokens of steps
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "data/select/begun.h"
#include "data/select/rules.h"
#include "data/select/states.h"

namespace temper {
namespace {

struct StepPrefixes : SelectOptions {
  double min = kGoodReward;
  int64_t per_prompt = 1, most_steps = 16;
  bool all = false;
  std::string reference = "reference";

  void fields(FieldVisitor& v) override {
    v.field("min", min, {.help = "smallest reward of a right answer"});
    v.field("per_prompt", per_prompt,
            {.help = "most wrong answers of a prompt, the first of them", .min = 1});
    v.field("most_steps", most_steps, {.help = "answers in more steps are left out", .min = 1});
    v.field("all", all, {.help = "of right answers as well, for losses that weight steps"});
    v.field("reference", reference,
            {.help = "the column with a right answer, for prompts that none was sampled to"});
  }

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    int64_t wrong = 0;
    for (const AnswerGroup& group : rewarded_groups(in, "step_prefixes", context)) {
      Json right;
      for (const Record& answer : group.answers)
        if (right.is_null() && *answer_reward(answer) >= min) right = answer_text(answer);
      const Record& first = group.answers.front();
      if (right.is_null() && has_column(first.json, reference)) {
        Record own = first;
        own.json["completion"] = own.json[reference];
        right = answer_text(own);
      }
      int64_t taken = 0;
      for (const Record& answer : group.answers) {
        const bool ends_right = *answer_reward(answer) >= min;
        if ((ends_right && !all) || taken == per_prompt) continue;
        const std::vector<std::string> steps = solution_steps(answer_text(answer));
        if (steps.empty() || static_cast<int64_t>(steps.size()) > most_steps) continue;
        ++taken;
        std::string begun;
        for (size_t i = 0; i < steps.size(); ++i) {
          begun += steps[i];
          // Behind the last step there is nothing to sample: it is known how the answer ends.
          if (i + 1 == steps.size() && steps.size() > 1) break;
          Record prompt{prompt_columns(answer.json), answer.file, answer.line};
          prompt.json["asked"] = prompt.json["prompt"];
          prompt.json["begun"] = begun;
          prompt.json["steps"] = steps;
          prompt.json["step"] = i;
          prompt.json["wrong"] = wrong;
          prompt.json["ends"] = ends_right ? 1.0 : 0.0;
          if (!right.is_null()) prompt.json["right"] = right;
          put_behind(prompt, begun);
          out.push_back(std::move(prompt));
        }
        ++wrong;
      }
    }
    context.figures.emplace_back("cut_answers", static_cast<double>(wrong));
    return out;
  }
};

struct StepValues : SelectOptions {
  double min = kGoodReward;
  int64_t attempts = 5;
  std::string form = "shares";

  void fields(FieldVisitor& v) override {
    v.field("min", min, {.help = "smallest reward of a right completion"});
    v.field(
        "attempts", attempts,
        {.help = "an advantage's Q is under the best of so many tries: 1 - (1 - share)^attempts", .min = 1});
    v.field(
        "form", form,
        {.help =
             "shares: the steps with their shares, for preference training's pairs from steps. segments: "
             "the whole answer, its steps with their advantages, for losses that weight tokens by a reward",
         .choices = {"shares", "segments"}});
  }

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::map<int64_t, std::vector<std::pair<size_t, double>>> shares;  // by wrong answer: step and share
    std::map<int64_t, Record> any;
    for (const AnswerGroup& group : rewarded_groups(in, "step_values", context)) {
      const Record& first = group.answers.front();
      for (const char* column : {"wrong", "step", "steps", "asked"}) {
        if (!has_column(first.json, column))
          user_error("{}: has no column \"{}\", which select.step_values reads of what step_prefixes made",
                     first.where(), column);
      }
      double right = 0;
      for (const Record& answer : group.answers) right += *answer_reward(answer) >= min ? 1 : 0;
      const auto wrong = first.json["wrong"].get<int64_t>();
      shares[wrong].emplace_back(first.json["step"].get<size_t>(),
                                 right / static_cast<double>(group.answers.size()));
      any.try_emplace(wrong, first);
    }
    std::vector<Record> out;
    for (const auto& [wrong, found] : shares) {
      const Record& first = any.at(wrong);
      const auto steps = first.json["steps"].get<std::vector<std::string>>();
      std::vector<double> of_step(steps.size(), 0.0);
      of_step.back() = first.json.value("ends", 0.0);  // as the answer itself did
      for (const auto& [step, share] : found)
        if (step < of_step.size()) of_step[step] = share;
      out.push_back(with_values(first, steps, of_step));
    }
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }

  Record with_values(const Record& first, const std::vector<std::string>& steps,
                     const std::vector<double>& shares) const {
    Record out{prompt_columns(first.json), first.file, first.line};
    out.json["prompt"] = first.json["asked"];
    std::vector<std::string> plain;  // preference training puts its separator between them
    for (const std::string& step : steps) plain.push_back(step.substr(0, step.find_last_not_of("\r\n") + 1));
    const auto drop = [&] {
      for (const char* used : {"asked", "begun", "steps", "step", "wrong", "right", "ends"})
        out.json.erase(used);
      return out;
    };
    if (form == "shares") {
      out.json["completions"] = plain;
      out.json["shares"] = shares;
      if (has_column(first.json, "right")) out.json["solution"] = first.json["right"];
      return drop();
    }
    std::string whole;
    for (const std::string& step : steps) whole += step;
    out.json["completion"] = completion_like(out, whole);
    Json segments = Json::array();
    double before = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      const double q = 1 - std::pow(1 - shares[i], static_cast<double>(attempts));
      segments.push_back({{"text", steps[i]}, {"reward", i == 0 ? 0.0 : q - before}});
      before = q;
    }
    out.json["segments"] = std::move(segments);
    return drop();
  }
};

}  // namespace

std::unique_ptr<SelectOptions> select_step_prefixes() {
  return std::make_unique<StepPrefixes>();
}
std::unique_ptr<SelectOptions> select_step_values() {
  return std::make_unique<StepValues>();
}

}  // namespace temper
