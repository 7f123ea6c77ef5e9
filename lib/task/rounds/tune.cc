// tune: B-STaR (arXiv 2412.17256, code hkust-nlp/B-STaR): before a round's data is made, its sampling and the
// threshold of its selection are chosen on a few prompts, those with the highest mean balance score: of the
// n' right ones among n selected answers min(n'/n*, 1) n'/n, that is enough of them and few wrong ones.
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "data/select/balance.h"
#include "task/rounds/config.h"
#include "task/rounds/generate.h"
#include "task/rounds/phases.h"
#include "task/rounds/sampler.h"

namespace temper {
namespace {

struct TuneOptions : AskOptions {
  TuneOptions() : AskOptions() { count = 64; }

  int64_t n = 8;
  SamplingOptions sampling;
  std::vector<double> temperatures = {0.5, 0.7, 0.9, 1.1}, thresholds = {0.0};
  std::string correct_by;
  int64_t wanted = 8;
  double correct_above = 0.5;

  void fields(FieldVisitor& v) override {
    AskOptions::fields(v);
    v.field("n", n, {.help = "answers to each prompt", .min = 1, .max = 1 << 16});
    v.section("sampling", sampling, "how they are sampled, but for the temperature");
    v.field("temperatures", temperatures, {.help = "the temperatures that are tried", .min = 0, .max = 100});
    v.field("thresholds", thresholds, {.help = "the least rewards of selected answers that are tried"});
    v.field("wanted", wanted,
            {.help = "n*: right answers a prompt beyond which more are worth nothing", .min = 1});
    v.field("correct_by", correct_by,
            {.help = "the reward that says what is right; left out: the first that knows answers"});
    v.field("correct_above", correct_above, {.help = "its score above which an answer is right"});
  }
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override {
    AskOptions::check_phase(config, index, where, problems);
    if (scored_by(config).empty())
      problems.push_back(where + ".rewards: the balance score needs at least one, here or for the whole run");
    for (const auto& [name, list] : {std::pair{"temperatures", &temperatures}, {"thresholds", &thresholds}})
      if (list->empty()) problems.push_back(fmt::format("{}.{}: give at least one", where, name));
  }
  PhaseResult run(PhaseWork& work) const override;
};

// Selection has a least reward, the balance score a threshold to be above.
double least_above(double threshold) {
  return std::nextafter(threshold, std::numeric_limits<double>::infinity());
}

PhaseResult TuneOptions::run(PhaseWork& w) const {
  std::vector<Record> records = this->records(w);
  const auto rewards = make_rewards(w.config);
  PhaseSampler sampler(w, model_folder(w), prefix, records);
  const uint64_t seed = w.seed("tune");  // the same draws for all, so that they compare
  const std::vector<EvalPrompt> prompts = sampler.prompts(records, rewards.get(), seed);
  EvalOptions judged;
  judged.samples = n;
  judged.correct_by = correct_by;
  judged.correct_above = correct_above;
  eval_requests(prompts, *rewards, judged);

  PhaseResult out;
  std::string grid;
  double best = -1, pass = 0, above = 0;
  for (const double temperature : temperatures) {
    SamplingOptions one = sampling;
    one.temperature = temperature;
    w.options.console->status(fmt::format("{}: temperature {}", w.where(), temperature));
    const EvalResult result = score_completions(
        prompts, sampler.sample(records, prompts, {n, one, seed}), *rewards, judged,
        [&](const std::vector<RewardItem>& items) { return sampler.score(*rewards, items); });
    std::vector<std::vector<JudgedAnswer>> answers(prompts.size());
    for (const EvalSample& s : result.samples) {
      if (s.score.total)
        answers[s.prompt].push_back({s.completion.text, *s.score.total, s.correct.value_or(false)});
    }
    for (const double threshold : thresholds) {
      const double score = mean_balance(answers, threshold, wanted, wanted);
      grid += dump_line({{"temperature", temperature}, {"threshold", threshold}, {"balance", score}}) + "\n";
      if (score <= best) continue;  // the first of equals
      best = score;
      above = threshold;
      const Figure* figure = result.find(fmt::format("pass@{}", n));
      pass = figure == nullptr ? 0 : figure->value;
      out.chosen = {{"sampling", {{"temperature", temperature}}},
                    {"options", {{"min", least_above(threshold)}}}};
    }
  }
  if (w.ranks.first()) write_file_atomic(w.folder + "/grid.jsonl", grid);
  const double temperature = out.chosen["sampling"]["temperature"].get<double>();
  out.figures = {{"balance", best}, {"temperature", temperature}, {"threshold", above}, {"pass", pass}};
  w.say(fmt::format("{}: temperature {} and threshold {}: balance score {:.3f}", w.where(), temperature,
                    above, best));
  return out;
}

}  // namespace

std::unique_ptr<PhaseOptions> tune_phase() {
  return std::make_unique<TuneOptions>();
}

}  // namespace temper
