// The phases of a run in rounds. A phase is a file of this folder and a line of phases.cc: it reads what
// earlier phases wrote, and leaves what it wrote in a folder of its own, which a person can read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "dist/ranks.h"
#include "run/files.h"
#include "train/config.h"
#include "train/session.h"

namespace temper {

struct RoundsTask;
class RoundsFolder;

// What a phase has to say of its work in numbers. low, high: of the 95 % interval, where there is one.
struct PhaseFigure {
  std::string name;
  double value = 0;
  std::optional<double> low = {}, high = {};
};

// What a finished phase left.
struct PhaseResult {
  std::vector<PhaseFigure> figures;
  std::string model;      // train: the folder of the model that it trained, within the phase's folder
  Json chosen = nullptr;  // tune: what later phases go by
};

// What a phase works with.
struct PhaseWork {
  const RunConfig& config;
  const RoundsTask& task;
  const RunOptions& options;
  const RoundsFolder& done;  // the phases before this one
  Ranks& ranks;
  int64_t round = 1;   // from 1; 0: of the model that the run starts from, before the first
  size_t index = 0;    // of the phase
  std::string folder;  // its own; it is there, perhaps with what an interrupted start left

  std::string where() const;                        // for messages: "round 2, answers"
  uint64_t seed(const std::string& purpose) const;  // of its random streams: another one in each round
  // Inside of what the ranks share out: throws SignalSeen (train/shared.h) when a signal has come.
  void check_signal() const;
  void say(const std::string& line, LogLevel level = LogLevel::kInfo) const;
  // On all ranks at once: throws Interrupted.
  [[noreturn]] void stop_for(int signal) const;
};

// The name of the file of JSON lines that a phase leaves for others.
inline constexpr const char* kLinesFile = "lines.jsonl";

struct PhaseOptions : Fields {
  // Of a config that was read whole. where: "phases.2".
  virtual void check_phase(const RunConfig& config, size_t index, const std::string& where,
                           std::vector<std::string>& problems) const {}
  // Replaces what stands for other values, once.
  virtual void resolve(const RunConfig& config, size_t index) {}
  // Files that it names inside of a part that is read later.
  virtual std::vector<NamedPath> further_paths(const RunConfig& config) const { return {}; }
  // What the plan says of it; null: nothing.
  virtual Json plan(const RunConfig& config, int64_t ranks) const { return nullptr; }
  virtual bool writes_lines() const { return false; }
  // And so may run before the first round, as round 0.
  virtual bool evaluates() const { return false; }
  // Does the work, or what is left of it. Called on all ranks; rank 0 alone writes. Throws UserError,
  // Interrupted.
  virtual PhaseResult run(PhaseWork& work) const = 0;
};
const Registry<PhaseOptions>& phase_registry();

// An entry of "phases".
struct PhaseEntry : Fields {
  std::string kind, name;
  std::optional<int64_t> first_round, last_round;
  std::unique_ptr<PhaseOptions> options;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  int64_t first() const { return first_round.value_or(options && options->evaluates() ? 0 : 1); }
  bool runs_in(int64_t round) const { return round >= first() && (!last_round || round <= *last_round); }
};

}  // namespace temper
