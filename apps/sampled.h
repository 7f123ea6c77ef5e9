// temper-eval --data: answers that are sampled, scored and measured.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/output.h"
#include "base/progress.h"
#include "decoding.h"
#include "eval/batch_size.h"
#include "eval/budgets.h"
#include "eval/evaluate.h"
#include "eval/partial.h"
#include "eval/select/selected.h"
#include "eval_arguments.h"
#include "questions.h"
#include "rethinking.h"

namespace temper {

// How far the sampling is: a status line on a terminal, elsewhere a line now and then.
class SamplingProgress {
 public:
  explicit SamplingProgress(Console& console) : console_(console) {}
  void show(const EngineProgress& p) {
    const double seconds = now() - begun_;
    std::string text =
        fmt::format("eval {}/{} answers, {} tokens", p.finished, p.total, format_count(p.tokens));
    if (seconds > 1)
      text += fmt::format(", {} tok/s",
                          format_count(static_cast<int64_t>(static_cast<double>(p.tokens) / seconds)));
    if (p.finished > 0 && seconds > 1)
      text += fmt::format(", {} left", format_duration(seconds * static_cast<double>(p.total - p.finished) /
                                                       static_cast<double>(p.finished)));
    if (console_.terminal()) return console_.status(text);
    if (now() - told_ < kPlainStep) return;
    told_ = now();
    console_.line(text);
  }

 private:
  static constexpr double kPlainStep = 30;  // seconds
  static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  Console& console_;
  double begun_ = now(), told_ = now();
};

// What completions depend on, beside the programs' version: prompts, model and settings.
inline Json sampling_settings(const EvalArguments& a, const Questions& q) {
  Fingerprint prompts, weights;
  for (const EvalPrompt& prompt : q.prompts) {
    prompts.add(static_cast<int64_t>(prompt.ids.size()));
    prompts.add(prompt.ids.data(), prompt.ids.size() * sizeof(int64_t));
  }
  for (const auto& constraint : q.constraints) {
    if (constraint != nullptr) prompts.add(constraint->regex).add(dump_line(constraint->json_schema));
  }
  std::vector<std::string> folders = {a.model.path};
  for (const std::string& adapter : a.adapters) folders.push_back(adapter.substr(0, adapter.rfind('@')));
  for (const std::string& folder : folders) {
    std::vector<std::string> files;
    if (fs::is_directory(folder)) {
      for (const auto& entry : fs::directory_iterator(folder))
        if (entry.is_regular_file()) files.push_back(entry.path().string());
    } else if (fs::exists(folder)) {
      files.push_back(folder);
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files)
      weights.add(file)
          .add(static_cast<int64_t>(fs::file_size(file)))
          .add(static_cast<int64_t>(fs::last_write_time(file).time_since_epoch().count()));
  }
  return {
      {"model", a.model.path},        {"adapters", a.adapters},       {"files", weights.hex()},
      {"dtype", a.model.dtype},       {"quantise", a.model.quantise}, {"device", a.model.device},
      {"prompts", prompts.hex()},     {"n", a.eval.samples},          {"seed", a.seed},
      {"speculation", a.speculation}, {"search", a.search},           {"environment", a.environment},
      {"template", a.chat_template},  {"budgets", q.budgets},         {"sampling", dump_fields(a.sampling)}};
}

// The figures of sampled answers; lines: a line of JSON for each sample. done: called when the lines are
// saved.
inline Json sampled_figures(const EvalArguments& a, Questions& q, const Wording& words, Model& model,
                            const std::vector<int64_t>& end_ids, const std::function<void()>& check_signal,
                            Console& console, std::string& lines, std::function<void()>& done) {
  auto requests = eval_requests(q.prompts, *q.rewards, a.eval);
  for (size_t i = 0; i < requests.size(); ++i) requests[i].constraint = q.constraints[i];
  EngineOptions engine;
  engine.seed = a.seed;
  engine.end_ids = end_ids;
  const auto speculation = read_speculation(a.speculation, "--speculation");
  engine.speculation = speculation.get();
  const auto searching = read_text_search(a.search, "--search");
  engine.max_batch = a.max_batch;
  if (a.max_batch == 0) {
    const at::Device device = model.precision().device;
    engine.max_batch = batch_in_memory(model, requests, a.sampling.max_new_tokens, device.is_cpu() ? 64 : 512,
                                       free_bytes(device));
  }
  std::shared_ptr<PartialCompletions> partial;
  if (!a.output.empty() && !output_target(a.output).direct) {
    partial = std::make_shared<PartialCompletions>(a.output, sampling_settings(a, q));
    if (partial->found() > 0)
      log_info("{}: the answers to {} prompts are there; going on", partial->path(), partial->found());
    done = [partial] { partial->remove(); };
  }
  SamplingProgress progress(console);
  std::vector<EvalResult> results;
  // environment: null: there are no turns.
  const auto answered = [&](const std::vector<GenerateRequest>& all, size_t part,
                            const Conversing* environment) {
    const auto run = [&](const std::vector<GenerateRequest>& some, const EndedRequest& ended) {
      std::unique_ptr<Conversations> conversations;
      if (environment != nullptr)
        conversations = environment->begin(q.records, some, *q.encoder, a.seed, check_signal);
      EngineOptions of_part = engine;
      if (environment == nullptr) of_part.step = part;  // a round of thinking again draws anew
      of_part.respondent = conversations.get();
      of_part.on_request = ended;
      return decode(model, *words.tokenizer, some, a.sampling, of_part, searching.get(),
                    [&](const EngineProgress& p) {
                      check_signal();
                      progress.show(p);
                    });
    };
    return generate_missing(all, partial.get(), static_cast<int64_t>(part), run);
  };
  const auto scored = [&](std::vector<std::vector<Completion>> completions) {
    results.push_back(score_completions(
        q.prompts, std::move(completions), *q.rewards, a.eval,
        [&](const std::vector<RewardItem>& items) { return q.rewards->score(items, check_signal); }));
  };
  for (size_t part = 0; part < q.environments.size(); ++part)
    scored(answered(requests, part, q.environments[part].get()));
  for (int64_t round = 1; round <= a.rethink; ++round) {
    scored(asked_anew(q, results.back(), a.max_tokens, [&](const std::vector<GenerateRequest>& again) {
      return answered(again, static_cast<size_t>(round), nullptr);
    }));
    add_round(results, round + 1);
  }
  if (!a.select.empty())
    select_answers(read_selectors(a.select, "--select"), q.prompts, a.eval, results.front(),
                   {a.seed, check_signal});
  for (size_t i = 0; i < results.size(); ++i) {
    for (const EvalSample& sample : results[i].samples) {
      Json line = results[i].sample_json(sample, q.prompts, a.eval.diversity);
      if (!q.budgets.empty()) line["budget"] = q.budgets[i];
      if (a.rethink > 0) line["round"] = i + 1;
      lines += dump_line(line) + "\n";
    }
  }
  Json out = q.budgets.empty() ? results.front().to_json()
                               : over_budgets(q.budgets, results, a.eval.level).to_json();
  if (q.given > q.prompts.size()) out["left_out"] = q.given - q.prompts.size();
  return out;
}

}  // namespace temper
