// SIGINT and SIGTERM as a question that a loop asks between steps.
#pragma once

#include <memory>

namespace temper {

// Owned by a program's main, one at a time. While it lives the first SIGINT or SIGTERM is only noted, so the
// loop can save and leave (throw Interrupted(stop.pending()) from base/error.h). One more that comes at least
// half a second later ends the process at once, for people who do not want to wait; checkpoints are written
// so that this costs none. SIGPIPE is ignored, so that writing to a child program that died is an error code;
// a child must be started with SIGPIPE set back to its default (posix_spawnattr_setsigdefault).
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();  // restores the handlers that were there
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  int pending() const;  // the signal's number, or 0

 private:
  struct Old;
  std::unique_ptr<Old> old_;
};

}  // namespace temper
