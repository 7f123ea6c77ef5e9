// Distillation: at every target token the student learns the teachers' distribution over the whole
// vocabulary, on stored completions or on its own samples. Which divergence: the "algorithm" section.
#include "objective/distill/distill.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "objective/policy/policy.h"
#include "rollout/constrained.h"
#include "task/distill/config.h"
#include "task/distill/teacher_cache.h"
#include "task/distill/teachers.h"
#include "tensor/gather_logp.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/examples.h"
#include "train/run_order.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {
namespace {

// The student beside its teachers on a micro-batch.
DivergenceResult parts_of(Session& s, const objective::DistillOptions& algorithm, const Teachers& teachers,
                          const MicroBatch& batch, bool training) {
  const int64_t vocab = teachers.shared_vocabulary();
  const Parameter& head = s.model->head();
  const at::Tensor hidden = s.model->hidden(batch.tokens, s.forward_options(training));
  const bool padded = head.compute.size(0) > vocab;
  return objective::distill_parts(algorithm, hidden, head.compute.narrow(0, 0, vocab),
                                  padded ? head.master.narrow(0, 0, vocab) : head.master,
                                  s.model->config().logits, teachers.states(batch.tokens), batch.targets);
}

// The student beside a teacher's drawn tokens: the divergence is the cross entropy with them, which is that
// of the teacher less a constant.
DivergenceResult cached_parts(Session& s, const MicroBatch& batch, const TeacherCache::Rows& drawn) {
  const Parameter& head = s.model->head();
  const at::Tensor hidden = s.model->hidden(batch.tokens, s.forward_options(true));
  const at::Tensor data = batch.targets.token.unsqueeze(1), token = drawn.token.to(s.device());
  const at::Tensor logp = gather_logp(hidden, head.compute, head.master, batch.targets.source,
                                      at::cat({token, data}, 1), s.model->config().logits);
  const int64_t draws = token.size(1);
  return {objective::sampled_cross_entropy(logp.narrow(1, 0, draws), drawn.weight.to(s.device())),
          -logp.select(1, draws),
          {}};
}

using Metrics = std::map<std::string, double>;

// What the metrics of a step or an evaluation are the means of, over targets: the sums of a micro-batch.
Metrics sums_of(const at::Tensor& value, const DivergenceResult& parts) {
  const auto sum = [](const at::Tensor& t) {
    return t.defined() ? t.detach().sum(at::kDouble).item<double>() : 0.0;
  };
  return {{"loss", sum(value)},
          {"divergence", sum(parts.divergence)},
          {"nll", sum(parts.nll)},
          {"teacher_nll", sum(parts.teacher_nll)},
          {"targets", static_cast<double>(value.size(0))}};
}

// A step's sequences and what they point to.
struct Step {
  std::vector<std::vector<int64_t>> prompts;
  std::vector<Completion> completions;  // the student's own
  std::vector<Example> examples;        // stored ones
  std::vector<Sequence> sequences;
  std::vector<int64_t> drawn;  // which stored examples the sequences are
  int64_t tokens = 0, targets = 0;
};

// The student's own answers to the records' prompts, one each.
void sample(Session& s, const RolloutSection& rollout, const Examples& stored, Step& step) {
  const auto span = s.phases->in(Phase::kGenerate);
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < step.drawn.size(); ++i) {
    const Record record = s.train_records[static_cast<size_t>(stored.records[step.drawn[i]])];
    step.prompts.push_back(s.encoder->prompt(record));
    requests.push_back({step.prompts.back(), 1, static_cast<uint64_t>(s.state.cursor) + i});
    requests.back().constraint = record_constraint(rollout, record.json, record.where());
  }
  EngineOptions engine;
  engine.max_batch = rollout.max_batch;
  engine.seed = static_cast<uint64_t>(s.config.seed);
  engine.step = static_cast<uint64_t>(s.state.step);
  engine.end_ids = s.end_ids;
  auto all = generate(*s.model, *s.tokenizer, requests, rollout, engine, [&](const EngineProgress& p) {
    s.check_signal();
    s.progress->inner(fmt::format("sampling {}/{}, {} tokens", p.finished, p.total, format_count(p.tokens)));
  });
  for (auto& completions : all) step.completions.push_back(std::move(completions.front()));
  for (size_t i = 0; i < step.drawn.size(); ++i) {
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

// MiniLLM: an advantage for each token of the step's own samples, [M], from a pass without gradient.
at::Tensor advantages(Session& s, const objective::MiniLlmOptions& minillm, const Teachers& teachers,
                      const std::vector<MicroBatch>& batches) {
  const at::NoGradGuard guard;
  const auto span = s.phases->in(Phase::kForward);
  std::vector<at::Tensor> student(batches.size()), teacher(batches.size()), sequence;
  for (size_t i = 0; i < batches.size(); ++i) {
    sequence.push_back(batches[i].targets.sequence + batches[i].sequences.front());
    if (!s.ranks.mine(i)) continue;
    const DivergenceResult parts = parts_of(s, minillm, teachers, batches[i], false);
    student[i] = -parts.nll;
    teacher[i] = -parts.teacher_nll;
  }
  share_numbers(s.ranks, batches, student);
  share_numbers(s.ranks, batches, teacher);
  const at::Device device = sequence.front().device();
  return minillm.advantage(at::cat(student).to(device), at::cat(teacher).to(device), at::cat(sequence));
}

// A chat's prompt for an answer may be longer than the stored chat, when the template opens the answer.
void drop_long_prompts(Session& s, Examples& stored) {
  Examples kept;
  for (size_t i = 0; i < stored.examples.size(); ++i) {
    const Record record = s.train_records[static_cast<size_t>(stored.records[i])];
    record_constraint(s.config.task->sampling(), record.json, record.where());  // before the long part
    if (s.encoder->prompt(record).empty()) continue;
    kept.examples.push_back_from(stored.examples, i);
    kept.records.push_back(stored.records[i]);
  }
  const size_t all = stored.records.size(), left = kept.records.size();
  if (left == 0)
    user_error("{}: no prompt is within max_tokens {}", s.config.data.train_field(),
               s.config.data.max_tokens);
  if (left < all)
    s.progress->message(fmt::format("{} of {} prompts are longer than max_tokens {} and left out", all - left,
                                    all, s.config.data.max_tokens));
  stored = std::move(kept);
}

// The longest sequence of the run; throws UserError when the student has too few positions for it.
int64_t longest_sequence(const Session& s, const Examples& stored, bool samples) {
  const RunConfig& c = s.config;
  int64_t longest = 0;
  for (size_t i = 0; i < stored.examples.size(); ++i) {
    longest = std::max(longest, static_cast<int64_t>(stored.examples[i].ids.size()));
    if (!samples) continue;
    const Record record = s.train_records[static_cast<size_t>(stored.records[i])];
    const auto prompt = static_cast<int64_t>(s.encoder->prompt(record).size());
    longest = std::max(longest, prompt + c.task->sampling().max_new_tokens);
  }
  if (longest > s.model->config().max_positions) {
    user_error("{}: the student has {} positions, but sequences may have {} tokens; lower data.max_tokens{}",
               c.model.path.empty() ? "model.init" : c.model.path, s.model->config().max_positions, longest,
               samples ? " or rollout.max_new_tokens" : "");
  }
  return longest;
}

// Null: the run has none. Throws UserError when it is of other data.
std::unique_ptr<TeacherCache> open_cache(const Session& s, const std::string& path, const Examples& stored) {
  if (path.empty()) return nullptr;
  const DataSection& data = s.config.data;
  auto cache = std::make_unique<TeacherCache>(path);
  cache->check(
      cache_identity(*s.tokenizer, stored.examples.all(), data.train, data.encoding(), data.chat_template));
  return cache;
}

// The held-out figures: the run's loss, the divergence from the teachers, and the negative log-likelihood of
// the targets.
void evaluate_student(Session& s, const objective::DistillOptions& algorithm, const Teachers& teachers,
                      const std::string& when, Evaluation& out) {
  at::NoGradGuard guard;
  const Examples stored = encode_examples(s, s.eval_records);
  const size_t all = s.eval_records.size();
  leave_out(s, out, "left_out", static_cast<int64_t>(all - stored.examples.size()), static_cast<int64_t>(all),
            "examples");
  const std::vector<Example> examples = stored.examples.all();
  std::vector<Sequence> sequences;
  for (const Example& e : examples)
    sequences.push_back(whole_sequence(e, static_cast<int64_t>(sequences.size())));
  const auto batches = s.pack(sequences, false);
  // Of a run on a cache alone the held-out tokens are all there is to compare with.
  const bool beside_teachers = !teachers.empty();
  Metrics sums = s.sums_over(batches, [&](const MicroBatch& batch) {
    if (beside_teachers) {
      const DivergenceResult parts = parts_of(s, algorithm, teachers, batch, false);
      return sums_of(algorithm.combine(parts.divergence, parts.nll), parts);
    }
    const at::Tensor nll = -model_logp(*s.model, batch.tokens, batch.targets).logp;
    return sums_of(nll, {{}, nll, {}});
  });
  const double n = sums["targets"];
  if (n == 0) {
    out.line = nothing_left(when, "loss");
    return;
  }
  if (beside_teachers) {
    out.row.values.insert(out.row.values.end(),
                          {{"loss", sums["loss"] / n}, {"divergence", sums["divergence"] / n}});
    out.line =
        fmt::format("{}: held-out loss {:.4f}, divergence {:.4f}, nll {:.4f} (teacher {:.4f})", when,
                    sums["loss"] / n, sums["divergence"] / n, sums["nll"] / n, sums["teacher_nll"] / n);
  } else {
    out.line = fmt::format("{}: held-out nll {:.4f}", when, sums["nll"] / n);
  }
  out.row.values.emplace_back("nll", sums["nll"] / n);
  if (beside_teachers) out.row.values.emplace_back("teacher_nll", sums["teacher_nll"] / n);
  out.score = -sums["loss"] / n;
}

}  // namespace

void DistillTask::train(Session& s) const {
  const RunConfig& c = s.config;
  const objective::DistillOptions& algorithm = *this->algorithm;
  const auto* minillm = dynamic_cast<const objective::MiniLlmOptions*>(&algorithm);
  const auto policy_gradient = objective::policy_registry().find("gpg")->make()->objective->make();
  const double share = minillm != nullptr ? 1 : on_policy_share;

  // All records are encoded before the first step, so that a bad line costs no training time.
  Examples stored = encode_train_examples(s);
  if (share > 0) drop_long_prompts(s, stored);
  const int64_t longest = longest_sequence(s, stored, share > 0);
  const auto drawn = open_cache(s, cache, stored);
  const Teachers models(s, *this, longest);
  const RunOrder order(s, stored.records, c.train.batch_size);

  s.evaluate_first(
      [&](const std::string& when, Evaluation& out) { evaluate_student(s, algorithm, models, when, out); });
  while (!s.done()) {
    s.begin_step();

    // Stored completions or the student's own: GKD draws once a step.
    const bool own = RandomStream(static_cast<uint64_t>(c.seed), "on-policy", s.state.step).uniform() < share;
    Step step;
    for (int64_t i = 0; i < c.train.batch_size; ++i) step.drawn.push_back(order.at(s.state.cursor + i));
    if (own) {
      sample(s, rollout, stored, step);
      s.log->write_samples(s.state.step + 1, "train", sample_rows(s, step));
    } else {
      for (const int64_t i : step.drawn) step.examples.push_back(stored.examples[static_cast<size_t>(i)]);
      for (const Example& example : step.examples)
        step.sequences.push_back(whole_sequence(example, static_cast<int64_t>(step.sequences.size())));
    }
    s.state.cursor += c.train.batch_size;

    const auto batches = s.pack(step.sequences, false);
    std::vector<int64_t> first_target;  // of each micro-batch, among the step's
    for (const MicroBatch& batch : batches) {
      first_target.push_back(step.targets);
      step.tokens += batch.tokens.tokens();
      step.targets += batch.targets.token.size(0);
    }
    at::Tensor advantage;
    if (minillm != nullptr) advantage = advantages(s, *minillm, models, batches);

    // The mean over all targets of the step.
    const UpdateOutcome done = s.update(batches, [&](const MicroBatch& batch) {
      DivergenceResult parts;
      if (drawn != nullptr) {
        std::vector<int64_t> examples;
        for (const int64_t sequence : batch.sequences) examples.push_back(step.drawn[sequence]);
        parts = cached_parts(s, batch, drawn->rows(examples));
      } else {
        parts = parts_of(s, algorithm, models, batch, true);
      }
      at::Tensor value = algorithm.combine(parts.divergence, parts.nll);
      if (minillm != nullptr) {
        objective::PolicyBatch samples;
        samples.logp = -parts.nll;
        samples.sequence = batch.targets.sequence;
        samples.sequences = batch.targets.sequences;
        const int64_t first = first_target[&batch - batches.data()];
        samples.token_advantage = advantage.narrow(0, first, samples.logp.size(0));
        const at::Tensor gradient = (*policy_gradient)(samples).value;
        value = minillm->single_step ? value + gradient : gradient;
      }
      return LossShare{value.sum() / static_cast<double>(step.targets), sums_of(value, parts)};
    });
    const auto mean = [&](const char* name) { return done.metrics.at(name) / done.metrics.at("targets"); };

    MetricsRow row;
    row.values = {{"loss", done.loss}};
    row.values.emplace_back(drawn ? "cross_entropy" : "divergence", mean("divergence"));
    row.values.emplace_back("nll", mean("nll"));
    if (!drawn) row.values.emplace_back("teacher_nll", mean("teacher_nll"));
    row.values.emplace_back("grad_norm", done.grad_norm);
    row.values.emplace_back("lr", done.lr);
    row.values.emplace_back("targets", done.metrics.at("targets"));
    row.values.emplace_back("skipped", done.skipped ? 1.0 : 0.0);
    if (share > 0) row.values.emplace_back("on_policy", own ? 1.0 : 0.0);
    s.end_step(std::move(row), {"loss", "divergence", "nll", "grad_norm"}, step.tokens);
  }
}

}  // namespace temper
