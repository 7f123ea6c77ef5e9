// The folder of a run: its resolved config, the identity of the files it reads, its lock, and whether a new
// start or a continuation is meant.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/lock.h"
#include "run/checkpoint.h"
#include "run/files.h"

namespace temper {

struct RunFolder {
  std::unique_ptr<FileLock> lock;           // no other process works in the folder while it lives
  std::vector<CheckpointInfo> checkpoints;  // whole and others, in order of steps; none: a new start
  // The files that the run reads are others than at its start, and that was accepted; written down by
  // accept_files().
  bool data_changed = false;
};

// Makes the folder and writes config.json and data.json, or, where a run is already, checks that its config
// and the content of the files it reads are the same (UserError that shows each difference) and gives its
// checkpoints. resume: auto; must: UserError without a checkpoint; never: UserError when there is a run.
// accept_changed_data: changed files are warned about and the run goes on. What a process that was killed
// left half written is removed. UserError that names the process when another one works in the folder.
// config: resolved; its "run" is left out, as the folder may be moved. reads: all that the config names.
// complete: a run's config of before with the fields that are new since.
RunFolder open_run_folder(const std::string& run, Json config, const std::vector<NamedPath>& reads,
                          const std::string& resume, bool accept_changed_data,
                          const std::function<Json(const Json&)>& complete);

// Removes what processes that were killed left half written in a run's folder and among its checkpoints. Only
// for who holds the folder's lock, or that of the run that it is part of.
void remove_leftovers(const std::string& run);

// From now on the files as they are belong to the run.
void accept_files(const std::string& run, const std::vector<NamedPath>& reads);

}  // namespace temper
