// Supervised fine-tuning. Which loss: the "loss" section; a value a target token (or of a prompt's solutions
// together), summed over the whole step and divided by the step's targets (or prompts). What examples go
// through before: the "inputs" section. Which examples a step takes: data.order, data.weights, and of those
// the "filter" section.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <optional>

#include "data/groups.h"
#include "objective/constant_gradient.h"
#include "task/sft/config.h"
#include "task/sft/draws.h"
#include "task/sft/example_scores.h"
#include "task/sft/multistage.h"
#include "task/sft/rewards.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/examples.h"
#include "train/held_out_loss.h"
#include "train/run_order.h"
#include "train/session.h"

namespace temper {
namespace {

// The examples of a run, each with its record.
class TrainExamples {
 public:
  // As inputs and rewards change them, in memory.
  explicit TrainExamples(std::vector<Drawn> changed) : changed_(std::move(changed)) {}
  // As they are stored.
  explicit TrainExamples(Examples stored) : stored_(std::move(stored)) {}

  size_t size() const { return changed_.empty() ? stored_.records.size() : changed_.size(); }
  Drawn operator[](int64_t i) const {
    const auto at = static_cast<size_t>(i);
    return changed_.empty() ? Drawn{{stored_.examples[at]}, stored_.records[at]} : changed_[at];
  }
  int64_t record(int64_t i) const {
    return changed_.empty() ? stored_.records[static_cast<size_t>(i)]
                            : changed_[static_cast<size_t>(i)].record;
  }
  const std::vector<Drawn>& changed() const { return changed_; }

 private:
  std::vector<Drawn> changed_;
  Examples stored_;
};

// rewarded: with what the loss reads at each token.
TrainExamples encode(const Session& s, const SftTask& task, Inputs& inputs, bool rewarded) {
  Examples stored = encode_train_examples(s);
  if (!rewarded && task.filter == nullptr && !inputs.changes_examples())
    return TrainExamples(std::move(stored));
  if (s.train_records.large())
    s.progress->message(
        "all examples are kept in memory, as inputs, rewards or the filter read or change them");
  std::vector<Drawn> out;
  for (size_t i = 0; i < stored.examples.size(); ++i) {
    RewardedExample example{stored.examples[i]};
    const Record& record = s.train_records.kept(static_cast<size_t>(stored.records[i]));
    if (rewarded &&
        !set_rewards(*s.tokenizer, record, task.reward_column, "loss.name " + task.loss_name, example))
      continue;
    inputs.example(stored.records[i], record, example);
    out.push_back({std::move(example), stored.records[i]});
    s.train_records.forget();
  }
  const size_t unknown = stored.examples.size() - out.size();
  if (out.empty())
    user_error("data.train: the rewards of all segments of \"{}\" are null", task.reward_column);
  if (unknown > 0) {
    s.progress->message(fmt::format("{} of {} examples have no segment with a reward and are left out",
                                    unknown, stored.examples.size()));
  }
  return TrainExamples(std::move(out));
}

// What a step draws: single examples, or all examples of one prompt and file together.
class Units {
 public:
  Units(const Session& s, const TrainExamples& examples, bool by_prompt)
      : count_(static_cast<int64_t>(examples.size())), by_prompt_(by_prompt) {
    if (!by_prompt) return;
    std::map<std::pair<std::string, std::vector<int64_t>>, size_t> seen;
    for (int64_t i = 0; i < count_; ++i) {
      const Record record = s.train_records[static_cast<size_t>(examples.record(i))];
      const size_t unit =
          seen.try_emplace({record.file, s.encoder->prompt(record)}, together_.size()).first->second;
      if (unit == together_.size()) together_.emplace_back();
      together_[unit].push_back(i);
    }
  }

  int64_t size() const { return by_prompt_ ? static_cast<int64_t>(together_.size()) : count_; }
  std::vector<int64_t> operator[](int64_t unit) const {
    return by_prompt_ ? together_[static_cast<size_t>(unit)] : std::vector<int64_t>{unit};
  }
  int64_t first(int64_t unit) const {
    return by_prompt_ ? together_[static_cast<size_t>(unit)].front() : unit;
  }

