// Checkpoints of a run folder: checkpoints/step-N/ with state.json, trainable.safetensors,
// optimizer.safetensors, reference.safetensors where a reference model moves, adapter.safetensors where the
// adapter keeps tensors beside what trains, and, last of all, DONE, which lists the files with their sizes
// and fingerprints. Without a DONE that fits, a checkpoint does not exist.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
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

// Written under another name, synced, renamed. Throws UserError (disk full ...) with earlier checkpoints
// untouched.
void write_checkpoint(const std::string& run_folder, const RunState& state, const NamedTensors& trainable,
                      const std::map<std::string, at::Tensor>& optimizer, const NamedTensors& reference = {},
                      const std::map<std::string, at::Tensor>& adapter = {});

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
