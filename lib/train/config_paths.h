// The files and folders that a config names.
#pragma once

#include <string>
#include <vector>

#include "run/files.h"

namespace temper {

struct RunConfig;

// All that are not empty, but for the run's own folder: data, stored responses, model, tokenizer, teachers,
// their caches, reward models, an earlier run's schedule, and the chat template where it is a file.
std::vector<NamedPath> config_paths(const RunConfig& config);

// A line for each that is not there: "data.train: x.jsonl: there is no such file or folder".
std::vector<std::string> missing_paths(const RunConfig& config);

// load_run_config (config.h) of a run that is to start: what is not there is among the problems it throws.
void load_startable_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets,
                           int64_t processes = 1);

}  // namespace temper
