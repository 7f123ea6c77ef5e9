#include "base/signals.h"

#include <signal.h>
#include <time.h>

#include <atomic>

#include "base/error.h"

namespace temper {
namespace {

// The only mutable globals of the library: a signal handler gets no argument of ours, so what it notes has to
// have a fixed address. Both are lock-free, as a handler needs.
std::atomic<int> pending_signal{0};
std::atomic<int64_t> noted_at_ns{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

// A terminal's Ctrl-C and a wrapper script that passes it on arrive as two signals; they are meant as one.
constexpr int64_t kSameRequest_ns = 500'000'000;

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

extern "C" void note_signal(int signal) {
  if (pending_signal.load() == 0) {
    noted_at_ns.store(now_ns());
    pending_signal.store(signal);
  } else if (now_ns() - noted_at_ns.load() >= kSameRequest_ns) {
    ::signal(signal, SIG_DFL);
    ::raise(signal);  // delivered when this handler returns
  }
}

}  // namespace

struct StopSignal::Old {
  struct sigaction interrupt {
  }, terminate{}, pipe{};
};

StopSignal::StopSignal() : old_(std::make_unique<Old>()) {
  struct sigaction note {};
  ::sigaction(SIGINT, nullptr, &old_->interrupt);
  if (old_->interrupt.sa_handler == note_signal) bug("a second StopSignal while one lives");
  note.sa_handler = note_signal;
  note.sa_flags = SA_RESTART;  // reads and writes that are under way go on
  sigemptyset(&note.sa_mask);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  pending_signal.store(0);
  ::sigaction(SIGINT, &note, nullptr);
  ::sigaction(SIGTERM, &note, &old_->terminate);
  ::sigaction(SIGPIPE, &ignore, &old_->pipe);
}

StopSignal::~StopSignal() {
  ::sigaction(SIGINT, &old_->interrupt, nullptr);
  ::sigaction(SIGTERM, &old_->terminate, nullptr);
  ::sigaction(SIGPIPE, &old_->pipe, nullptr);
  pending_signal.store(0);
}

int StopSignal::pending() const {
  return pending_signal.load();
}

}  // namespace temper
