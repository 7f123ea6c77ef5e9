#include "run/checkpoint.h"

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/output.h"

namespace temper {
namespace {

const char* const kFiles[] = {"state.json", "trainable.safetensors", "optimizer.safetensors"};
const char* const kReference = "reference.safetensors";  // these two of some runs
const char* const kAdapter = "adapter.safetensors";
const char* const kReplay = "replay.jsonl";

std::string checkpoints_folder(const std::string& run_folder) {
  return run_folder + "/checkpoints";
}

std::map<std::string, at::Tensor> read_tensors(const std::string& path) {
  std::map<std::string, at::Tensor> out;
  SafetensorsFile file(path);
  for (const TensorInfo& info : file.tensors()) out[info.name] = file.tensor(info);
  return out;
}

void write_replay(const std::string& path, const std::vector<ReplayItem>& items) {
  FileStream out(path);
  for (const ReplayItem& item : items) {
    const std::string line = item.to_line() + "\n";
    out.write(line.data(), line.size());
  }
  out.commit();
}

std::vector<ReplayItem> read_replay(const std::string& path, int64_t steps) {
  std::vector<ReplayItem> out;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const std::string where = fmt::format("{}:{}", path, out.size() + 1);
    out.push_back(ReplayItem::from_line(line, where));
    if (out.back().step >= steps)
      user_error("{}: step: a group sampled after {} steps, the state is of {}", where, out.back().step,
                 steps);
  }
  return out;
}

CheckpointInfo inspect(const std::string& folder, int64_t step) {
  CheckpointInfo info{step, folder, false, "", {}};
  try {
    info.done = read_done(folder);
    for (const char* name : kFiles) {
      if (!info.done.files.contains(name)) user_error("{} is not part of it", name);
    }
    if (info.done.step != step) user_error("DONE is of step {}", info.done.step);
    info.whole = true;
  } catch (const UserError& e) {
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

LazyTensors::LazyTensors(const NamedTensors& tensors)
    : produce([tensors](size_t i) { return tensors[i].second; }) {
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
}

void write_checkpoint(const std::string& run_folder, const RunState& state, const LazyTensors& trainable,
                      const LazyTensors& optimizer, const LazyTensors& reference,
                      const LazyTensors& adapter) {
  const std::string folder = fmt::format("{}/step-{}", checkpoints_folder(run_folder), state.step);
  TemporaryFolder temporary(folder);
  const auto write_tensors = [&](const char* name, const LazyTensors& tensors) {
    write_safetensors(temporary.path() + "/" + name, tensors.specs, tensors.produce);
  };
  write_tensors(kFiles[1], trainable);
  write_tensors(kFiles[2], optimizer);
  if (!reference.specs.empty()) write_tensors(kReference, reference);
  if (!adapter.specs.empty()) write_tensors(kAdapter, adapter);
  if (!state.replay.empty()) write_replay(temporary.path() + "/" + kReplay, state.replay);
  write_file_atomic(temporary.path() + "/state.json", state.to_json().dump(1) + "\n");
  write_done(temporary.path(), state.step);
  temporary.replace();
}

LoadedCheckpoint read_checkpoint(const CheckpointInfo& info) {
  if (!info.whole) user_error("{}", info.problem);
  check_content(info.folder, info.done);
  const std::string state = info.folder + "/state.json";
  const auto read_some = [&](const std::string& name) {
    return info.done.files.contains(name) ? read_tensors(info.folder + "/" + name)
                                          : std::map<std::string, at::Tensor>();
  };
  LoadedCheckpoint out{RunState::from_json(read_json_file(state), state), read_some(kFiles[1]),
                       read_some(kFiles[2]), read_some(kReference), read_some(kAdapter)};
  if (out.state.step != info.step) user_error("{}: is of step {}", state, out.state.step);
  if (info.done.files.contains(kReplay))
    out.state.replay = read_replay(info.folder + "/" + kReplay, info.step);
  return out;
}

std::optional<int64_t> take_newest(const std::vector<CheckpointInfo>& all,
                                   const std::function<void(LoadedCheckpoint, const CheckpointInfo&)>& take) {
  std::optional<int64_t> taken;
  std::string unfit;  // of a checkpoint that is what was written
  std::vector<std::string> passed;
  for (auto it = all.rbegin(); it != all.rend() && !taken; ++it) {
    bool read = false;
    try {
      LoadedCheckpoint loaded = read_checkpoint(*it);
      read = true;
      take(std::move(loaded), *it);
      taken = it->step;
    } catch (const UserError& e) {
      if (read) unfit = fmt::format("{}: {}", it->folder, e.what());
      log_warning("{}: passed over, not whole: {}", it->folder, e.what());
      passed.push_back(it->folder);
    }
  }
  if (!taken && !unfit.empty()) user_error("no checkpoint fits this run: {}", unfit);
  // Pruning goes by sizes and would keep those that were passed over in place of good ones.
  for (const std::string& folder : passed) {
    std::error_code ignored;
    fs::remove(folder + "/DONE", ignored);
  }
  return taken;
}

void prune_checkpoints(const std::string& run_folder, int64_t keep, std::optional<int64_t> best_step) {
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
