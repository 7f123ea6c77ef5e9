// The folder of a run in rounds: rounds/02/1-answers/ is the first phase's of the second round. A phase is
// done when its phase.json is there, which is written last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/records.h"
#include "task/rounds/phase.h"

namespace temper {

struct RoundsTask;

class RoundsFolder {
 public:
  // run: the run's folder, which is there.
  RoundsFolder(std::string run, const RoundsTask& task);

  std::string phase_folder(int64_t round, size_t index) const;
  // What a phase left, if it is done. Throws UserError for a phase.json that cannot be read.
  std::optional<PhaseResult> result(int64_t round, size_t index) const;
  void write_result(int64_t round, size_t index, const PhaseResult& result) const;

  // The file of lines that the phase of this name left last, before phase `index` of `round`. Throws
  // UserError when it has not run yet.
  std::string lines(const std::string& name, int64_t round, size_t index) const;
  // Those of all rounds up to then, the oldest first.
  std::vector<std::string> all_lines(const std::string& name, int64_t round, size_t index) const;
  // The model that was trained last before then; `base` when there was none.
  std::string last_model(const std::string& base, int64_t round, size_t index) const;
  // The run folder of the training of this name before then; empty: there was none.
  std::string last_training(const std::string& name, int64_t round, size_t index) const;
  // What the phase of this name chose last. Throws UserError when it has not run yet.
  Json chosen(const std::string& name, int64_t round, size_t index) const;
  // Removes the weights of all but the last `keep` models that were trained up to then.
  void forget_models(int64_t keep, int64_t round, size_t index) const;

 private:
  // What is before phase `index` of `round` and done, the newest first, while `each` says so.
  template <class F>
  void back_from(int64_t round, size_t index, F each) const;

  std::string run_;
  const RoundsTask& task_;
};

// The lines of a file, which may have none. Throws as read_records.
std::vector<Record> read_lines(const std::string& file);
void write_lines(const std::string& file, const std::vector<Record>& records);

}  // namespace temper
