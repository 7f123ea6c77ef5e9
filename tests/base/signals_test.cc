#include "base/signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>

#include "test.h"

using namespace temper;

namespace {

// Runs `body` in a child process; gives its wait status.
int in_child(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    body();
    ::_exit(7);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

}  // namespace

TEST_CASE("the first signal is noted, for SIGINT and SIGTERM") {
  for (int signal : {SIGINT, SIGTERM}) {
    StopSignal stop;
    CHECK(stop.pending() == 0);
    ::raise(signal);
    CHECK(stop.pending() == signal);
    ::raise(SIGINT);  // a wrapper's copy of the same request
    CHECK(stop.pending() == signal);
  }
  StopSignal again;
  CHECK(again.pending() == 0);
}

TEST_CASE("a later second signal ends the process") {
  const int status = in_child([] {
    StopSignal stop;
    ::raise(SIGINT);
    ::usleep(550'000);
    ::raise(SIGINT);
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGINT);
}

TEST_CASE("the old handlers come back") {
  const int status = in_child([] {
    ::signal(SIGTERM, SIG_DFL);  // not the test program's own
    { StopSignal stop; }
    ::raise(SIGTERM);
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("writing to a program that is gone is an error, not the end") {
  const int status = in_child([] {
    StopSignal stop;
    int fds[2];
    if (::pipe(fds) != 0) ::_exit(1);
    ::close(fds[0]);
    ::_exit(::write(fds[1], "x", 1) == -1 ? 0 : 2);
  });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("one at a time") {
  StopSignal stop;
  CHECK_THROWS_AS(StopSignal(), std::logic_error);
  ::raise(SIGTERM);
  CHECK(stop.pending() == SIGTERM);
}
