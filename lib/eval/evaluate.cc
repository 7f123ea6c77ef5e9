#include "eval/evaluate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "eval/diversity.h"

namespace temper {
namespace {

constexpr int64_t kTotal = -1;  // correctness by the combined reward

int64_t verifier_index(const RewardSet& rewards, const EvalOptions& options) {
  if (options.correct_by.empty()) return rewards.answering().value_or(kTotal);
  const auto& names = rewards.names();
  const auto found = std::find(names.begin(), names.end(), options.correct_by);
  if (found == names.end()) {
    std::string known;
    for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
    user_error("evaluation: correct_by: no reward is called \"{}\"; there are: {}", options.correct_by,
               known);
  }
  return found - names.begin();
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
  }
  if (ks.empty()) return;
  const int64_t k = ks.back();
  for (const double tau : {0.5, 1.0}) {
    figures.share(fmt::format("g_pass@{}_{}", k, tau),
                  at(k, [&](const Judged& p) { return g_pass_at_k(p.count(), p.correct, k, tau); }),
                  options.samples / k);
  }
  figures.share(fmt::format("mg_pass@{}", k),
                at(k, [k](const Judged& p) { return mg_pass_at_k(p.count(), p.correct, k); }),
                options.samples / k);
}

// Per prompt, the mean of f over its samples; nulls are left out.
template <class F>
std::vector<double> prompt_means(const EvalResult& result, F f) {
  std::vector<double> sums(static_cast<size_t>(result.prompts)), out;
  std::vector<int64_t> counts(static_cast<size_t>(result.prompts));
  for (const EvalSample& sample : result.samples) {
    const std::optional<double> value = f(sample);
    if (!value) continue;
    sums[static_cast<size_t>(sample.prompt)] += *value;
    ++counts[static_cast<size_t>(sample.prompt)];
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    if (counts[i] > 0) out.push_back(sums[i] / static_cast<double>(counts[i]));
  }
  return out;
}

Json finite_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

}  // namespace

std::vector<GenerateRequest> eval_requests(const std::vector<EvalPrompt>& prompts, const RewardSet& rewards,
                                           const EvalOptions& options) {
  resolved_k(options);  // before the long part
  verifier_index(rewards, options);
  for (const EvalPrompt& prompt : prompts) {
    if (prompt.columns != nullptr) rewards.check(*prompt.columns);
  }
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) requests.push_back({prompts[i].ids, options.samples, i});
  return requests;
}

EvalResult evaluate(Model& model, const Tokenizer& tokenizer, const std::vector<EvalPrompt>& prompts,
                    RewardSet& rewards, const EvalOptions& options, const SamplingOptions& sampling,
                    const EngineOptions& engine,
                    const std::function<void(const EngineProgress&)>& on_progress,
                    const std::function<void()>& on_wait) {
  const auto requests = eval_requests(prompts, rewards, options);
  return score_completions(
      prompts, generate(model, tokenizer, requests, sampling, engine, on_progress), rewards, options,
      [&](const std::vector<RewardItem>& items) { return rewards.score(items, on_wait); });
}

