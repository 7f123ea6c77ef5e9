#include "eval/compare_samples.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "eval/compare.h"
#include "eval/figures.h"

namespace temper {
namespace {

using Pairs = std::vector<std::pair<size_t, size_t>>;  // places of prompts in A and in B

// Takes out of `a` and `b` those of equal keys, in order; an empty key is equal to none.
template <class F>
void match(std::vector<size_t>& a, std::vector<size_t>& b, F key_of_a, F key_of_b, Pairs& pairs) {
  std::map<std::string, std::vector<size_t>> waiting;
  for (auto it = b.rbegin(); it != b.rend(); ++it) waiting[key_of_b(*it)].push_back(*it);
  std::vector<size_t> alone;
  std::set<size_t> taken;
  for (const size_t p : a) {
    const std::string key = key_of_a(p);
    const auto found = key.empty() ? waiting.end() : waiting.find(key);
    if (found == waiting.end() || found->second.empty()) {
      alone.push_back(p);
      continue;
    }
    pairs.emplace_back(p, found->second.back());
    taken.insert(found->second.back());
    found->second.pop_back();
  }
  a = std::move(alone);
  std::erase_if(b, [&](size_t p) { return taken.count(p) > 0; });
}

Json interval_json(double value, const Interval& interval) {
  return {{"value", value}, {"low", interval.low}, {"high", interval.high}};
}

class SampleComparison {
 public:
  SampleComparison(const StoredSamples& a, const StoredSamples& b, double level, uint64_t seed)
      : a_(by_prompt(a.result)),
        b_(by_prompt(b.result)),
        samples_a_(a.samples()),
        samples_b_(b.samples()),
        level_(level),
        seed_(seed) {}

  // What a prompt's samples give, nullopt: nothing; of A's and of B's. k: they are shares, of k samples each;
  // 0: they are other numbers.
  template <class F>
  Json numbers(const Pairs& pairs, F of_a, F of_b, int64_t k) const {
    std::vector<double> first, second, differences;
    for (const auto& [i, j] : pairs) {
      const std::optional<double> x = of_a(a_[i]), y = of_b(b_[j]);
      if (!x || !y) continue;
      first.push_back(*x);
      second.push_back(*y);
      differences.push_back(*x - *y);
    }
    if (first.empty()) return nullptr;
    return row(first, second, k, compare_numbers(differences, level_, seed_));
  }

  Json accuracy(const Pairs& pairs, int64_t samples) const {
    std::vector<std::pair<double, double>> shares;
    std::vector<double> first, second;
    for (const auto& [i, j] : pairs) {
      const std::optional<double> x = accuracy_of(a_[i]), y = accuracy_of(b_[j]);
      if (!x || !y) continue;
      shares.emplace_back(*x, *y);
      first.push_back(*x);
      second.push_back(*y);
    }
    if (shares.empty()) return nullptr;
    const PairedTable t = paired_table(shares, samples);
    Json out = row(first, second, 1, compare_paired(t, level_, seed_));
    out["table"] = {{"both", t.both}, {"only_a", t.first}, {"only_b", t.second}, {"neither", t.neither}};
    const Difference apart = compare_unpaired(t.both + t.first, t.second + t.neither, t.both + t.second,
                                              t.first + t.neither, level_, seed_);
    out["unpaired"] = {{"difference", interval_json(apart.value, apart.interval)},
                       {"p_a_above_b", apart.first_better}};
    return out;
  }

  static std::optional<double> accuracy_of(const std::vector<const EvalSample*>& samples) {
    const auto [judged, right] = counts(samples);
    if (judged == 0) return std::nullopt;
    return static_cast<double>(right) / static_cast<double>(judged);
  }
  // Of a prompt's samples: judged, correct.
  static std::pair<int64_t, int64_t> counts(const std::vector<const EvalSample*>& samples) {
    int64_t judged = 0, right = 0;
    for (const EvalSample* s : samples) {
      if (!s->correct) continue;
      ++judged;
      right += *s->correct ? 1 : 0;
    }
    return {judged, right};
  }

