// generate: answers of a model to prompts, scored, a line a prompt. It is done in parts, so that a run that
// was interrupted goes on with the next of them; as every sample draws from its own stream, the parts change
// no answer.
#include "task/rounds/generate.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "task/rounds/config.h"
#include "task/rounds/folder.h"
#include "task/rounds/group_lines.h"
#include "task/rounds/phases.h"
#include "task/rounds/sampler.h"

namespace temper {
namespace {

constexpr int64_t kPart = 64;  // prompts; rewards that place answers among others see those of a part

struct GenerateOptions : AskOptions {
  int64_t n = 1;
  SamplingOptions sampling;
  std::string sampling_from, column = "completions";
  bool score = true, logprobs = false;

  void fields(FieldVisitor& v) override {
    AskOptions::fields(v);
    v.field("n", n, {.help = "answers to each prompt", .min = 1, .max = 1 << 16});
    v.section("sampling", sampling, "how they are sampled");
    v.field("sampling_from", sampling_from,
            {.help = "a phase \"tune\" whose chosen sampling stands over this one"});
    v.field("column", column,
            {.help = "where the answers are written: a list, beside their rewards; with another name than "
                     "\"completions\" and n 1 the answer alone"});
    v.field("score", score, {.help = "score the answers by the rewards"});
    v.field("logprobs", logprobs, {.help = "write the log-prob of each token of the answers"});
  }
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override {
    AskOptions::check_phase(config, index, where, problems);
    const auto& task = static_cast<const RoundsTask&>(*config.task);
    if (sampling_from.empty()) return;
    const bool there = std::any_of(task.phases.begin(), task.phases.end(), [&](const PhaseEntry& p) {
      return p.name == sampling_from && p.kind == "tune";
    });
    if (!there)
      problems.push_back(
          fmt::format("{}.sampling_from: there is no phase \"tune\" named {}", where, sampling_from));
  }
  bool writes_lines() const override { return true; }
  PhaseResult run(PhaseWork& work) const override;
};

std::string part_file(const PhaseWork& w, int64_t part) {
  return fmt::format("{}/part-{:05}.jsonl", w.folder, part);
}

// How many parts an earlier start has made.
int64_t parts_made(const PhaseWork& w) {
  int64_t made = 0;
  if (w.ranks.first()) {
    while (fs::exists(part_file(w, made))) ++made;
  }
  return std::stoll(w.ranks.from_first(std::to_string(made)));
}

// The parts together become the phase's lines.
void join_parts(const PhaseWork& w, int64_t parts) {
  std::string text;
  for (int64_t part = 0; part < parts; ++part) text += read_file(part_file(w, part));
  write_file_atomic(w.folder + "/" + kLinesFile, text);
}

// From the last one on: parts_made() counts what an interruption leaves.
void remove_parts(const PhaseWork& w) {
  for (int64_t part = parts_made(w); part-- > 0;)
    if (w.ranks.first()) fs::remove(part_file(w, part));
}

const std::vector<std::string> kNoNames;

// Means over all answers, also over those of parts that were made before an interruption.
PhaseResult figures_of(const std::vector<Record>& lines, const std::string& column) {
  double answers = 0, truncated = 0, scored = 0, reward = 0;
  const std::string rewards = column == kCompletions ? "rewards" : column + "_rewards";
  const auto add = [&](const Json& x) {
    if (!x.is_number()) return;
    reward += x.get<double>();
    scored += 1;
  };
  for (const Record& line : lines) {
    const Json& j = line.json;
    answers += j.at(column).is_array() ? static_cast<double>(j[column].size()) : 1;
    const Json said = j.value(rewards, Json());
    if (!said.is_array()) add(said);
    for (size_t i = 0; said.is_array() && i < said.size(); ++i) add(said[i]);
    if (column != kCompletions) continue;
    for (const Json& finish : j.at("finish"))
      truncated += finish == finish_name(FinishReason::kLength) ? 1 : 0;
  }
  PhaseResult out;
  out.figures.push_back({"answers", answers});
  if (column == kCompletions) out.figures.push_back({"truncated", truncated / answers});
  if (scored > 0) out.figures.push_back({"reward", reward / scored});
  return out;
}

}  // namespace

PhaseResult GenerateOptions::run(PhaseWork& w) const {
  const std::string file = w.folder + "/" + kLinesFile;
  if (!fs::exists(file)) {
    SamplingOptions sampling = this->sampling;
    if (!sampling_from.empty())
      read_fields(sampling, w.done.chosen(sampling_from, w.round, w.index).at("sampling"), w.where(), "");
    std::vector<Record> records = this->records(w), prompts_of = asked(w.config, records);
    const auto rewards = score ? make_rewards(w.config) : nullptr;
    PhaseSampler sampler(w, model_folder(w), prefix, prompts_of);
    const auto seed = w.seed("generate");
    const std::vector<EvalPrompt> all = sampler.prompts(prompts_of, rewards.get(), seed, &records);
    const auto total = static_cast<int64_t>(all.size());
    const int64_t parts = (total + kPart - 1) / kPart;
    for (int64_t part = parts_made(w); part < parts; ++part) {
      const int64_t first = part * kPart, last = std::min(total, first + kPart);
      const std::vector<Record> some(prompts_of.begin() + first, prompts_of.begin() + last);
      const std::vector<EvalPrompt> some_prompts(all.begin() + first, all.begin() + last);
      const auto answers =
          sampler.sample(some, some_prompts, {n, sampling, seed, static_cast<uint64_t>(first)});
      std::vector<ScoredItem> scores;
      if (rewards != nullptr) {
        std::vector<RewardItem> items;
        for (size_t i = 0; i < answers.size(); ++i)
          for (const Completion& c : answers[i])
            items.push_back(reward_item(some_prompts[i].text, some_prompts[i].columns, c));
        scores = sampler.score(*rewards, items);
      }
      std::string text;
      for (size_t i = 0; i < answers.size(); ++i) {
        const Record& record = records[static_cast<size_t>(first) + i];
        const ScoredItem* said = rewards == nullptr ? nullptr : &scores[i * static_cast<size_t>(n)];
        const Answered answered{answers[i], said, rewards == nullptr ? kNoNames : rewards->names(), logprobs};
        text += dump_line(column == kCompletions ? group_line(record, answered)
                                                 : column_line(record, some[i], column, answered)) +
                "\n";
      }
      if (w.ranks.first()) write_file_atomic(part_file(w, part), text);
      w.options.console->status(fmt::format("{}: {}/{} prompts answered", w.where(), last, total));
    }
    if (w.ranks.first()) join_parts(w, parts);
    w.ranks.from_first("");
  }
  remove_parts(w);
  return figures_of(read_lines(file), column);
}

std::unique_ptr<PhaseOptions> generate_phase() {
  return std::make_unique<GenerateOptions>();
}

}  // namespace temper
