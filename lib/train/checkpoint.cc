#include "train/checkpoint.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace temper {
namespace {

const char* const kFiles[] = {"state.json", "trainable.safetensors", "optimizer.safetensors"};
const char* const kReference = "reference.safetensors";  // these two of some runs
const char* const kAdapter = "adapter.safetensors";

std::string checkpoints_folder(const std::string& run_folder) {
  return run_folder + "/checkpoints";
}

std::map<std::string, at::Tensor> read_tensors(const std::string& path) {
  std::map<std::string, at::Tensor> out;
  SafetensorsFile file(path);
  for (const TensorInfo& info : file.tensors()) out[info.name] = file.tensor(info);
  return out;
}

CheckpointInfo inspect(const std::string& folder, int64_t step) {
  CheckpointInfo info{step, folder, false, "", 0};
  try {
    const Json done = read_json_file(folder + "/DONE");
    for (const auto& [name, size] : done.at("files").items()) {
      std::error_code error;
      const auto found = fs::file_size(folder + "/" + name, error);
      if (error) user_error("{} is missing", name);
      if (found != size.get<uint64_t>())
        user_error("{} has {} bytes, expected {}", name, found, size.get<uint64_t>());
      info.bytes += found;
    }
    for (const char* name : kFiles) {
      if (!done.at("files").contains(name)) user_error("{} is not part of it", name);
    }
    info.whole = true;
  } catch (const std::exception& e) {
    info.problem = e.what();
  }
  return info;
}

}  // namespace

std::vector<CheckpointInfo> list_checkpoints(const std::string& run_folder) {
  std::vector<CheckpointInfo> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(checkpoints_folder(run_folder), error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) != 0 || name.find_first_not_of("0123456789", 5) != std::string::npos ||
        name.size() > 20)
      continue;
    out.push_back(inspect(entry.path().string(), std::stoll(name.substr(5))));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return out;
}

std::optional<CheckpointInfo> newest_checkpoint(const std::string& run_folder) {
  const auto all = list_checkpoints(run_folder);
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    if (it->whole) return *it;
    log_warning("{}: passed over, not whole: {}", it->folder, it->problem);
  }
  return std::nullopt;
}

void write_checkpoint(const std::string& run_folder, const RunState& state, const NamedTensors& trainable,
                      const std::map<std::string, at::Tensor>& optimizer, const NamedTensors& reference,
                      const std::map<std::string, at::Tensor>& adapter) {
  const std::string folder = fmt::format("{}/step-{}", checkpoints_folder(run_folder), state.step);
  const std::string temporary = folder + ".tmp";
  std::error_code error;
  fs::remove_all(temporary, error);
  if (!fs::create_directories(temporary, error))
    user_error("{}: cannot create the folder: {}", temporary, error.message());
  try {
    write_safetensors(temporary + "/trainable.safetensors", trainable);
    write_safetensors(temporary + "/optimizer.safetensors", NamedTensors(optimizer.begin(), optimizer.end()));
    std::vector<std::string> names(std::begin(kFiles), std::end(kFiles));
    const auto write_some = [&](const char* name, const NamedTensors& tensors) {
      if (tensors.empty()) return;
      write_safetensors(temporary + "/" + name, tensors);
      names.emplace_back(name);
    };
    write_some(kReference, reference);
    write_some(kAdapter, NamedTensors(adapter.begin(), adapter.end()));
    write_file_atomic(temporary + "/state.json", state.to_json().dump(1) + "\n");
    Json files = Json::object();
    for (const std::string& name : names) files[name] = fs::file_size(temporary + "/" + name);
    write_file_atomic(temporary + "/DONE", Json{{"step", state.step}, {"files", files}}.dump(1) + "\n");
    sync_path(temporary);
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
  fs::remove_all(folder, error);  // a broken one of the same step
  fs::rename(temporary, folder, error);
  if (error) user_error("{}: cannot rename into place: {}", folder, error.message());
  sync_path(checkpoints_folder(run_folder));
}

LoadedCheckpoint read_checkpoint(const CheckpointInfo& info) {
  const std::string state = info.folder + "/state.json";
  const auto read_some = [&](const std::string& name) {
    const std::string path = info.folder + "/" + name;
    return fs::exists(path) ? read_tensors(path) : std::map<std::string, at::Tensor>();
  };
  return {RunState::from_json(read_json_file(state), state),
          read_tensors(info.folder + "/trainable.safetensors"),
          read_tensors(info.folder + "/optimizer.safetensors"), read_some(kReference), read_some(kAdapter)};
}

void prune_checkpoints(const std::string& run_folder, int64_t keep, int64_t best_step) {
  const auto all = list_checkpoints(run_folder);
  int64_t kept = 0;
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    if (it->whole && kept < keep) {
      ++kept;
    } else if (it->step != best_step) {
      // DONE goes first, so that a removal cut short leaves no half checkpoint that looks whole.
      std::error_code error;
      fs::remove(it->folder + "/DONE", error);
      fs::remove_all(it->folder, error);
    }
  }
}

}  // namespace temper
