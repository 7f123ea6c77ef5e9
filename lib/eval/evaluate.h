// Sampled answers, scored: what temper-eval and the evaluation inside a run share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "eval/metrics.h"
#include "reward/reward.h"
#include "rollout/engine.h"

namespace temper {

// A prompt as the model gets it, and the record it came from, which must outlive the evaluation.
struct EvalPrompt {
  std::vector<int64_t> ids;
  std::string text;  // special tokens included
  const Json* columns = nullptr;
};

struct EvalOptions {
  int64_t samples = 1;      // completions a prompt
  std::vector<int64_t> k;   // for pass@k and its kin, each <= samples; empty: the powers of two up to samples
  std::vector<double> tau;  // of G-Pass@k, at each k; empty: 0.5 and 1 at the largest k
  std::string correct_by;   // the reward that says what is correct; empty: the first that knows answers, else
                            // the total
  double correct_above = 0.5;        // its score above which a sample is correct
  double level = 0.95;               // of the intervals
  bool diversity = false;            // figures of how different a prompt's samples are
  std::vector<int64_t> extrapolate;  // K beyond the samples, see further.h
  std::string verifier;              // a reward that is judged by what is correct, see further.h
  double verifier_above = 0.5;       // its score above which it passes a sample
  double wrong_cost = 1;             // of accepting a wrong answer, where a right one is worth 1
  std::vector<std::string> by;       // columns whose values each get figures of their own
  uint64_t seed = 1;                 // of intervals by simulation
};

// One number with its interval, over `count` prompts.
struct Figure {
  std::string name;
  double value = 0;
  Interval interval;
  int64_t count = 0;
};

struct EvalSample {
  int64_t prompt = 0, sample = 0;
  Completion completion;
  ScoredItem score;
  std::optional<bool> correct;  // none: the verifier could not tell
  std::optional<std::string> answer;
  std::vector<std::string> selected_by = {};  // names of the selectors that choose it (select/)
};

struct EvalResult {
  // "accuracy" (the mean over prompts of the share of correct samples, mean@k for k = samples), for k > 1
  // "pass@k", "maj@k" (when a reward knows answers), "g_pass@k_<tau>" for each tau or, where none is given,
  // for the largest k those of 0.5 and 1, for the largest k "mg_pass@k"; "reward" and "reward/<name>",
  // "length" in tokens and "truncated". Prompts whose samples are all null are left out of the first group,
  // and those with fewer than k that are not null out of the figures at k. With options.diversity "distinct"
  // and "vendi" of a prompt's samples (diversity.h).
  // "<name>/<outcome>": the share of samples that went so, of those whose outcome the reward
  // told.
  std::vector<Figure> figures;
  std::vector<std::string> reward_names;           // the parts of EvalSample::score
  std::vector<bool> transformed;                   // of each: has transforms
  std::vector<std::vector<std::string>> outcomes;  // of each: Reward::outcomes()
  bool votes = false;                              // samples have answers, for majority voting
  std::vector<EvalSample> samples;                 // prompt by prompt
  Json further = Json::object();                   // see further.h
  int64_t prompts = 0, nulls = 0, tokens = 0;

  const Figure* find(const std::string& name) const;  // null when there is none
  // {"prompts", "samples", "nulls", "tokens", "figures": {name: {"value", "low", "high", "prompts"}}}, and
  // what `further` has.
  Json to_json() const;
  // {"prompt", "sample", "completion", "finish", "tokens", "correct", "answer", "total", "rewards": {...},
  // "reward_transformed"?: {...}, "reward_texts"?: {...}, "reward_outcomes"?: {...}, "columns": {...},
  // "messages"?, "environment"?: {name: figure}, "selected_by"?: [...], "completion_ids"?}. with_ids: also
  // the policy's tokens, which `diversity` reads.
  Json sample_json(const EvalSample& sample, const std::vector<EvalPrompt>& prompts,
                   bool with_ids = false) const;
};

// What is generated: every prompt options.samples times. Throws UserError when a k or correct_by fits
// nothing.
std::vector<GenerateRequest> eval_requests(const std::vector<EvalPrompt>& prompts, const RewardSet& rewards,
                                           const EvalOptions& options);

// A completion as rewards see it; it must outlive the item.
RewardItem reward_item(const std::string& prompt, const Json* columns, const Completion& completion);

// Scores completions [prompt][sample]. score: in the place of rewards.score(). Throws as eval_requests(), or
// from a reward.
using ScoreItems = std::function<std::vector<ScoredItem>(const std::vector<RewardItem>&)>;
EvalResult score_completions(const std::vector<EvalPrompt>& prompts,
                             std::vector<std::vector<Completion>> completions, RewardSet& rewards,
                             const EvalOptions& options, const ScoreItems& score = {});

}  // namespace temper
