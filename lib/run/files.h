// What a run reads besides its config: the same files are part of the same run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

// A file or folder that a config names.
struct NamedPath {
  std::string field, path;  // "data.train", "x.jsonl"
};

// A file, or of a folder the files that loaders read, as they are now.
struct RunFile {
  std::string field, path;  // "data.train", in the order of the config
  uint64_t bytes = 0;
  std::string fingerprint;
};

// The identity of each path. What is not there is left out; who reads it says so. Of a folder: weights,
// tokenizer and configs by their endings (.safetensors .json .jsonl .jinja .model .txt .gguf), not
// subfolders; of an adapter's also those of its base model's. Programs of process rewards are not part of it.
// Reads every byte, at about 2 GB/s.
std::vector<RunFile> run_files(const std::vector<NamedPath>& paths);

Json to_json(const std::vector<RunFile>& files);
// A line for every file that is not what `before`, a to_json(), says of the same field and path.
std::vector<std::string> changed_files(const Json& before, const std::vector<RunFile>& now,
                                       const std::string& where);

}  // namespace temper
