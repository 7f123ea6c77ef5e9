#include "report/trackers.h"

#include <sys/stat.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace temper {

TrackedRun read_tracked_run(const std::string& folder) {
  const std::string config = folder + "/config.json", metrics = folder + "/metrics.jsonl";
  if (!fs::exists(config)) user_error("{}: no run folder: there is no config.json in it", folder);
  TrackedRun out;
  const fs::path path = fs::weakly_canonical(folder);
  out.name = path.filename().string();
  out.config = read_json_file(config);
  out.id = Fingerprint().add(path.string()).add(read_file(config)).hex().substr(0, 8);
  struct stat info {};
  ::stat(config.c_str(), &info);
  out.started = static_cast<double>(info.st_mtim.tv_sec);
  out.rows = read_metrics(metrics);
  out.done = fs::exists(folder + "/final");
  return out;
}

NamedValues tracked_values(const MetricsRow& row) {
  NamedValues out;
  const auto take = [&](const std::string& group, const NamedValues& values) {
    for (const auto& [name, value] : values)
      if (std::isfinite(value)) out.emplace_back(group + "/" + name, value);
  };
  take(row.split, row.values);
  take(row.split + "_time", row.time);
  return out;
}

}  // namespace temper
