// Checkpoints of a run folder: checkpoints/step-N/ with state.json, trainable.safetensors,
// optimizer.safetensors, reference.safetensors where a reference model moves, adapter.safetensors where the
// adapter keeps tensors beside what trains, replay.jsonl where groups are replayed (a ReplayItem a line,
// oldest first), and, last of all, DONE, which lists the files with their sizes and fingerprints. Without a
// DONE that fits, a checkpoint does not exist.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/done.h"
#include "run/state.h"
#include "tensor/safetensors.h"

namespace temper {

struct CheckpointInfo {
  int64_t step = 0;
  std::string folder;
  bool whole = false;   // by DONE and the files' sizes
  std::string problem;  // why it is not
  Done done;
};

// In order of steps. A run folder without checkpoints has none.
std::vector<CheckpointInfo> list_checkpoints(const std::string& run_folder);

// Tensors of a file; each is asked for once, when its turn to be written comes (safetensors_order).
struct LazyTensors {
  LazyTensors() = default;
  LazyTensors(std::vector<TensorSpec> specs, std::function<at::Tensor(size_t)> produce)
      : specs(std::move(specs)), produce(std::move(produce)) {}
  LazyTensors(const NamedTensors& tensors);  // that are there
  LazyTensors(const std::map<std::string, at::Tensor>& tensors)
      : LazyTensors(NamedTensors(tensors.begin(), tensors.end())) {}

  std::vector<TensorSpec> specs;
  std::function<at::Tensor(size_t)> produce;
};

// Written under another name, synced, renamed. Throws UserError (disk full ...) with earlier checkpoints
// untouched. trainable is written first, then optimizer.
void write_checkpoint(const std::string& run_folder, const RunState& state, const LazyTensors& trainable,
                      const LazyTensors& optimizer, const LazyTensors& reference = {},
                      const LazyTensors& adapter = {});

struct LoadedCheckpoint {
  RunState state;
  std::map<std::string, at::Tensor> trainable, optimizer, reference, adapter;
};
// Every byte is read against its fingerprint first. Throws UserError on any damage.
LoadedCheckpoint read_checkpoint(const CheckpointInfo& info);

// Reads the newest of `all` (in order of steps) and gives it to `take`. Damage, and whatever `take` throws as
// a UserError, passes it over, with a warning, for the one before it; what was passed over is no checkpoint
// any more. Returns the step that was taken; none when none was whole. Throws UserError when some could be
// read and `take` took none of them: then nothing is changed.
std::optional<int64_t> take_newest(const std::vector<CheckpointInfo>& all,
                                   const std::function<void(LoadedCheckpoint, const CheckpointInfo&)>& take);

// Removes all but the newest `keep` whole checkpoints and the one of `best_step`, if any.
void prune_checkpoints(const std::string& run_folder, int64_t keep, std::optional<int64_t> best_step);

}  // namespace temper
