// evaluate: figures of the newest model on held-out prompts, with their intervals; before the first round
// those of the model that the run starts from. The draws are the same in each round, so that rounds compare.
#include "eval/evaluate.h"

#include "base/error.h"
#include "base/file.h"
#include "task/rounds/config.h"
#include "task/rounds/generate.h"
#include "task/rounds/phases.h"
#include "task/rounds/sampler.h"

namespace temper {
namespace {

struct EvaluateOptions : AskOptions {
  EvaluateOptions() : AskOptions(/*held_out=*/true) { sampling.temperature = 0; }

  int64_t n = 1;
  SamplingOptions sampling;

  void fields(FieldVisitor& v) override {
    AskOptions::fields(v);
    v.field("n", n, {.help = "answers to each prompt", .min = 1, .max = 1024});
    v.section("sampling", sampling, "how they are sampled; greedily where it does not say");
  }
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override {
    AskOptions::check_phase(config, index, where, problems);
    if (scored_by(config).empty())
      problems.push_back(where + ".rewards: an evaluation needs at least one, here or for the whole run");
  }
  bool evaluates() const override { return true; }
  PhaseResult run(PhaseWork& work) const override;
};

PhaseResult EvaluateOptions::run(PhaseWork& w) const {
  std::vector<Record> records = asked(w.config, this->records(w));
  const auto rewards = make_rewards(w.config);
  PhaseSampler sampler(w, model_folder(w), prefix, records);
  const uint64_t seed = static_cast<uint64_t>(w.config.seed) ^ 0x6576616cULL;  // apart from what is learnt
  const std::vector<EvalPrompt> prompts = sampler.prompts(records, rewards.get(), seed);
  EvalOptions options;
  options.samples = n;
  eval_requests(prompts, *rewards, options);  // what fits nothing is found before the long part
  w.options.console->status(fmt::format("{}: {} prompts", w.where(), prompts.size()));
  const EvalResult result = score_completions(
      prompts, sampler.sample(records, prompts, {n, sampling, seed, 0, /*held_out=*/true}), *rewards, options,
      [&](const std::vector<RewardItem>& items) { return sampler.score(*rewards, items); });
  std::string lines;
  for (const EvalSample& sample : result.samples)
    lines += dump_line(result.sample_json(sample, prompts)) + "\n";
  if (w.ranks.first()) write_file_atomic(w.folder + "/samples.jsonl", lines);
  PhaseResult out;
  for (const Figure& f : result.figures)
    out.figures.push_back({f.name, f.value, f.interval.low, f.interval.high});
  const Figure* headline = result.find("accuracy");
  if (headline == nullptr) headline = result.find("reward");
  if (headline != nullptr)
    w.say(fmt::format("{}: {} {:.3f} [{:.3f}, {:.3f}] on {} prompts", w.where(), headline->name,
                      headline->value, headline->interval.low, headline->interval.high, headline->count));
  return out;
}

}  // namespace

std::unique_ptr<PhaseOptions> evaluate_phase() {
  return std::make_unique<EvaluateOptions>();
}

}  // namespace temper
