#include "eval/select/selected.h"

#include <algorithm>

#include "base/error.h"
#include "eval/figures.h"

namespace temper {
namespace {

// Whether one of the chosen is correct; nullopt: none of a prompt's samples could be judged, or not the
// chosen ones.
std::optional<double> came_right(const std::vector<const EvalSample*>& samples, const Choice& choice) {
  const auto judged = [](const EvalSample* s) { return s->correct.has_value(); };
  if (!std::any_of(samples.begin(), samples.end(), judged)) return std::nullopt;
  if (choice.empty()) return 0.0;
  bool known = false, right = false;
  for (const size_t i : choice) {
    known = known || judged(samples[i]);
    right = right || samples[i]->correct.value_or(false);
  }
  return known ? std::optional(right ? 1.0 : 0.0) : std::nullopt;
}

// The blocks of k candidates of each ballot, in order.
std::vector<Ballot> blocks_of(const std::vector<Ballot>& ballots, size_t k) {
  std::vector<Ballot> out;
  for (const Ballot& ballot : ballots) {
    for (size_t begin = 0; begin + k <= ballot.candidates.size(); begin += k) {
      const auto first = ballot.candidates.begin() + static_cast<std::ptrdiff_t>(begin);
      out.push_back({ballot.prompt, ballot.columns, {first, first + static_cast<std::ptrdiff_t>(k)}});
    }
  }
  return out;
}

// The figure of a selector on blocks of k candidates.
void block_figure(const std::string& name, Selector& selector, const std::vector<Ballot>& ballots,
                  const PromptSamples& samples, size_t k, double level, const SelectionContext& context,
                  std::vector<Figure>& out) {
  std::vector<double> values;
  size_t most = 0, next = 0;
  const std::vector<Choice> choices = selector.choose(blocks_of(ballots, k), context);
  for (size_t b = 0; b < ballots.size(); ++b) {
    double sum = 0;
    size_t known = 0;
    for (size_t begin = 0; begin + k <= ballots[b].candidates.size(); begin += k) {
      const auto first = samples[b].begin() + static_cast<std::ptrdiff_t>(begin);
      const auto right = came_right({first, first + static_cast<std::ptrdiff_t>(k)}, choices[next++]);
      if (right) sum += *right, ++known;
    }
    if (known > 0) values.push_back(sum / static_cast<double>(known));
    most = std::max(most, known);
  }
  if (!values.empty())
    out.push_back({name, mean(values), share_interval(values, static_cast<int64_t>(most), level),
                   static_cast<int64_t>(values.size())});
}

}  // namespace

std::map<std::string, std::optional<double>> scores_by_name(const std::vector<std::string>& names,
                                                            const ScoredItem& scored) {
  std::map<std::string, std::optional<double>> out = {{"total", scored.total}};
  for (size_t r = 0; r < names.size(); ++r) out[names[r]] = scored.parts[r].value;
  return out;
}

std::vector<Ballot> ballots_of(const EvalResult& result, const std::vector<EvalPrompt>& prompts) {
  std::vector<Ballot> out;
  for (const EvalPrompt& prompt : prompts) out.push_back({prompt.text, prompt.columns, {}});
  for (const EvalSample& sample : result.samples) {
    out.at(static_cast<size_t>(sample.prompt))
        .candidates.push_back({sample.completion.text, sample.answer,
                               scores_by_name(result.reward_names, sample.score),
                               sample.completion.finish == FinishReason::kLength});
  }
  return out;
}

void select_answers(const std::vector<SelectorEntry>& entries, const std::vector<EvalPrompt>& prompts,
                    const EvalOptions& options, EvalResult& result, const SelectionContext& context) {
  const std::vector<Ballot> ballots = ballots_of(result, prompts);
  const PromptSamples samples = by_prompt(result);
  // The samples of each prompt once more, to be marked.
  std::vector<std::vector<EvalSample*>> marks(ballots.size());
  for (EvalSample& sample : result.samples) marks[static_cast<size_t>(sample.prompt)].push_back(&sample);
  for (const SelectorEntry& entry : entries) {
    const std::string name = "select/" + entry.name;
    const auto selector = entry.options->make();
    for (const int64_t k : resolved_k(options)) {
      if (k < options.samples && !selector->asks())
        block_figure(fmt::format("{}@{}", name, k), *selector, ballots, samples, static_cast<size_t>(k),
                     options.level, context, result.figures);
    }
    const std::vector<Choice> choices = selector->choose(ballots, context);
    std::vector<double> values;
    for (size_t b = 0; b < ballots.size(); ++b) {
      for (const size_t i : choices[b]) marks[b][i]->selected_by.push_back(entry.name);
      if (const auto right = came_right(samples[b], choices[b])) values.push_back(*right);
    }
    if (!values.empty())
      result.figures.push_back({name, mean(values), share_interval(values, 1, options.level),
                                static_cast<int64_t>(values.size())});
  }
}

}  // namespace temper
