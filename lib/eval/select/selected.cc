#include "eval/select/selected.h"

#include <algorithm>

#include "base/error.h"

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

using SamplesOfPrompts = std::vector<std::vector<const EvalSample*>>;

SamplesOfPrompts by_prompt(const EvalResult& result) {
  SamplesOfPrompts out(static_cast<size_t>(result.prompts));
  for (const EvalSample& sample : result.samples) out[static_cast<size_t>(sample.prompt)].push_back(&sample);
  return out;
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
                  const SamplesOfPrompts& samples, size_t k, double level, const SelectionContext& context,
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
        .candidates.push_back(
            {sample.completion.text, sample.answer, scores_by_name(result.reward_names, sample.score)});
  }
  return out;
}

Selected run_selector(const SelectorEntry& entry, const std::vector<Ballot>& ballots,
                      const EvalResult& result, const std::vector<int64_t>& ks, double level,
                      const SelectionContext& context) {
  const auto selector = entry.options->make();
  const SamplesOfPrompts samples = by_prompt(result);
  Selected out{entry.name, selector->choose(ballots, context), {}};
  size_t most = 0;
  for (const Ballot& ballot : ballots) most = std::max(most, ballot.candidates.size());
  for (const int64_t k : ks) {
    if (k > 1 && static_cast<size_t>(k) < most && !selector->asks())
      block_figure(fmt::format("select/{}@{}", entry.name, k), *selector, ballots, samples,
                   static_cast<size_t>(k), level, context, out.figures);
  }
  std::vector<double> values;
  for (size_t b = 0; b < ballots.size(); ++b)
    if (const auto right = came_right(samples[b], out.choices[b])) values.push_back(*right);
  if (!values.empty())
    out.figures.push_back({"select/" + entry.name, mean(values), share_interval(values, 1, level),
                           static_cast<int64_t>(values.size())});
  return out;
}

}  // namespace temper
