#include "train/groups/hints.h"

#include <algorithm>

#include "base/error.h"
#include "train/config.h"
#include "train/session.h"

namespace temper {

void HintSection::fields(FieldVisitor& v) {
  v.field("column", column,
          {.help = "the records' column that holds a hint; groups without any right answer are asked again "
                   "with it; empty: off"});
  if (column.empty()) return;
  v.field("text", text, {.help = "what is put behind the prompt, in a chat behind its last question"});
  v.field("at_most", at_most, {.help = "a group is asked again when no reward of it is above this"});
  v.field("keep", keep,
          {.help = "completions of such a group that stay, sampled without the hint", .min = 0});
  v.field("conditions", conditions,
          {.help = "the prompt that learnt log-probs stand behind: the hinted one that was sampled from, or "
                   "the plain one that evaluations ask",
           .choices = {"hinted", "plain"}});
  v.field("from_step", from_step,
          {.help = "hints begin when so many steps are done", .unit = "steps", .min = 0});
}

void HintSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (on() && text.find("{hint}") == std::string::npos)
    problems.push_back(
        fmt::format("{}.text: expected \"{{hint}}\" where the hint goes, found \"{}\"", where, text));
}

namespace {

std::string with_hint(std::string text, const std::string& hint) {
  const std::string mark = "{hint}";
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += hint.size())
    text.replace(at, mark.size(), hint);
  return text;
}

}  // namespace

Hints::Hints(Session& s, const HintSection& section) : section_(section) {
  if (s.environment != nullptr && s.environment->opens())
    user_error(
        "hint: the environment puts messages of its own behind the prompt, where the hint would stand; "
        "leave out one of the two");
  int64_t hints = 0, long_ones = 0;
  for (const Record& record : s.train_records) {
    records_.emplace_back();
    prompts_.emplace_back();
    if (!has_column(record.json, section_.column)) continue;
    auto hinted = std::make_shared<Record>(record);
    append_words(*hinted, with_hint(section_.text, text_column(record, section_.column, "hint.column")));
    prompts_.back() = s.encoder->prompt(*hinted);
    if (prompts_.back().empty()) {
      ++long_ones;
      continue;
    }
    records_.back() = std::move(hinted);
    ++hints;
  }
  if (hints == 0) {
    user_error("hint.column: {} of {} prompts have a \"{}\"{}", hints, records_.size(), section_.column,
               long_ones > 0 ? " that fits into data.max_tokens" : "");
  }
  std::string line = fmt::format("{} of {} prompts have a hint", hints, records_.size());
  if (long_ones > 0) line += fmt::format("; {} with theirs are longer than data.max_tokens", long_ones);
  s.tell_once(line);
}

bool Hints::wanted(const RolloutGroup& g) const {
  const auto above = [&](const Rollout& r) { return r.reward && *r.reward > section_.at_most; };
  return records_.at(static_cast<size_t>(g.record)) != nullptr &&
         std::none_of(g.rollouts.begin(), g.rollouts.end(), above);
}

int64_t Hints::ask_again(Session& s, const GroupMake& make, std::vector<RolloutGroup>& groups,
                         double& scoring_seconds) const {
  if (s.state.step < section_.from_step) return 0;
  const bool learns_hinted = section_.conditions == "hinted";
  std::vector<size_t> places;
  std::vector<RolloutGroup> again;
  for (size_t i = 0; i < groups.size(); ++i) {
    const RolloutGroup& plain = groups[i];
    if (!wanted(plain)) continue;
    const auto record = static_cast<size_t>(plain.record);
    RolloutGroup g;
    g.draw = plain.draw, g.record = plain.record;
    g.prompt = prompts_[record];
    g.prompt_text = s.encoder->prompt_text(*records_[record]);
    if (s.environment != nullptr) g.asked = records_[record];
    places.push_back(i);
    again.push_back(std::move(g));
  }
  if (again.empty()) return 0;
  GroupMake hinted = make;
  hinted.again = true;
  hinted.has_already = section_.keep;
  scoring_seconds += sample_groups(s, hinted, again);
  int64_t given_up = 0;
  for (size_t i = 0; i < again.size(); ++i) {
    RolloutGroup &g = again[i], &plain = groups[places[i]];
    for (Rollout& r : g.rollouts) {
      r.hinted = true;
      if (!learns_hinted) r.routes.clear();  // those were behind the hint
    }
    for (size_t k = 0; k < plain.rollouts.size(); ++k) {
      Rollout& r = plain.rollouts[k];
      if (static_cast<int64_t>(k) >= section_.keep) {
        given_up += r.tokens();
        continue;
      }
      if (learns_hinted) r.prompt = plain.prompt;
      g.rollouts.push_back(std::move(r));
    }
    if (!learns_hinted) g.prompt = plain.prompt;
    plain = std::move(g);
  }
  return given_up;
}

}  // namespace temper