 private:
  Json row(const std::vector<double>& first, const std::vector<double>& second, int64_t k,
           const Difference& difference) const {
    const auto side = [&](const std::vector<double>& values, int64_t samples) {
      const auto count = static_cast<int64_t>(values.size());
      const Interval interval =
          k > 0 ? share_interval(values, samples / k, level_) : mean_interval(values, level_);
      return figures_json({{"", mean(values), interval, count}})[""];
    };
    return {{"a", side(first, samples_a_)},
            {"b", side(second, samples_b_)},
            {"difference", interval_json(mean(first) - mean(second), difference.interval)},
            {"p_a_above_b", difference.first_better},
            {"prompts", first.size()}};
  }

  PromptSamples a_, b_;
  int64_t samples_a_, samples_b_;
  double level_;
  uint64_t seed_;
};

// The mean over a prompt's samples of what f gives, nulls left out.
template <class F>
auto mean_of(F f) {
  return [f](const std::vector<const EvalSample*>& samples) -> std::optional<double> {
    double sum = 0, count = 0;
    for (const EvalSample* s : samples) {
      const std::optional<double> value = f(*s);
      if (!value) continue;
      sum += *value, count += 1;
    }
    return count > 0 ? std::optional(sum / count) : std::nullopt;
  };
}

}  // namespace

Json compare_samples(const StoredSamples& a, const StoredSamples& b, double level, uint64_t seed) {
  std::vector<size_t> only_a, only_b;
  for (size_t p = 0; p < a.prompts.size(); ++p) only_a.push_back(p);
  for (size_t p = 0; p < b.prompts.size(); ++p) only_b.push_back(p);
  Pairs pairs;
  using Key = std::function<std::string(size_t)>;
  const auto columns = [](const StoredSamples& s) {
    return Key([&s](size_t p) {
      const Json* of_prompt = s.prompts[p].columns;
      return of_prompt == nullptr || of_prompt->empty() ? std::string() : dump_line(*of_prompt);
    });
  };
  const auto words = [](const StoredSamples& s) { return Key([&s](size_t p) { return s.prompts[p].text; }); };
  match(only_a, only_b, columns(a), columns(b), pairs);
  match(only_a, only_b, words(a), words(b), pairs);
  if (pairs.empty())
    user_error(
        "compare: none of the {} prompts of the first file is among the {} of the second; expected samples "
        "of "
        "the same prompts",
        a.prompts.size(), b.prompts.size());
  std::sort(pairs.begin(), pairs.end());

  const SampleComparison compare(a, b, level, seed);
  const int64_t samples = std::min(a.samples(), b.samples());
  Json compared = Json::object();
  const auto add = [&](const std::string& name, Json row) {
    if (!row.is_null()) compared[name] = std::move(row);
  };
  add("accuracy", compare.accuracy(pairs, samples));
  for (int64_t k = 2; k <= samples; k *= 2) {
    const auto pass = [k](const std::vector<const EvalSample*>& s) -> std::optional<double> {
      const auto [judged, right] = SampleComparison::counts(s);
      return judged < k ? std::nullopt : std::optional(pass_at_k(judged, right, k));
    };
    add(fmt::format("pass@{}", k), compare.numbers(pairs, pass, pass, k));
  }
  const auto total = mean_of([](const EvalSample& s) { return s.score.total; });
  add("reward", compare.numbers(pairs, total, total, 0));
  const auto part = [](size_t r) {
    return mean_of([r](const EvalSample& s) { return s.score.parts[r].value; });
  };
  for (size_t i = 0; i < a.result.reward_names.size(); ++i) {
    const auto& names = b.result.reward_names;
    const auto found = std::find(names.begin(), names.end(), a.result.reward_names[i]);
    if (found == names.end()) continue;
    const auto j = static_cast<size_t>(found - names.begin());
    add("reward/" + *found, compare.numbers(pairs, part(i), part(j), 0));
  }
  const auto length = mean_of(
      [](const EvalSample& s) { return std::optional(static_cast<double>(s.completion.policy_tokens())); });
  add("length", compare.numbers(pairs, length, length, 0));
  return {{"prompts", {{"matched", pairs.size()}, {"only_a", only_a.size()}, {"only_b", only_b.size()}}},
          {"samples", {{"a", a.samples()}, {"b", b.samples()}}},
          {"compared", compared}};
}

}  // namespace temper
