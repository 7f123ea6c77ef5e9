#include "data/pair_forms.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "data/groups.h"

namespace temper {
namespace {

const Json& column(const Record& record, const char* name, const char* form) {
  if (!has_column(record.json, name))
    user_error("{}: has no \"{}\"; expected {}", record.where(), name, form);
  return record.json[name];
}

// A list of as many numbers as the completions.
std::vector<double> numbers(const Record& record, const char* name, size_t count) {
  const Json& list = record.json[name];
  std::vector<double> out;
  bool fits = list.is_array() && list.size() == count;
  for (size_t i = 0; fits && i < count; ++i) {
    fits = list[i].is_number() && std::isfinite(list[i].get<double>());
    if (fits) out.push_back(list[i].get<double>());
  }
  if (!fits)
    user_error("{}: \"{}\" must be {} numbers, one for each of \"completions\"", record.where(), name, count);
  return out;
}

// The record's further columns with a pair instead of what it was made of.
Record pair_of(const Record& record, Json prompt, Json chosen, Json rejected) {
  Record out = record;
  for (const char* used : {"completions", "ratings", "labels", "shares", "solution"}) out.json.erase(used);
  out.json["prompt"] = std::move(prompt);
  out.json["chosen"] = std::move(chosen);
  out.json["rejected"] = std::move(rejected);
  return out;
}

}  // namespace

RatedAnswers rated_answers(const Record& given) {
  const Record record = with_ratings(given);
  const char* const form = "{\"prompt\", \"completions\": [...], \"ratings\": [...]}";
  column(record, "prompt", form);
  const bool chat = is_chat_column(record, "prompt");
  const Json& completions = column(record, "completions", form);
  column(record, "ratings", form);
  if (!completions.is_array() || completions.size() < 2)
    user_error("{}: \"completions\" must be a list of at least two answers that are rated", record.where());
  for (size_t i = 0; i < completions.size(); ++i) {
    if (chat ? !completions[i].is_array() || completions[i].empty() : !completions[i].is_string()) {
      user_error("{}: \"completions\"[{}] must be a {}, as \"prompt\" is", record.where(), i,
                 chat ? "list of messages" : "string");
    }
  }
  const std::vector<double> ratings = numbers(record, "ratings", completions.size());
  std::vector<size_t> order(completions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ratings[a] > ratings[b]; });
  RatedAnswers out;
  for (const size_t i : order) {
    out.completions.push_back(completions[i]);
    out.ratings.push_back(ratings[i]);
  }
  return out;
}

PromptedAnswers prompted_answers(const Record& record) {
  const char* const form = "{\"prompts\": [...], \"completions\": [...]}";
  const Json &prompts = column(record, "prompts", form), &completions = column(record, "completions", form);
  if (!prompts.is_array() || !completions.is_array() || prompts.size() != completions.size() ||
      prompts.size() < 2) {
    user_error("{}: \"prompts\" and \"completions\" must be lists of the same length, at least 2",
               record.where());
  }
  PromptedAnswers out;
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (const Json* value : {&prompts[i], &completions[i]}) {
      if (value->is_string() != prompts[0].is_string() || (!value->is_string() && !value->is_array()))
        user_error("{}: \"prompts\" and \"completions\" must all be strings or all be lists of messages",
                   record.where());
    }
    out.prompts.push_back(prompts[i]);
    out.completions.push_back(completions[i]);
  }
  return out;
}

Record answer_record(const Record& record, const Json& prompt, const Json& completion) {
  Record out{Json::object(), record.file, record.line};
  for (const char* name : {"tools", "chat_template_kwargs"}) {
    if (has_column(record.json, name)) out.json[name] = record.json[name];
  }
  out.json["prompt"] = prompt;
  out.json["completion"] = completion;
  return out;
}

std::vector<Record> rated_pairs(const std::vector<Record>& records, int64_t stage, int64_t stages,
                                int64_t* ties) {
  std::vector<Record> out;
  for (const Record& given : records) {
    const Record record = with_ratings(given);
    const RatedAnswers answers = rated_answers(record);
    const auto n = static_cast<int64_t>(answers.ratings.size());
    if (n < stages + 1)
      user_error("{}: {} answers, {} stages need at least {}", record.where(), n, stages, stages + 1);
    // From place n - 1 (the worst) down to 1 (the second best).
    const double share = stages == 1 ? 0.0 : static_cast<double>(stage) / static_cast<double>(stages - 1);
    const int64_t other = n - 1 - std::llround(share * static_cast<double>(n - 2));
    if (answers.ratings[other] == answers.ratings[0]) {
      if (ties != nullptr) ++*ties;
      continue;
    }
    out.push_back(pair_of(record, record.json["prompt"], answers.completions[0], answers.completions[other]));
  }
  return out;
}

