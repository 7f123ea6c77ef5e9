// A run's folder while it trains: its state and the lines that it writes, as they come.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/json.h"

namespace temper {

class LiveRun {
 public:
  // Throws UserError unless the folder is a run's.
  explicit LiveRun(std::string folder);
  const std::string& folder() const { return folder_; }
  // {"name", "task", "algorithm", "model", "step", "steps", "state", "can_stop", "final", "report", "files":
  // {name: bytes}, "config"}; state: "training", "stopping", "stopped" or "done".
  Json state() const;
  std::string metrics(uint64_t from) const;  // whole lines of metrics.jsonl behind this byte
  Json samples(uint64_t last) const;         // the newest rows of samples.jsonl, the oldest of them first
  std::string report() const;                // report.html; throws ApiError (404) where there is none yet
  // Asks the run to save and stop, as the file "stop" in its folder does (train/session.h).
  void ask_to_stop() const;
  // Server-sent events until `ends` or the client has gone: state first and when it changes, metrics and
  // samples with a line each, reset where the run went back to an older checkpoint and its lines come anew.
  // Ids say how far both files were read, "METRICS-SAMPLES" in bytes, which last_id takes; without one, of
  // the samples the newest alone come.
  void events(const std::string& last_id, const std::function<bool()>& ends,
              const std::function<bool(const std::string&)>& write) const;

 private:
  std::string folder_;
};

}  // namespace temper
