// Distillation: at every target token the student learns the teachers' distribution over the whole
// vocabulary, on stored completions or on its own samples. Which divergence: the "algorithm" section.
#include "train/distill.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "objective/distill.h"
#include "train/tasks.h"
#include "train/teachers.h"

namespace temper {
namespace {

const std::vector<int64_t> kNoPrompt;

// A record that fits into max_tokens.
struct Stored {
  Example example;
  int64_t record = 0;  // its index in the data
};

std::vector<Stored> encode(const Session& s, const std::vector<Record>& records) {
  std::vector<Stored> out;
  for (size_t i = 0; i < records.size(); ++i) {
    Example example = s.encoder->supervised(records[i]);
    if (!example.ids.empty()) out.push_back({std::move(example), static_cast<int64_t>(i)});
  }
  return out;
}

void add_sequence(const Stored& stored, std::vector<Sequence>& out) {
  out.push_back({&kNoPrompt, &stored.example.ids, &stored.example.target, static_cast<int64_t>(out.size())});
}

// The student's parts of a loss on a micro-batch.
DivergenceResult parts_of(Session& s, const MicroBatch& batch, bool training) {
  const int64_t vocab = shared_vocabulary(s);
  const Parameter& head = s.model->head();
  const at::Tensor hidden = s.model->hidden(batch.tokens, s.forward_options(training));
  const bool padded = head.compute.size(0) > vocab;
  return objective::distill_parts(*s.config.distill.algorithm, hidden, head.compute.narrow(0, 0, vocab),
                                  padded ? head.master.narrow(0, 0, vocab) : head.master,
                                  teacher_states(s, batch.tokens), batch.targets);
}

// What the metrics of a step or an evaluation are the means of.
struct Sums {
  double loss = 0, divergence = 0, nll = 0, teacher_nll = 0, targets = 0;
  void add(const at::Tensor& value, const DivergenceResult& parts) {
    const auto sum = [](const at::Tensor& t) { return t.detach().sum(at::kDouble).item<double>(); };
    loss += sum(value);
    divergence += sum(parts.divergence);
    nll += sum(parts.nll);
    teacher_nll += sum(parts.teacher_nll);
    targets += static_cast<double>(value.size(0));
  }
};

// A step's sequences and what they point to.
struct Step {
  std::vector<std::vector<int64_t>> prompts;
  std::vector<Completion> completions;  // the student's own
  std::vector<Sequence> sequences;
  int64_t tokens = 0, targets = 0;
};

// GKD: a step of the student's own answers to the records' prompts, one each.
void sample(Session& s, const std::vector<const Stored*>& stored, Step& step) {
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < stored.size(); ++i) {
    step.prompts.push_back(s.encoder->prompt(s.train_records[stored[i]->record]));
    requests.push_back({step.prompts.back(), 1, static_cast<uint64_t>(s.state.cursor) + i});
  }
  EngineOptions engine;
  engine.max_batch = s.config.rollout.max_batch;
  engine.seed = static_cast<uint64_t>(s.config.seed);
  engine.step = static_cast<uint64_t>(s.state.step);
  engine.end_ids = s.end_ids;
  auto all =
      generate(*s.model, *s.tokenizer, requests, s.config.rollout, engine, [&](const EngineProgress& p) {
        s.check_signal();
        s.progress->inner(
            fmt::format("sampling {}/{}, {} tokens", p.finished, p.total, format_count(p.tokens)));
      });
  for (auto& completions : all) step.completions.push_back(std::move(completions.front()));
  for (size_t i = 0; i < stored.size(); ++i) {
    step.sequences.push_back({&step.prompts[i], &step.completions[i].ids, nullptr, static_cast<int64_t>(i)});
  }
}

std::vector<SampleRow> sample_rows(const Session& s, const Step& step) {
  std::vector<SampleRow> out;
  for (size_t i = 0; i < step.completions.size(); ++i) {
    const Completion& c = step.completions[i];
    SampleRow row;
    row.prompt = s.tokenizer->decode(step.prompts[i]);
    row.completion = c.text;
    row.finish = finish_name(c.finish);
    row.tokens = static_cast<int64_t>(c.ids.size());
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace

void train_distill(Session& s) {
  const RunConfig& c = s.config;
  const bool samples = c.distill.on_policy_share > 0;
  // All records are encoded before the first step, so that a bad line costs no training time.
  const std::vector<Stored> examples = encode(s, s.train_records);
  if (examples.empty()) user_error("data.train: no example is within max_tokens {}", c.data.max_tokens);
  if (examples.size() < s.train_records.size()) {
    s.progress->message(fmt::format("{} of {} examples are longer than max_tokens {} and left out",
                                    s.train_records.size() - examples.size(), s.train_records.size(),
                                    c.data.max_tokens));
  }
  int64_t longest = 0;
  for (const Stored& e : examples) {
    longest = std::max(longest, static_cast<int64_t>(e.example.ids.size()));
    if (!samples) continue;
    const auto prompt = static_cast<int64_t>(s.encoder->prompt(s.train_records[e.record]).size());
    longest = std::max(longest, prompt + c.rollout.max_new_tokens);
  }
  load_teachers(s, longest);
  const RecordOrder order(static_cast<int64_t>(examples.size()), static_cast<uint64_t>(c.seed), c.data.order);

  s.evaluate_first();
  while (s.state.step < c.train.steps) {
    s.begin_step();

    // Own samples or stored completions: one draw a step.
    const bool own =
        RandomStream(static_cast<uint64_t>(c.seed), "on-policy", s.state.step).uniform() < c.distill.on_policy_share;
    std::vector<const Stored*> stored;
    for (int64_t i = 0; i < c.train.batch_size; ++i)
      stored.push_back(&examples[order.at(s.state.cursor + i)]);
    Step step;
    if (own) {
      sample(s, stored, step);
      s.log->write_samples(s.state.step + 1, "train", sample_rows(s, step));
    } else {
      for (const Stored* e : stored) add_sequence(*e, step.sequences);
    }
    s.state.cursor += c.train.batch_size;

    const auto batches =
        cut_into_micro_batches(step.sequences, c.train.micro_batch_tokens, false, s.device());
    for (const MicroBatch& batch : batches) {
      step.tokens += batch.tokens.tokens();
      step.targets += batch.targets.token.size(0);
    }

    // The mean over all targets of the step of the distance between the two distributions.
    Sums sums;
    const UpdateOutcome done = s.update(batches, c.train.steps, [&](const MicroBatch& batch) {
      const DivergenceResult parts = parts_of(s, batch, true);
      const at::Tensor value = c.distill.algorithm->combine(parts.divergence, parts.nll);
      sums.add(value, parts);
      return value.sum() / static_cast<double>(step.targets);
    });

    MetricsRow row;
    row.values = {{"loss", done.loss},
                  {"divergence", sums.divergence / sums.targets},
                  {"nll", sums.nll / sums.targets},
                  {"teacher_nll", sums.teacher_nll / sums.targets},
                  {"grad_norm", done.grad_norm},
                  {"lr", done.lr},
                  {"targets", sums.targets},
                  {"skipped", done.skipped ? 1.0 : 0.0}};
    if (samples) row.values.emplace_back("on_policy", own ? 1.0 : 0.0);
    s.end_step(std::move(row), {"loss", "divergence", "nll", "grad_norm"}, step.tokens);
  }
}

void evaluate_distill(Session& s, const std::string& when, Evaluation& out) {
  at::NoGradGuard guard;
  const std::vector<Stored> examples = encode(s, s.eval_records);
  std::vector<Sequence> sequences;
  for (const Stored& e : examples) add_sequence(e, sequences);
  Sums sums;
  for (const MicroBatch& batch :
       cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens, false, s.device())) {
    const DivergenceResult parts = parts_of(s, batch, false);
    sums.add(s.config.distill.algorithm->combine(parts.divergence, parts.nll), parts);
  }
  const double n = std::max(sums.targets, 1.0);
  out.row.values = {{"loss", sums.loss / n},
                    {"divergence", sums.divergence / n},
                    {"nll", sums.nll / n},
                    {"teacher_nll", sums.teacher_nll / n}};
  out.score = -sums.loss / n;
  out.line = fmt::format("{}: held-out loss {:.4f}, divergence {:.4f}, nll {:.4f} (teacher {:.4f})", when,
                         sums.loss / n, sums.divergence / n, sums.nll / n, sums.teacher_nll / n);
}

}  // namespace temper