namespace {

struct Solution {
  const Record* record = nullptr;
  std::vector<std::string> steps;
  std::vector<double> q;
  bool right = false;
  size_t pit() const { return static_cast<size_t>(std::min_element(q.begin(), q.end()) - q.begin()); }
};

Solution read_solution(const Record& record, int64_t attempts) {
  const char* const form =
      "{\"prompt\", \"completions\": [step, ...]} with \"labels\": [true, ...] or \"shares\": [0.4, ...]";
  column(record, "prompt", form);
  is_chat_column(record, "prompt");
  const Json& steps = column(record, "completions", form);
  Solution out;
  out.record = &record;
  bool fits = steps.is_array() && !steps.empty();
  for (size_t i = 0; fits && i < steps.size(); ++i) {
    fits = steps[i].is_string();
    if (fits) out.steps.push_back(steps[i].get<std::string>());
  }
  if (!fits) user_error("{}: \"completions\" must be a list of steps, each a string", record.where());
  if (has_column(record.json, "shares")) {
    const std::vector<double> shares = numbers(record, "shares", steps.size());
    for (const double share : shares) {
      if (share < 0 || share > 1)
        user_error("{}: \"shares\" must lie between 0 and 1, found {}", record.where(), share);
      out.q.push_back(1.0 - std::pow(1.0 - share, static_cast<double>(attempts)));
    }
    out.right = shares.back() > 0.5;
    return out;
  }
  const Json& labels = column(record, "labels", form);
  if (!labels.is_array() || labels.size() != steps.size())
    user_error("{}: \"labels\" must be {} of true or false, one a step", record.where(), steps.size());
  out.right = true;
  for (const Json& label : labels) {
    const std::optional<bool> right = truth(label);
    if (!right) user_error("{}: \"labels\" must be true or false, or 1 and 0", record.where());
    out.q.push_back(*right ? 1.0 : 0.0);
    out.right = out.right && *right;
  }
  return out;
}

std::string joined(const std::vector<std::string>& steps, size_t count, const std::string& separator) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += (i == 0 ? "" : separator) + steps[i];
  return out;
}

// An answer in the form that goes with the prompt.
Json as_answer(const Record& record, const std::string& text) {
  if (!is_chat_column(record, "prompt")) return text;
  return Json::array({{{"role", "assistant"}, {"content", text}}});
}

// The step of the highest Q that a solution of the same beginning takes in place of the pit; null: none is
// better.
const std::string* better_step(const Solution& wrong, const std::vector<Solution>& all) {
  const size_t pit = wrong.pit();
  const std::string* best = nullptr;
  double highest = wrong.q[pit];
  for (const Solution& s : all) {
    if (s.steps.size() <= pit || s.q[pit] <= highest || s.steps[pit] == wrong.steps[pit]) continue;
    if (!std::equal(s.steps.begin(), s.steps.begin() + static_cast<std::ptrdiff_t>(pit), wrong.steps.begin()))
      continue;
    best = &s.steps[pit];
    highest = s.q[pit];
  }
  return best;
}

}  // namespace

std::vector<Record> step_pairs(const std::vector<Record>& records, const StepPairOptions& o,
                               int64_t* unmatched) {
  std::map<std::string, std::vector<Solution>> of_prompt;
  std::vector<std::pair<std::string, size_t>> order;
  for (const Record& record : records) {
    Solution solution = read_solution(record, o.attempts);
    auto& group = of_prompt[record.json["prompt"].dump()];
    order.emplace_back(record.json["prompt"].dump(), group.size());
    group.push_back(std::move(solution));
  }
  std::map<std::string, size_t> turn;  // which right solution is next
  std::vector<Record> out;
  for (const auto& [prompt, place] : order) {
    const std::vector<Solution>& group = of_prompt[prompt];
    const Solution& wrong = group[place];
    if (wrong.right) continue;
    const Record& record = *wrong.record;
    const size_t pit = wrong.pit();
    if (o.form == "shared_prefix") {
      const std::string* better = better_step(wrong, group);
      if (better == nullptr) {
        if (unmatched != nullptr) ++*unmatched;
        continue;
      }
      const std::string prefix =
          joined(wrong.steps, pit, o.separator) + (pit == 0 ? std::string() : o.separator);
      if (is_chat_column(record, "prompt")) {
        user_error(
            "{}: pairs behind a shared prefix need string prompts: a chat cannot stop within an answer; use "
            "the \"practical\" form",
            record.where());
      }
      out.push_back(
          pair_of(record, record.json["prompt"].get<std::string>() + prefix, *better, wrong.steps[pit]));
      out.back().json["unfinished"] = {"chosen", "rejected"};
      continue;
    }
    std::vector<std::string> right;
    if (has_column(record.json, "solution") && record.json["solution"].is_string())
      right.push_back(record.json["solution"].get<std::string>());
    for (const Solution& s : group) {
      if (s.right) right.push_back(joined(s.steps, s.steps.size(), o.separator));
    }
    if (right.empty()) {
      if (unmatched != nullptr) ++*unmatched;
      continue;
    }
    const std::string& chosen = right[turn[prompt]++ % right.size()];
    out.push_back(pair_of(record, record.json["prompt"], as_answer(record, chosen),
                          as_answer(record, joined(wrong.steps, pit + 1, o.separator))));
    if (pit + 1 < wrong.steps.size()) out.back().json["unfinished"] = {"rejected"};
  }
  return out;
}

}  // namespace temper
