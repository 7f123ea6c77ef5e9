// Checkpoints of a run folder: checkpoints/step-N/ with state.json, trainable.safetensors,
// optimizer.safetensors, reference.safetensors where a reference model moves, adapter.safetensors where the
// adapter keeps tensors beside what trains, and, last of all, DONE, which lists the files and their sizes.
// Without a DONE that fits, a checkpoint does not exist.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tensor/safetensors.h"
#include "train/state.h"

namespace temper {

struct CheckpointInfo {
  int64_t step = 0;
  std::string folder;
  bool whole = false;
  std::string problem;  // why it is not
  uint64_t bytes = 0;
};

// In order of steps. A run folder without checkpoints has none.
std::vector<CheckpointInfo> list_checkpoints(const std::string& run_folder);
// The newest whole one; broken ones are warned about and passed over.
std::optional<CheckpointInfo> newest_checkpoint(const std::string& run_folder);

// Written under another name, synced, renamed. Throws UserError (disk full ...) with earlier checkpoints
// untouched.
void write_checkpoint(const std::string& run_folder, const RunState& state, const NamedTensors& trainable,
                      const std::map<std::string, at::Tensor>& optimizer, const NamedTensors& reference = {},
                      const std::map<std::string, at::Tensor>& adapter = {});

struct LoadedCheckpoint {
  RunState state;
  std::map<std::string, at::Tensor> trainable, optimizer, reference, adapter;
};
LoadedCheckpoint read_checkpoint(const CheckpointInfo& info);

// Removes all but the newest `keep` whole checkpoints and the one of `best_step` (0: none).
void prune_checkpoints(const std::string& run_folder, int64_t keep, int64_t best_step);

}  // namespace temper
