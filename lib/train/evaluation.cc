#include "train/evaluation.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "eval/evaluate.h"
#include "rollout/constrained.h"
#include "train/config.h"
#include "train/held_out_loss.h"
#include "train/reference_scores.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {
namespace {

// Completions of the held-out prompts, scored by the run's rewards.
void evaluate_samples(Session& s, const std::string& when, Evaluation& out) {
  std::vector<EvalPrompt> prompts;
  std::vector<std::shared_ptr<const Record>> records;
  const uint64_t seed =
      static_cast<uint64_t>(s.config.seed) ^ 0x6576616cULL;  // apart from the training rollouts
  for (size_t i = 0; i < s.eval_records.size(); ++i) {
    const Record& record = s.eval_records.kept(i);
    std::shared_ptr<const Record> asked(std::shared_ptr<const Record>(), &record);
    if (s.environment != nullptr) asked = opened_record(*s.environment, record, seed, prompts.size());
    std::vector<int64_t> ids = s.encoder->prompt(*asked);
    if (ids.empty()) continue;
    prompts.push_back({std::move(ids), s.encoder->prompt_text(*asked), &record.json});
    records.push_back(std::move(asked));
  }
  const auto all = static_cast<int64_t>(s.eval_records.size());
  leave_out(s, out, "prompts_left_out", all - static_cast<int64_t>(prompts.size()), all, "prompts");
  if (prompts.empty()) {
    if (out.line.empty()) out.line = nothing_left(when, "reward");
    return;
  }
  const RolloutSection& rollout = s.config.task->sampling();
  SamplingOptions sampling = rollout;
  sampling.temperature = s.config.eval.temperature;
  sampling.ban.insert(sampling.ban.end(), s.banned.begin(), s.banned.end());
  if (s.config.eval.max_new_tokens > 0) sampling.max_new_tokens = s.config.eval.max_new_tokens;
  EngineOptions engine;
  engine.max_batch = rollout.max_batch;
  engine.seed = seed;
  engine.step = static_cast<uint64_t>(s.state.step);
  engine.end_ids = s.end_ids;
  EvalOptions options;
  options.samples = s.config.eval.samples;
  const auto generated = [&](const std::vector<GenerateRequest>& mine) {
    std::unique_ptr<Conversations> conversations;
    if (s.environment != nullptr) {
      std::vector<Asked> asked;
      for (size_t i = 0; i < mine.size(); ++i)
        asked.push_back({records[s.ranks.nth_mine(i)], mine[i].stream_index});
      conversations = s.conversations(std::move(asked), engine.seed, engine.step, true);
      engine.respondent = conversations.get();
    }
    return generate(*s.model, *s.tokenizer, mine, sampling, engine, [&](const EngineProgress& p) {
      s.check_signal_in_share();
      s.progress->inner(
          fmt::format("evaluating {}/{}, {} tokens", p.finished, p.total, format_count(p.tokens)));
    });
  };
  const auto stop = [&](int signal) { s.stop_for(signal); };
  const auto scored = [&](const std::vector<RewardItem>& items) {
    const auto score = [&](const std::vector<RewardItem>& mine) {
      return s.rewards->parts(mine, [&] { s.check_signal_in_share(); });
    };
    std::vector<ScoredItem> out = shared_scores(s.ranks, items, score, stop);
    std::vector<const ReferenceScores*> reference;
    for (size_t i = 0; s.rewards->reference_samples() > 0 && i < items.size(); ++i)
      reference.push_back(&s.state.eval_reference_scores.at(static_cast<int64_t>(i) / options.samples));
    s.rewards->settle(items, out, reference);
    return out;
  };
  std::vector<ReferencePrompt> asked;
  for (size_t p = 0; p < prompts.size(); ++p)
    asked.push_back({static_cast<int64_t>(p), &prompts[p].ids, prompts[p].text, prompts[p].columns});
  add_reference_scores(s, asked, s.state.eval_reference_scores);
  auto requests = eval_requests(prompts, *s.rewards, options);
  for (size_t i = 0; i < requests.size(); ++i)
    requests[i].constraint = record_constraint(sampling, records[i]->json, records[i]->where());
  const EvalResult result = score_completions(prompts, shared_completions(s.ranks, requests, generated, stop),
                                              *s.rewards, options, scored);

  for (const Figure& f : result.figures) out.row.values.emplace_back(f.name, f.value);
  // The headline: the share of correct answers where a verifier says what is correct, else the reward.
  const Figure* headline = result.find("accuracy");
  if (headline == nullptr) headline = result.find("reward");
  if (headline != nullptr) {
    out.row.values.emplace_back("low", headline->interval.low);
    out.row.values.emplace_back("high", headline->interval.high);
    out.row.values.emplace_back("n", static_cast<double>(headline->count));
    out.score = headline->value;
    out.line = fmt::format("{}: held-out {} {:.3f} [{:.3f}, {:.3f}] on {} prompts", when, headline->name,
                           headline->value, headline->interval.low, headline->interval.high, headline->count);
  } else if (out.line.empty()) {
    out.line = fmt::format("{}: no held-out reward: all of {} are null", when, result.samples.size());
  }
  for (const EvalSample& e : result.samples) {
    SampleRow row;
    row.prompt = prompts[e.prompt].text;
    row.completion = e.completion.text;
    for (size_t i = 0; i < e.score.parts.size(); ++i) {
      const Score& part = e.score.parts[i];
      row.rewards.emplace_back(result.reward_names[i], part.value);
      row.add_words(result.reward_names[i], part.text, part.outcome);
      if (s.rewards->transforms(i)) row.transformed.emplace_back(result.reward_names[i], e.score.counted[i]);
    }
    row.reward = e.score.total;
    row.finish = finish_name(e.completion.finish);
    row.tokens = e.completion.policy_tokens();
    if (e.completion.conversation) row.messages = e.completion.conversation->messages;
    out.samples.push_back(std::move(row));
  }
}

}  // namespace

void leave_out(Session& s, Evaluation& out, const std::string& name, int64_t left_out, int64_t all,
               const std::string& what) {
  if (left_out == 0) return;
  out.row.values.emplace_back(name, static_cast<double>(left_out));
  s.tell_once(fmt::format("{} of {} held-out {} are longer than max_tokens {} and left out", left_out, all,
                          what, s.config.data.max_tokens));
}

std::string nothing_left(const std::string& when, const std::string& figure) {
  return fmt::format("{}: no held-out {}, as nothing held out is left", when, figure);
}

Evaluation evaluate_run(Session& s, const HeldOut& held_out) {
  Evaluation out;
  out.row.split = "eval";
  out.row.step = s.state.step;
  const std::string when = s.state.step == 0 ? "before training" : fmt::format("after step {}", s.state.step);
  s.progress->inner("evaluating");
  if (held_out && s.config.data.has_eval()) held_out(when, out);
  if (s.rewards != nullptr && s.config.data.has_eval()) evaluate_samples(s, when, out);
  evaluate_loss_sets(s, when, out);
  return out;
}

}  // namespace temper
