#include "train/run_folder.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "train/metrics.h"

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
  out.push_back(fmt::format("{}: {} in the run, {} now", path, dump_line(before), dump_line(now)));
}

// A run's folder in which nothing was measured and nothing saved yet. What holds the config.json of anything
// else, a model's folder say, is no such folder.
bool never_began(const std::string& folder, const Json& config) {
  std::error_code error;
  const auto rows = fs::file_size(folder + "/" + MetricsLog::kMetricsFile, error);
  return config.is_object() && config.contains("task") && (error || rows == 0) &&
         list_checkpoints(folder).empty() && !fs::exists(folder + "/final");
}

}  // namespace

std::optional<CheckpointInfo> open_run_folder(const RunConfig& config, const std::string& resume) {
  const std::string file = config.run + "/config.json";
  Json now = dump_fields(config);
  now.erase("run");  // the folder may have been moved
  std::error_code error;
  if (fs::exists(file)) {
    Json before = read_json_file(file);
    if (never_began(config.run, before)) {
      // A mistake was found before the first step (a missing model ...); put right, it may start here.
      if (resume == "must") user_error("{}: no whole checkpoint to resume from", config.run);
      fs::remove_all(config.run + "/tokenizer", error);  // trained on what the mistaken config said
      write_file_atomic(file, now.dump(2) + "\n");
      return std::nullopt;
    }
    if (resume == "never")
      user_error("{}: a run is here already; choose another --run, or --resume auto", config.run);
    std::vector<std::string> found;
    differences("", before, now, found);
    if (!found.empty()) {
      std::string text;
      for (const std::string& line : found) text += "\n  " + line;
      user_error("{}: this run was started with another config; choose another --run, or undo:{}", config.run,
                 text);
    }
    const auto checkpoint = newest_checkpoint(config.run);
    if (!checkpoint && resume == "must") user_error("{}: no whole checkpoint to resume from", config.run);
    return checkpoint;
  }
  if (resume == "must") user_error("{}: no run to resume here", config.run);
  if (!fs::create_directories(config.run, error) && error)
    user_error("{}: cannot create the folder: {}", config.run, error.message());
  write_file_atomic(file, now.dump(2) + "\n");
  return std::nullopt;
}

}  // namespace temper
