#include "reward/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.h"

extern char** environ;

namespace temper {
namespace {

constexpr size_t kMaxLine = 16 << 20, kMaxErrors = 4096;
constexpr std::chrono::milliseconds kFarewell(300), kReap(5000);

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      user_error("cannot make a pipe for a program: {}", std::strerror(errno));
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    if (read >= 0) ::close(read);
    if (write >= 0) ::close(write);
  }
  int take(int& end) {
    ::fcntl(end, F_SETFL, ::fcntl(end, F_GETFL) | O_NONBLOCK);
    return std::exchange(end, -1);
  }
};

struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

// A write to a program that has gone raises SIGPIPE. The library may not change what the process does with
// it, so it is held back in this thread and taken off the queue again.
class NoSigpipe {
 public:
  NoSigpipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &old_);
  }
  ~NoSigpipe() {
    const timespec at_once{0, 0};
    if (!was_pending_) {
      while (::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &old_, nullptr);
  }

 private:
  sigset_t pipe_, old_;
  bool was_pending_;
};

void close_end(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& argv) {
  Pipe in, out, err;
  SpawnSettings settings;
  posix_spawn_file_actions_adddup2(&settings.files, in.read, 0);
  posix_spawn_file_actions_adddup2(&settings.files, out.write, 1);
  posix_spawn_file_actions_adddup2(&settings.files, err.write, 2);
  posix_spawn_file_actions_addclosefrom_np(&settings.files, 3);
  // Its own group: a Ctrl-C at the terminal is for us, and whatever it starts dies with it.
  sigset_t none, defaults;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&defaults, signal);
  posix_spawnattr_setpgroup(&settings.attributes, 0);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &defaults);
  posix_spawnattr_setflags(&settings.attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int failure =
      ::posix_spawnp(&pid_, arguments[0], &settings.files, &settings.attributes, arguments.data(), environ);
  if (failure != 0) {
    pid_ = -1;
    user_error(
        "cannot start the program \"{}\": {}; expected a program in PATH or a path from the working "
        "folder",
        argv[0], std::strerror(failure));
  }
  in_ = in.take(in.write);
  out_ = out.take(out.read);
  err_ = err.take(err.read);
}

ChildProcess::~ChildProcess() {
  close_end(in_);
  close_end(out_);
  close_end(err_);
  if (pid_ >= 0 && !reap(kFarewell)) kill();
}

bool ChildProcess::pump(Clock::time_point deadline, std::vector<std::string>& lines) {
  const size_t before = lines.size();
  while (lines.size() == before) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ends[] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}, {sent_ < outgoing_.size() ? in_ : -1, POLLOUT, 0}};
    const int ready = ::poll(ends, 3, static_cast<int>(std::clamp<int64_t>(left, 0, 60000)));
    if (ready < 0 && errno != EINTR) bug("poll: {}", std::strerror(errno));
    if (ready > 0) {
      if (ends[1].revents != 0) read_errors();
      if (ends[2].revents != 0) write_some();
      if (ends[0].revents != 0 && !read_lines(lines)) {
        read_errors();
        return false;
      }
    }
    if (left <= 0) return true;
  }
  return true;
}

void ChildProcess::close_input() {
  input_ends_ = true;
  if (sent_ == outgoing_.size()) close_end(in_);
}

void ChildProcess::write_some() {
  const NoSigpipe guard;
  while (sent_ < outgoing_.size()) {
    const ssize_t n = ::write(in_, outgoing_.data() + sent_, outgoing_.size() - sent_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) close_end(in_);  // it reads no more; the end of its output will tell
    if (n < 0) return;
    sent_ += static_cast<size_t>(n);
  }
  outgoing_.clear();
  sent_ = 0;
  if (input_ends_) close_end(in_);
}

bool ChildProcess::read_lines(std::vector<std::string>& lines) {
  char buffer[1 << 16];
  const ssize_t n = ::read(out_, buffer, sizeof buffer);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  size_t searched = incoming_.size();
  incoming_.append(buffer, static_cast<size_t>(n));
  size_t begin = 0;
  for (size_t end; (end = incoming_.find('\n', std::max(begin, searched))) != std::string::npos;
       begin = end + 1) {
    lines.push_back(incoming_.substr(begin, end - begin));
  }
  incoming_.erase(0, begin);
  flooded_ = incoming_.size() > kMaxLine;
  return !flooded_;
}

void ChildProcess::read_errors() {
  char buffer[1 << 14];
  while (err_ >= 0) {
    const ssize_t n = ::read(err_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) close_end(err_);
    if (n <= 0) return;
    error_tail_.append(buffer, static_cast<size_t>(n));
    if (error_tail_.size() > kMaxErrors) error_tail_.erase(0, error_tail_.size() - kMaxErrors);
    if (static_cast<size_t>(n) < sizeof buffer)
      return;  // a program that never stops writing gets its turn later
  }
}

// Waits for the group's leader. What it started is killed before its number can be given to another process.
bool ChildProcess::reap(std::chrono::milliseconds patience) {
  const auto give_up = Clock::now() + patience;
  while (true) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid_) {
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
      }
      pid_ = -1;
      return true;
    }
    if (Clock::now() >= give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::string ChildProcess::kill() {
  if (pid_ >= 0) {
    // One that has just closed its output is about to leave by itself, with a status worth telling.
    if (!reap(std::chrono::milliseconds(20))) {
      ::kill(-pid_, SIGKILL);
      if (!reap(kReap)) return "could not be killed";
    }
    read_errors();
  }
  if (flooded_) return fmt::format("wrote a line longer than {} MB and was killed", kMaxLine >> 20);
  if (WIFSIGNALED(status_)) {
    const char* name = ::sigdescr_np(WTERMSIG(status_));
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status_), name != nullptr ? name : "?");
  }
  return fmt::format("exited with {}", WEXITSTATUS(status_));
}

}  // namespace temper