EvalResult score_completions(const std::vector<EvalPrompt>& prompts,
                             std::vector<std::vector<Completion>> completions, RewardSet& rewards,
                             const EvalOptions& options, const ScoreItems& score) {
  const auto ks = resolved_k(options);
  const int64_t verifier = verifier_index(rewards, options);
  std::vector<RewardItem> items;
  for (size_t p = 0; p < completions.size(); ++p) {
    for (const Completion& c : completions[p]) {
      items.push_back(reward_item(prompts[p].text, prompts[p].columns, c));
    }
  }
  const std::vector<ScoredItem> scored = score ? score(items) : rewards.score(items);

  EvalResult result;
  result.prompts = static_cast<int64_t>(completions.size());
  result.reward_names = rewards.names();
  std::vector<Judged> judged(completions.size());
  size_t next = 0;
  for (size_t p = 0; p < completions.size(); ++p) {
    for (size_t s = 0; s < completions[p].size(); ++s, ++next) {
      EvalSample sample{static_cast<int64_t>(p),    static_cast<int64_t>(s), {}, scored[next], {},
                        rewards.answer(items[next])};
      const auto& score =
          verifier == kTotal ? sample.score.total : sample.score.parts[static_cast<size_t>(verifier)].value;
      if (score) sample.correct = *score > options.correct_above;
      if (sample.correct) {
        judged[p].votes.push_back({sample.answer, *sample.correct});
        judged[p].correct += *sample.correct ? 1 : 0;
      } else {
        ++result.nulls;
      }
      result.tokens += items[next].tokens;
      result.samples.push_back(std::move(sample));
    }
  }
  for (EvalSample& sample : result.samples) {  // now that no item points into them
    sample.completion =
        std::move(completions[static_cast<size_t>(sample.prompt)][static_cast<size_t>(sample.sample)]);
  }

  Figures figures(result.figures, options.level);
  verifier_figures(judged, ks, options, rewards.knows_answers(), figures);
  figures.number("reward", prompt_means(result, [](const EvalSample& s) { return s.score.total; }));
  for (size_t r = 0; r < result.reward_names.size(); ++r) {
    figures.number("reward/" + result.reward_names[r],
                   prompt_means(result, [r](const EvalSample& s) { return s.score.parts[r].value; }));
    if (rewards.transforms(r))
      figures.number("reward/" + result.reward_names[r] + "/transformed",
                     prompt_means(result, [r](const EvalSample& s) { return s.score.counted[r]; }));
    for (const std::string& outcome : rewards.outcomes()[r]) {
      const auto went = [&](const EvalSample& s) {
        const std::string& told = s.score.parts[r].outcome;
        return told.empty() ? std::nullopt : std::optional(told == outcome ? 1.0 : 0.0);
      };
      figures.share(result.reward_names[r] + "/" + outcome, prompt_means(result, went), options.samples);
    }
  }
  figures.number("length", prompt_means(result, [](const EvalSample& s) {
                   return std::optional(static_cast<double>(s.completion.policy_tokens()));
                 }));
  figures.share("truncated",
                prompt_means(result,
                             [](const EvalSample& s) {
                               return std::optional(s.completion.finish == FinishReason::kLength ? 1.0 : 0.0);
                             }),
                options.samples);
  if (options.diversity) {
    std::vector<std::vector<std::vector<int64_t>>> texts(static_cast<size_t>(result.prompts));
    for (const EvalSample& s : result.samples)
      texts[static_cast<size_t>(s.prompt)].push_back(own_tokens(s.completion.ids, s.completion.turns));
    std::vector<double> distinct, vendi;
    for (const auto& of_prompt : texts) {
      distinct.push_back(distinct_share(of_prompt));
      vendi.push_back(vendi_score(of_prompt));
    }
    figures.number("distinct", distinct);
    figures.number("vendi", vendi);
  }
  std::set<std::string> counted;  // by environments
  for (const EvalSample& s : result.samples) {
    if (!s.completion.conversation) continue;
    for (const auto& [name, value] : s.completion.conversation->figures) counted.insert(name);
  }
  for (const std::string& name : counted) {
    figures.number("environment/" + name, prompt_means(result, [&](const EvalSample& s) {
                     const auto& told = s.completion.conversation;
                     return told && told->figures.contains(name) ? std::optional(told->figures.at(name))
                                                                 : std::nullopt;
                   }));
  }
  return result;
}

RewardItem reward_item(const std::string& prompt, const Json* columns, const Completion& c) {
  RewardItem item{prompt, c.text, c.raw_text, columns, c.policy_tokens(), c.finish == FinishReason::kLength,
                  &c.ids};
  if (c.conversation) {
    item.conversation = &c.conversation->messages;
    item.environment = c.conversation->score();
  }
  return item;
}

const Figure* EvalResult::find(const std::string& name) const {
  const auto found =
      std::find_if(figures.begin(), figures.end(), [&](const Figure& f) { return f.name == name; });
  return found == figures.end() ? nullptr : &*found;
}

Json EvalResult::to_json() const {
  Json rows = Json::object();
  for (const Figure& f : figures) {
    rows[f.name] = {{"value", f.value},
                    {"low", finite_or_null(f.interval.low)},
                    {"high", finite_or_null(f.interval.high)},
                    {"prompts", f.count}};
  }
  return {{"prompts", prompts},
          {"samples", samples.size()},
          {"nulls", nulls},
          {"tokens", tokens},
          {"figures", rows}};
}

Json EvalResult::sample_json(const EvalSample& sample, const std::vector<EvalPrompt>& prompts) const {
  const EvalPrompt& prompt = prompts.at(static_cast<size_t>(sample.prompt));
  Json out = {{"prompt", prompt.text},
              {"sample", sample.sample},
              {"completion", sample.completion.text},
              {"finish", finish_name(sample.completion.finish)},
              {"tokens", sample.completion.policy_tokens()},
              {"correct", sample.correct ? Json(*sample.correct) : Json(nullptr)},
              {"answer", sample.answer ? Json(*sample.answer) : Json(nullptr)},
              {"total", number_or_null(sample.score.total)}};
  write_parts(out, reward_names, sample.score);
  out["columns"] = prompt.columns != nullptr ? *prompt.columns : Json(nullptr);
  if (const auto& told = sample.completion.conversation) out["messages"] = told->messages;
  return out;
}

}  // namespace temper
