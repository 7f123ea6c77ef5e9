#include "eval/figures.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "eval/diversity.h"
#include "eval/further.h"

namespace temper {
namespace {

// The samples of one prompt that the verifier could judge.
struct Judged {
  std::vector<Vote> votes;
  int64_t correct = 0;
  int64_t count() const { return static_cast<int64_t>(votes.size()); }
};

class Figures {
 public:
  Figures(std::vector<Figure>& out, double level) : out_(out), level_(level) {}

  void share(const std::string& name, const std::vector<double>& values, int64_t samples) {
    if (values.empty()) return;
    out_.push_back(
        {name, mean(values), share_interval(values, samples, level_), static_cast<int64_t>(values.size())});
  }
  void number(const std::string& name, const std::vector<double>& values) {
    if (values.empty()) return;
    out_.push_back({name, mean(values), mean_interval(values, level_), static_cast<int64_t>(values.size())});
  }

 private:
  std::vector<Figure>& out_;
  double level_;
};

void verifier_figures(const std::vector<Judged>& judged, const std::vector<int64_t>& ks,
                      const EvalOptions& options, bool votes, Figures& figures) {
  // f of every prompt that has at least k samples.
  const auto at = [&](int64_t k, auto f) {
    std::vector<double> values;
    for (const Judged& prompt : judged) {
      if (prompt.count() >= k) values.push_back(f(prompt));
    }
    return values;
  };
  const auto g_pass = [&](int64_t k, double tau) {
    figures.share(fmt::format("g_pass@{}_{}", k, tau),
                  at(k, [&](const Judged& p) { return g_pass_at_k(p.count(), p.correct, k, tau); }),
                  options.samples / k);
  };
  figures.share(
      "accuracy",
      at(1, [](const Judged& p) { return static_cast<double>(p.correct) / static_cast<double>(p.count()); }),
      options.samples);
  for (const int64_t k : ks) {
    figures.share(fmt::format("pass@{}", k),
                  at(k, [k](const Judged& p) { return pass_at_k(p.count(), p.correct, k); }),
                  options.samples / k);
    if (votes) {
      figures.share(fmt::format("maj@{}", k), at(k, [k](const Judged& p) { return maj_at_k(p.votes, k); }),
                    options.samples / k);
    }
    for (const double tau : options.tau) g_pass(k, tau);
  }
  if (ks.empty()) return;
  const int64_t k = ks.back();
  if (options.tau.empty()) {
    for (const double tau : {0.5, 1.0}) g_pass(k, tau);
  }
  figures.share(fmt::format("mg_pass@{}", k),
                at(k, [k](const Judged& p) { return mg_pass_at_k(p.count(), p.correct, k); }),
                options.samples / k);
}

// Per prompt, the mean of f over its samples; nulls are left out.
template <class F>
std::vector<double> prompt_means(const PromptSamples& prompts, F f) {
  std::vector<double> out;
  for (const auto& samples : prompts) {
    double sum = 0, count = 0;
    for (const EvalSample* sample : samples) {
      const std::optional<double> value = f(*sample);
      if (!value) continue;
      sum += *value;
      count += 1;
    }
    if (count > 0) out.push_back(sum / count);
  }
  return out;
}

void reward_figures(const EvalResult& result, const PromptSamples& samples, const EvalOptions& options,
                    Figures& figures) {
  figures.number("reward", prompt_means(samples, [](const EvalSample& s) { return s.score.total; }));
  for (size_t r = 0; r < result.reward_names.size(); ++r) {
    const std::string& name = result.reward_names[r];
    figures.number("reward/" + name,
                   prompt_means(samples, [r](const EvalSample& s) { return s.score.parts[r].value; }));
    if (result.transformed[r])
      figures.number("reward/" + name + "/transformed",
                     prompt_means(samples, [r](const EvalSample& s) { return s.score.counted[r]; }));
    for (const std::string& outcome : result.outcomes[r]) {
      const auto went = [&](const EvalSample& s) {
        const std::string& told = s.score.parts[r].outcome;
        return told.empty() ? std::nullopt : std::optional(told == outcome ? 1.0 : 0.0);
      };
      figures.share(name + "/" + outcome, prompt_means(samples, went), options.samples);
    }
  }
}

void diversity_figures(const PromptSamples& prompts, Figures& figures) {
  std::vector<double> distinct, vendi;
  for (const auto& samples : prompts) {
    std::vector<std::vector<int64_t>> texts;
    for (const EvalSample* s : samples) texts.push_back(own_tokens(s->completion.ids, s->completion.turns));
    distinct.push_back(distinct_share(texts));
    vendi.push_back(vendi_score(texts));
  }
  figures.number("distinct", distinct);
  figures.number("vendi", vendi);
}

// What environments counted.
void environment_figures(const PromptSamples& prompts, Figures& figures) {
  std::set<std::string> counted;
  for (const auto& samples : prompts) {
    for (const EvalSample* s : samples) {
      if (!s->completion.conversation) continue;
      for (const auto& [name, value] : s->completion.conversation->figures) counted.insert(name);
    }
  }
  for (const std::string& name : counted) {
    figures.number("environment/" + name, prompt_means(prompts, [&](const EvalSample& s) {
                     const auto& told = s.completion.conversation;
                     return told && told->figures.contains(name) ? std::optional(told->figures.at(name))
                                                                 : std::nullopt;
                   }));
  }
}

}  // namespace

PromptSamples by_prompt(const EvalResult& result) {
  PromptSamples out(static_cast<size_t>(result.prompts));
  for (const EvalSample& sample : result.samples)
    out.at(static_cast<size_t>(sample.prompt)).push_back(&sample);
  return out;
}

std::vector<int64_t> resolved_k(const EvalOptions& options) {
  if (options.samples < 1)
    user_error("evaluation: expected at least 1 sample a prompt, found {}", options.samples);
  std::vector<int64_t> ks = options.k;
  if (ks.empty()) {
    for (int64_t k = 2; k <= options.samples; k *= 2) ks.push_back(k);
  }
  std::sort(ks.begin(), ks.end());
  ks.erase(std::unique(ks.begin(), ks.end()), ks.end());
  if (!ks.empty() && (ks.front() < 1 || ks.back() > options.samples)) {
    user_error("evaluation: k = {}: expected 1 to {}, the samples of a prompt",
               ks.front() < 1 ? ks.front() : ks.back(), options.samples);
  }
  ks.erase(std::remove(ks.begin(), ks.end(), 1), ks.end());  // all of them are the accuracy at k = 1
  return ks;
}

std::vector<Figure> figures_of(const EvalResult& result, const PromptSamples& samples,
                               const EvalOptions& options) {
  std::vector<Judged> judged(samples.size());
  for (size_t p = 0; p < samples.size(); ++p) {
    for (const EvalSample* sample : samples[p]) {
      if (!sample->correct) continue;
      judged[p].votes.push_back({sample->answer, *sample->correct});
      judged[p].correct += *sample->correct ? 1 : 0;
    }
  }
  std::vector<Figure> out;
  Figures figures(out, options.level);
  verifier_figures(judged, resolved_k(options), options, result.votes, figures);
  reward_figures(result, samples, options, figures);
  figures.number("length", prompt_means(samples, [](const EvalSample& s) {
                   return std::optional(static_cast<double>(s.completion.policy_tokens()));
                 }));
  figures.share("truncated",
                prompt_means(samples,
                             [](const EvalSample& s) {
                               return std::optional(s.completion.finish == FinishReason::kLength ? 1.0 : 0.0);
                             }),
                options.samples);
  if (options.diversity) diversity_figures(samples, figures);
  environment_figures(samples, figures);
  return out;
}

Json figures_json(const std::vector<Figure>& figures) {
  const auto finite_or_null = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  Json out = Json::object();
  for (const Figure& f : figures) {
    out[f.name] = {{"value", f.value},
                   {"low", finite_or_null(f.interval.low)},
                   {"high", finite_or_null(f.interval.high)},
                   {"prompts", f.count}};
  }
  return out;
}

void judge(EvalResult& result, int64_t verifier, double above) {
  for (EvalSample& sample : result.samples) {
    const auto& score =
        verifier < 0 ? sample.score.total : sample.score.parts[static_cast<size_t>(verifier)].value;
    sample.correct = score ? std::optional(*score > above) : std::nullopt;
  }
}

int64_t reward_index(const std::vector<std::string>& names, const std::string& name,
                     const std::string& what) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    std::string known;
    for (const std::string& other : names) known += (known.empty() ? "" : ", ") + other;
    user_error("evaluation: {}: no reward is called \"{}\"; there are: {}", what, name,
               known.empty() ? "none" : known);
  }
  return found - names.begin();
}

void measure(EvalResult& result, const std::vector<EvalPrompt>& prompts, const EvalOptions& options) {
  result.nulls = 0, result.tokens = 0;
  for (const EvalSample& sample : result.samples) {
    result.nulls += sample.correct ? 0 : 1;
    result.tokens += sample.completion.policy_tokens();
  }
  const PromptSamples samples = by_prompt(result);
  result.figures = figures_of(result, samples, options);
  result.further = further_figures(result, samples, prompts, options);
}

}  // namespace temper
