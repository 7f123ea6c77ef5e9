#include "eval/further.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "eval/power_law.h"
#include "eval/weak_verifier.h"

namespace temper {
namespace {

constexpr size_t kMostValues = 100;  // of a column, for a break-down

Json row(double value, const Interval& interval, int64_t prompts) {
  return figures_json({{"", value, interval, prompts}})[""];
}

Json extrapolated(const PromptSamples& samples, const EvalOptions& options) {
  std::vector<int64_t> correct;
  for (const auto& of_prompt : samples) {
    const bool judged = std::all_of(of_prompt.begin(), of_prompt.end(),
                                    [](const EvalSample* s) { return s->correct.has_value(); });
    if (!judged || static_cast<int64_t>(of_prompt.size()) < options.samples) continue;
    correct.push_back(
        std::count_if(of_prompt.begin(), of_prompt.end(), [](const EvalSample* s) { return *s->correct; }));
  }
  const auto found = extrapolate(options.samples, correct, options.extrapolate, options.level, options.seed);
  if (!found) {
    const char* why = correct.empty() ? "no prompt has samples that could all be judged"
                                      : "pass@k is 0 or 1 at all but one of the k, so no law can be fitted";
    return {{"none", why}};
  }
  Json figures = Json::object();
  for (size_t i = 0; i < options.extrapolate.size(); ++i) {
    const auto& [value, interval] = found->beyond[i];
    figures[fmt::format("pass@{}", options.extrapolate[i])] = row(value, interval, found->prompts);
  }
  return {{"law", {{"a", found->law.a}, {"b", found->law.b}, {"points", found->points}, {"rms", found->rms}}},
          {"prompts", found->prompts},
          {"figures", figures}};
}

Json share(const ShareFigure& figure) {
  return figure.prompts == 0 ? Json(nullptr) : row(figure.value, figure.interval, figure.prompts);
}

Json verifier(const EvalResult& result, const PromptSamples& samples, const EvalOptions& options) {
  const auto part = static_cast<size_t>(reward_index(result.reward_names, options.verifier, "verifier"));
  std::vector<VerifiedPrompt> prompts;
  for (const auto& of_prompt : samples) {
    VerifiedPrompt p;
    for (const EvalSample* s : of_prompt) {
      const auto& score = s->score.parts[part].value;
      if (!s->correct || !score) continue;
      const bool passes = *score > options.verifier_above;
      ++p.samples;
      p.right += *s->correct ? 1 : 0;
      p.passes_right += passes && *s->correct ? 1 : 0;
      p.passes_wrong += passes && !*s->correct ? 1 : 0;
    }
    if (p.samples > 0) prompts.push_back(p);
  }
  const WeakVerifier worth = judge_verifier(prompts, options.wrong_cost, options.level);
  Json curve = Json::array(), best = {{"k", worth.best_k}, {"value", worth.best_value}};
  for (const VerifiedAttempts& a : worth.curve) {
    const Json value = row(a.value, a.interval, static_cast<int64_t>(prompts.size()));
    curve.push_back({{"k", a.k},
                     {"true_accept", share(a.true_accept)},
                     {"false_accept", share(a.false_accept)},
                     {"value", value}});
    if (a.k == worth.best_k) best["low"] = value["low"], best["high"] = value["high"];
  }
  return {{"name", options.verifier},
          {"prompts", prompts.size()},
          {"false_positive_rate", share(worth.false_positive_rate)},
          {"true_positive_rate", share(worth.true_positive_rate)},
          {"correct_given_pass", share(worth.correct_given_pass)},
          {"cost", options.wrong_cost},
          {"best", best},
          {"curve", curve}};
}

// A column's value as a name; "-": the prompt has none.
std::string value_of(const EvalPrompt& prompt, const std::string& column) {
  if (prompt.columns == nullptr || !prompt.columns->is_object()) return "-";
  const auto found = prompt.columns->find(column);
  if (found == prompt.columns->end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : dump_line(*found);
}

// Numbers inside of names in the order of numbers: "Level 2" before "Level 10".
bool naturally_before(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const size_t begin_i = i, begin_j = j;
      while (i < a.size() && digit(a[i])) ++i;
      while (j < b.size() && digit(b[j])) ++j;
      if (i - begin_i != j - begin_j) return i - begin_i < j - begin_j;
      const int order = a.compare(begin_i, i - begin_i, b, begin_j, j - begin_j);
      if (order != 0) return order < 0;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

Json broken_down(const EvalResult& result, const PromptSamples& samples,
                 const std::vector<EvalPrompt>& prompts, const EvalOptions& options) {
  Json out = Json::object();
  for (const std::string& column : options.by) {
    Json& of_column = out[column] = Json::object();
    for (const auto& [value, places] : column_values(prompts, column)) {
      PromptSamples some;
      for (const size_t p : places) some.push_back(samples[p]);
      of_column[value] = {{"prompts", places.size()},
                          {"figures", figures_json(figures_of(result, some, options))}};
    }
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, std::vector<size_t>>> column_values(const std::vector<EvalPrompt>& prompts,
                                                                       const std::string& column) {
  std::map<std::string, std::vector<size_t>> places;
  for (size_t p = 0; p < prompts.size(); ++p) places[value_of(prompts[p], column)].push_back(p);
  if (places.size() == 1 && places.count("-") > 0) {
    std::string known;
    if (prompts.front().columns != nullptr && prompts.front().columns->is_object()) {
      for (const auto& [name, value] : prompts.front().columns->items())
        known += (known.empty() ? "" : ", ") + name;
    }
    user_error("evaluation: by: no prompt has a column \"{}\"; the first has: {}", column,
               known.empty() ? "none" : known);
  }
  if (places.size() > kMostValues)
    user_error("evaluation: by: column \"{}\" has {} different values over {} prompts, expected at most {}",
               column, places.size(), prompts.size(), kMostValues);
  std::vector<std::pair<std::string, std::vector<size_t>>> out(places.begin(), places.end());
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return naturally_before(a.first, b.first); });
  return out;
}

Json further_figures(const EvalResult& result, const PromptSamples& samples,
                     const std::vector<EvalPrompt>& prompts, const EvalOptions& options) {
  Json out = Json::object();
  if (!options.extrapolate.empty()) out["extrapolated"] = extrapolated(samples, options);
  if (!options.verifier.empty()) out["verifier"] = verifier(result, samples, options);
  if (!options.by.empty()) out["by"] = broken_down(result, samples, prompts, options);
  return out;
}

void check_further(const std::vector<std::string>& reward_names, int64_t correct_by,
                   const std::vector<EvalPrompt>& prompts, const EvalOptions& options) {
  for (const int64_t k : options.extrapolate) {
    if (k <= options.samples)
      user_error("evaluation: extrapolate: pass@{} is measured, with {} samples a prompt; expected more", k,
                 options.samples);
  }
  if (!options.extrapolate.empty() && options.samples < 4)
    user_error("evaluation: extrapolate: {} samples a prompt are too few to fit a law to; give 4 or more",
               options.samples);
  if (!options.verifier.empty()) {
    if (reward_index(reward_names, options.verifier, "verifier") == correct_by)
      user_error("evaluation: verifier: \"{}\" is what says what is correct; expected another reward",
                 options.verifier);
  }
  for (const std::string& column : options.by) column_values(prompts, column);
}

}  // namespace temper
