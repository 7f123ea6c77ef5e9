#include "task/rounds/phases.h"

#include "base/error.h"
#include "base/random.h"
#include "task/rounds/config.h"
#include "train/shared.h"

namespace temper {

const Registry<PhaseOptions>& phase_registry() {
  static const Registry<PhaseOptions> registry = [] {
    Registry<PhaseOptions> r("phase");
    r.add(
        {"generate", "a model's answers to prompts, scored: a line of groups a prompt", "", generate_phase});
    r.add({"tune", "of several samplings and thresholds the one with the highest balance score",
           "Zeng et al., B-STaR, arXiv 2412.17256", tune_phase});
    r.add({"select", "lines to train on, chosen of what earlier phases left", "", select_phase});
    r.add({"train", "a whole training of any task on what earlier phases left", "", train_phase});
    r.add({"merge", "models that were trained side by side become one",
           "periodic merging: Jang et al., Model Stock, arXiv 2403.19522", merge_phase});
    r.add({"evaluate", "figures of the newest model on held-out prompts", "", evaluate_phase});
    return r;
  }();
  return registry;
}

void PhaseEntry::fields(FieldVisitor& v) {
  v.choice_here("kind", options, kind, phase_registry());
  v.field("name", name, {.help = "what other phases and the metrics call it; left out: its kind"});
  if (name.empty()) name = kind;
  v.field(
      "first_round", first_round,
      {.help = "the first round that it runs in, from 1; 0, for evaluations, is before the first. Left out: "
               "the first that can be",
       .min = 0});
  v.field("last_round", last_round, {.help = "the last one; left out: that of the run", .min = 0});
}

void PhaseEntry::check(std::vector<std::string>& problems, const std::string& where) const {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  };
  for (const char c : name) {
    if (plain(c)) continue;
    problems.push_back(
        fmt::format("{}.name: \"{}\" names a folder: expected letters, digits, _ and -", where, name));
    break;
  }
  if (first() == 0 && options != nullptr && !options->evaluates())
    problems.push_back(fmt::format("{}.first_round: 0 is for evaluations, expected at least 1", where));
  if (last_round && *last_round < first())
    problems.push_back(fmt::format("{}.last_round: {} is before the first, {}", where, *last_round, first()));
}

std::string PhaseWork::where() const {
  const std::string& name = task.phases[index].name;
  return round == 0 ? fmt::format("before the first round, {}", name)
                    : fmt::format("round {}, {}", round, name);
}

uint64_t PhaseWork::seed(const std::string& purpose) const {
  RandomStream stream(static_cast<uint64_t>(config.seed), purpose, static_cast<uint64_t>(round), index);
  return stream.next() >> 2;  // as a config's seed may be
}

void PhaseWork::check_signal() const {
  if (const int signal = options.stop == nullptr ? 0 : options.stop->pending()) throw SignalSeen(signal);
}

void PhaseWork::say(const std::string& line, LogLevel level) const {
  if (ranks.first()) options.console->line(line, level);
}

void PhaseWork::stop_for(int signal) const {
  throw Interrupted(signal);
}

}  // namespace temper
