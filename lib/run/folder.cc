#include "run/folder.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "run/metrics.h"

namespace temper {
namespace {

// "a.b: 1 -> 2" for every leaf that differs.
void differences(const std::string& path, const Json& before, const Json& now,
                 std::vector<std::string>& out) {
  if (before == now) return;
  if (before.is_object() && now.is_object()) {
    auto at = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
    for (const auto& [key, value] : before.items())
      differences(at(key), value, now.contains(key) ? now[key] : Json("(absent)"), out);
    for (const auto& [key, value] : now.items()) {
      if (!before.contains(key)) differences(at(key), Json("(absent)"), value, out);
    }
    return;
  }
  if (before.is_array() && now.is_array() && before.size() == now.size()) {
    for (size_t i = 0; i < now.size(); ++i)
      differences(fmt::format("{}.{}", path, i), before[i], now[i], out);
    return;
  }
  out.push_back(fmt::format("{}: {} in the run, {} now", path, dump_line(before), dump_line(now)));
}

// A run's folder in which nothing was measured and nothing saved yet. What holds the config.json of anything
// else, a model's folder say, is no such folder.
bool never_began(const std::string& folder, const Json& config) {
  std::error_code error;
  const auto rows = fs::file_size(folder + "/" + MetricsLog::kMetricsFile, error);
  return config.is_object() && config.contains("task") && (error || rows == 0) &&
         list_checkpoints(folder).empty() && !fs::exists(folder + "/final") &&
         !fs::exists(folder + "/rounds");
}

std::string data_file(const std::string& run) {
  return run + "/data.json";
}

// Whether the files that the run reads have changed; UserError unless that is accepted.
bool check_files(const std::string& run, const std::vector<NamedPath>& reads, bool accept) {
  if (!fs::exists(data_file(run))) {  // a run of before, or one killed at its start
    accept_files(run, reads);
    return false;
  }
  const auto changed = changed_files(read_json_file(data_file(run)), run_files(reads), data_file(run));
  if (changed.empty()) return false;
  std::string text;
  for (const std::string& line : changed) text += "\n  " + line;
  if (!accept) {
    user_error(
        "{}: files that this run reads have changed since it was started; put them back, choose another "
        "--run, or go on with --accept-changed-data:{}",
        run, text);
  }
  log_warning("{}: goes on with changed files:{}", run, text);
  return true;
}

}  // namespace

void remove_leftovers(const std::string& run) {
  std::vector<fs::path> left;
  std::error_code error;
  for (const std::string& folder : {run, run + "/checkpoints"}) {
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().extension() == ".tmp") left.push_back(entry.path());
  }
  for (const fs::path& path : left) fs::remove_all(path, error);
}

void accept_files(const std::string& run, const std::vector<NamedPath>& reads) {
  write_file_atomic(data_file(run), to_json(run_files(reads)).dump(2) + "\n");
}

RunFolder open_run_folder(const std::string& run, Json now, const std::vector<NamedPath>& reads,
                          const std::string& resume, bool accept_changed_data,
                          const std::function<Json(const Json&)>& complete) {
  const std::string file = run + "/config.json";
  now.erase("run");
  RunFolder out;
  const auto begin_anew = [&] {
    write_file_atomic(file, now.dump(2) + "\n");
    accept_files(run, reads);
  };
  const auto lock = [&] {
    out.lock = std::make_unique<FileLock>(run + "/lock", run);
    remove_leftovers(run);
  };
  if (!fs::exists(file)) {
    if (resume == "must") user_error("{}: no run to resume here", run);
    std::error_code error;
    if (!fs::create_directories(run, error) && error)
      user_error("{}: cannot create the folder: {}", run, error.message());
    lock();
  }
  if (!fs::exists(file)) {
    begin_anew();
    return out;
  }
  const Json before = read_json_file(file);
  const bool began = !never_began(run, before);
  if (began && resume == "never")
    user_error("{}: a run is here already; choose another --run, or --resume auto", run);
  std::vector<std::string> found;
  if (began) differences("", complete(before), now, found);
  if (!found.empty()) {
    std::string text;
    for (const std::string& line : found) text += "\n  " + line;
    const Json files = fs::exists(data_file(run)) ? read_json_file(data_file(run)) : Json();
    user_error("{}: this run was started with another config{}; choose another --run, or undo:{}", run,
               written_by(files), text);
  }
  if (out.lock == nullptr) lock();
  if (!began) {
    // A mistake was found before the first step (a missing model ...); put right, it may start here.
    if (resume == "must") user_error("{}: no whole checkpoint to resume from", run);
    std::error_code error;
    fs::remove_all(run + "/tokenizer", error);  // trained on what the mistaken config said
    begin_anew();
    return out;
  }
  out.data_changed = check_files(run, reads, accept_changed_data);
  out.checkpoints = list_checkpoints(run);
  if (out.checkpoints.empty() && resume == "must") user_error("{}: no whole checkpoint to resume from", run);
  return out;
}

}  // namespace temper