 private:
  int64_t count_;
  bool by_prompt_;
  std::vector<std::vector<int64_t>> together_;
};

// Of a run that weighs its files; of any other none, and the order of data says what is drawn.
std::unique_ptr<Draws> weighted_draws(const Session& s, const SftTask& task, const TrainExamples& examples,
                                      const Units& units) {
  if (task.weights.size() < 2) return nullptr;
  const DataSection& data = s.config.data;
  std::vector<int64_t> sources;
  for (int64_t unit = 0; unit < units.size(); ++unit) {
    const std::string& file = s.train_records.file(static_cast<size_t>(examples.record(units.first(unit))));
    sources.push_back(std::find(data.train.begin(), data.train.end(), file) - data.train.begin());
  }
  return std::make_unique<Draws>(
      sources, DrawSettings{static_cast<uint64_t>(s.config.seed), data.epochs(), s.config.train.steps,
                            s.config.train.batch_size, task.weights, task.end_weights});
}

std::vector<int64_t> records_of(const TrainExamples& examples, const Units& units) {
  std::vector<int64_t> records;
  records.reserve(static_cast<size_t>(units.size()));
  for (int64_t unit = 0; unit < units.size(); ++unit) records.push_back(examples.record(units.first(unit)));
  return records;
}

// What the model as it is says of these units.
std::vector<Observation> observe_units(Session& s, const TrainExamples& examples, const Units& units,
                                       const std::vector<int64_t>& which) {
  std::vector<std::vector<Drawn>> drawn;
  std::vector<std::vector<const Example*>> of_units;
  for (const int64_t unit : which) {
    auto& some = drawn.emplace_back();
    for (const int64_t i : units[unit]) some.push_back(examples[i]);
  }
  for (const auto& some : drawn) {
    auto& of_unit = of_units.emplace_back();
    for (const Drawn& one : some) of_unit.push_back(&one.example);
  }
  return observe_now(s, of_units, which);
}

std::vector<double> losses_of(const std::vector<Observation>& seen) {
  std::vector<double> out;
  for (const Observation& one : seen) out.push_back(one.loss);
  return out;
}

// The rewards that losses read of examples' targets.
struct TargetRewards {
  std::vector<float> of_target;      // [M], sequence by sequence
  std::vector<int64_t> first = {0};  // [S + 1] each sequence's first
  std::vector<double> of_record;     // [S]: the mean of its targets'
  std::vector<double> of_segment;    // [R]: one a record, of a record in segments one a segment
};

TargetRewards rewards_of(const std::vector<Drawn>& examples) {
  TargetRewards out;
  for (const Drawn& d : examples) {
    const RewardedExample& e = d.example;
    const size_t targets = out.of_target.size(), segments = out.of_segment.size();
    double sum = 0;
    for (size_t t = 1; t < e.ids.size(); ++t) {  // nothing predicts the first
      if (!e.target[t]) continue;
      if (out.of_segment.size() == segments || e.reward[t] != out.of_segment.back())
        out.of_segment.push_back(e.reward[t]);
      out.of_target.push_back(static_cast<float>(e.reward[t]));
      sum += e.reward[t];
    }
    const bool one = out.of_segment.size() == segments + 1;
    const auto count = static_cast<double>(std::max<size_t>(out.of_target.size() - targets, 1));
    out.of_record.push_back(one ? out.of_segment.back() : sum / count);
    out.first.push_back(static_cast<int64_t>(out.of_target.size()));
  }
  return out;
}

at::Tensor floats(const std::vector<double>& values) {
  return at::tensor(values).to(at::kFloat);
}

// What the loss reads of a micro-batch of a step's examples, but for what the model says of them: `rewards`
// and `group` [S] are the step's.
objective::SupervisedBatch given(const Session& s, const objective::SupervisedNeeds& needs,
                                 const MicroBatch& micro, const TargetRewards& rewards,
                                 const at::Tensor& group) {
  objective::SupervisedBatch batch;
  batch.sequence = micro.targets.sequence;
  batch.sequences = micro.targets.sequences;
  const int64_t first = micro.sequences.front();
  if (needs.reward) {
    const int64_t from = rewards.first[first], to = rewards.first[first + batch.sequences];
    const std::vector<float> of_target(rewards.of_target.begin() + from, rewards.of_target.begin() + to);
    batch.token_reward = at::tensor(of_target).to(s.device());
    batch.reward = floats(rewards.of_record).narrow(0, first, batch.sequences).to(s.device());
  }
  if (needs.group) {  // whole groups, counted from the micro-batch's first
    batch.group = group.narrow(0, first, batch.sequences);
    batch.group = batch.group - batch.group[0];
    batch.groups = batch.group[-1].item<int64_t>() + 1;
  }
  return batch;
}

// A micro-batch's share of the loss, whose parts are divided by `count`.
// scores: takes in what the pass says of each example; null: nobody asks.
at::Tensor micro_loss(Session& s, const objective::SupervisedLoss& loss,
                      const objective::SupervisedNeeds& needs, const MicroBatch& micro,
                      const ForwardOptions& options, objective::SupervisedBatch batch, double count,
                      ExampleScores* scores) {
  LogpOptions wanted;
  wanted.top_k = scores != nullptr ? 1 : 0;
  wanted.mean_logp = needs.mean_logp;
  wanted.cosine = needs.cosine;
  const auto of_logp = [&](const at::Tensor& logp) {
    batch.logp = logp;
    return loss(batch).sum() / count;
  };
  const bool of_logp_alone = !needs.mean_logp && !needs.cosine && !needs.value && scores == nullptr;
  if (of_logp_alone && at::GradMode::is_enabled() && s.device().is_cpu())
    wanted.expected = objective::constant_gradient(micro.targets.token.size(0), of_logp);
  const at::Tensor hidden = s.model->hidden(micro.tokens, options);
  const LogpResult logp = s.logp(hidden, micro.targets, wanted);
  if (scores != nullptr) scores->note(micro, logp);
  batch.mean_logp = logp.mean_logp;
  batch.cosine = logp.cosine;
  if (needs.value) batch.value = model_scores(*s.model, hidden, micro.targets.source).select(1, 0);
  return of_logp(logp.logp);
}

// The run's filter as its state has it; null: none.
std::unique_ptr<MultistageFilter> filter_of(const Session& s, const SftTask& task,
                                            const TrainExamples& examples) {
  if (task.filter == nullptr) return nullptr;
  auto out = std::make_unique<MultistageFilter>(*task.filter, examples.changed(), s.config.train.steps,
                                                s.config.train.batch_size, s.model->config().vocab);
  if (s.state.loop.contains("filter")) out->load(s.state.loop["filter"], s.config.run);
  return out;
}

// Mean negative log-prob of the held-out targets.
void evaluate_loss(Session& s, const SftTask& task, const std::string& when, Evaluation& out) {
  const bool groups = std::any_of(s.eval_records.begin(), s.eval_records.end(), is_group);
  Records chosen;
  if (groups) chosen = task.chosen(s.config, s.eval_records.all("data.select"));
  const Records& records = groups ? chosen : s.eval_records;
  const Examples held_out = encode_examples(s, records);
  const size_t all = records.size();
  leave_out(s, out, "left_out", static_cast<int64_t>(all - held_out.examples.size()),
            static_cast<int64_t>(all), "examples");
  const std::optional<double> loss = held_out_loss(s, held_out.examples.all());
  if (!loss) {
    out.line = nothing_left(when, "loss");
    return;
  }
  out.row.values.emplace_back("loss", *loss);
  out.score = -*loss;
  out.line = fmt::format("{}: held-out loss {:.4f}", when, *loss);
}

}  // namespace

void SftTask::train(Session& s) const {
  const RunConfig& c = s.config;
  const auto loss_fn = loss->make();
  const objective::SupervisedNeeds needs = loss_fn->needs();
  std::string figures;
  if (chooses()) s.train_records = chosen(c, std::move(s.train_records.held("data.select")), &figures);
  if (!figures.empty()) s.progress->message("data.select " + figures);
  Inputs transforms(inputs, s);
  transforms.records();
  // All examples are encoded before the first step, so that a bad line costs no training time.
  const TrainExamples examples = encode(s, *this, transforms, needs.reward);
  if (needs.reward) {
    const std::string warning = loss_fn->warning(floats(rewards_of(examples.changed()).of_segment));
    if (!warning.empty()) s.progress->message(warning, LogLevel::kWarning);
  }
  const Units units(s, examples, needs.group);
  const auto draws = weighted_draws(s, *this, examples, units);
  RunOrder order(s, records_of(examples, units), c.train.batch_size);
  if (const auto wanted = order.wants_base(); !wanted.empty())
    order.observe_base(observe_units(s, examples, units, wanted));
  const auto filter = filter_of(s, *this, examples);

  s.evaluate_first([&](const std::string& when, Evaluation& out) { evaluate_loss(s, *this, when, out); });
  while (!s.done()) {
    s.begin_step();

    // The step's examples, as the inputs change them.
    std::optional<PhaseClock::Span> reading(std::in_place, *s.phases, Phase::kData);
    std::vector<Drawn> drawn;
    std::vector<int64_t> groups;
    int64_t cursor = s.state.cursor;  // the state keeps its own until nothing can interrupt the step
    const auto draw = [&] {
      std::vector<int64_t> out;
      if (draws != nullptr) out = draws->step(cursor / c.train.batch_size);
      while (static_cast<int64_t>(out.size()) < c.train.batch_size)
        out.push_back(order.at(cursor + static_cast<int64_t>(out.size())));
      cursor += c.train.batch_size;
      return out;
    };
    // With a filter a unit is an example; their losses are as they are stored, without what the inputs make
    // of them.
    const std::vector<int64_t> taken =
        filter == nullptr ? draw()
                          : filter->batch(s.state.step, draw, [&](const std::vector<int64_t>& which) {
                              return losses_of(observe_units(s, examples, units, which));
                            });
    for (size_t g = 0; g < taken.size(); ++g) {
      for (const int64_t i : units[taken[g]]) {
        drawn.push_back(examples[i]);
        groups.push_back(static_cast<int64_t>(g));
      }
    }
    transforms.step(drawn);
    s.state.cursor = cursor;

    // Packed end to end.
    std::vector<Sequence> sequences;
    int64_t tokens = 0, targets = 0;
    for (size_t i = 0; i < drawn.size(); ++i) {
      sequences.push_back(whole_sequence(drawn[i].example, groups[i]));
      sequences.back().joined = needs.group && i > 0 && groups[i] == groups[i - 1];
      tokens += static_cast<int64_t>(drawn[i].example.ids.size());
    }
    const auto batches = s.pack(sequences, false);
    reading.reset();
    for (const MicroBatch& batch : batches) targets += batch.targets.token.size(0);
    const bool by_token = loss_fn->unit() == objective::SupervisedUnit::kToken;
    const double count = static_cast<double>(by_token ? targets : c.train.batch_size);

    TargetRewards rewards;
    if (needs.reward) rewards = rewards_of(drawn);
    const at::Tensor group = at::tensor(groups, at::kLong).to(s.device());
    loss_fn->prepare(needs.reward ? floats(rewards.of_segment) : at::Tensor());
    ExampleScores scores(batches);
    const bool filter_observes = filter != nullptr && filter->observes();
    ExampleScores* const observed = order.observes() || filter_observes ? &scores : nullptr;
    const UpdateOutcome done = s.update(batches, [&](const MicroBatch& micro) {
      ForwardOptions options = s.forward_options(true);
      options.embedding_noise = transforms.embedding_noise(drawn, micro);
      return LossShare{micro_loss(s, *loss_fn, needs, micro, options, given(s, needs, micro, rewards, group),
                                  count, observed)};
    });
    if (order.observes()) order.observe(scores.of_units(s, taken, groups));
    if (filter_observes) filter->observe(losses_of(scores.of_units(s, taken, groups)));

    MetricsRow row;
    row.values = {{"loss", done.loss},
                  {"grad_norm", done.grad_norm},
                  {"lr", done.lr},
                  {"targets", static_cast<double>(targets)},
                  {"skipped", done.skipped ? 1.0 : 0.0}};
    for (const auto& value : order.metrics()) row.values.push_back(value);
    if (filter != nullptr) {
      filter->add_metrics(row);
      s.state.loop["filter"] = filter->state();
    }
    s.end_step(std::move(row), {"loss", "grad_norm", "lr"}, tokens);
  }
}

}  // namespace temper
