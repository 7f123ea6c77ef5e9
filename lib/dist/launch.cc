#include "dist/launch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "dist/ranks.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{20};  // to save and leave before SIGKILL

struct Child {
  pid_t process = -1;
  int words = -1;  // what it writes to standard error; -1: it goes where ours goes
  bool ended = false;
  int code = 0;  // 128 + signal when one ended it
};

// One that nobody uses now. Another program may take it before rank 0 does; the start then fails with its
// number.
int64_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (fd >= 0) ::close(fd);
  if (!bound) user_error("--ranks: no port is free: {}", std::strerror(errno));
  return ntohs(address.sin_port);
}

Child start(int64_t rank, const LaunchOptions& options, int64_t attempt, int64_t port,
            const std::vector<std::string>& arguments) {
  Child child;
  if (rank > 0) child.words = ::memfd_create("rank", MFD_CLOEXEC);
  std::vector<std::string> words = {"temper-train"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::pair<const char*, std::string> variables[] = {
      {"RANK", std::to_string(rank)},
      {"WORLD_SIZE", std::to_string(options.ranks)},
      {"LOCAL_RANK", std::to_string(rank)},
      {"LOCAL_WORLD_SIZE", std::to_string(options.ranks)},
      {"MASTER_ADDR", "127.0.0.1"},
      {"MASTER_PORT", std::to_string(port)},
      {"TORCHELASTIC_RESTART_COUNT", std::to_string(attempt)},
      {"TORCHELASTIC_USE_AGENT_STORE", "False"}};
  child.process = ::fork();
  if (child.process < 0) user_error("--ranks: cannot start rank {}: {}", rank, std::strerror(errno));
  if (child.process > 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // no rank outlives the launcher
  for (const auto& [name, value] : variables) ::setenv(name, value.c_str(), 1);
  if (child.words >= 0) {
    ::dup2(child.words, STDERR_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
  }
  ::execv("/proc/self/exe", argv.data());
  std::fprintf(stderr, "temper-train: cannot start itself again: %s\n", std::strerror(errno));
  ::_exit(kExitUser);
}

void signal_all(const std::vector<Child>& children, int signal) {
  for (const Child& child : children) {
    if (!child.ended) ::kill(child.process, signal);
  }
}

void show(const Child& child, size_t rank) {
  if (child.words < 0) return;
  const off_t size = ::lseek(child.words, 0, SEEK_END);
  std::string text(static_cast<size_t>(std::max<off_t>(size, 0)), '\0');
  if (::pread(child.words, text.data(), text.size(), 0) < 0) text.clear();
  std::fprintf(stderr, "rank %zu: %s", rank, text.c_str());
}

// One start of all ranks; returns the exit code.
int run_once(const LaunchOptions& options, int64_t attempt, const std::vector<std::string>& arguments) {
  // Signals are taken one by one by sigtimedwait; the children get the mask of before.
  sigset_t waited, before;
  sigemptyset(&waited);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&waited, signal);
  const int64_t port = free_port();
  std::vector<Child> children;
  for (int64_t rank = 0; rank < options.ranks; ++rank)
    children.push_back(start(rank, options, attempt, port, arguments));
  ::sigprocmask(SIG_BLOCK, &waited, &before);

  int code = 0;  // of the first that failed
  size_t failed = 0;
  Clock::time_point leaving_since{};
  bool leaving = false;
  for (size_t left = children.size(); left > 0;) {
    for (size_t rank = 0; rank < children.size(); ++rank) {
      Child& child = children[rank];
      int status = 0;
      if (child.ended || ::waitpid(child.process, &status, WNOHANG) != child.process) continue;
      child.ended = true;
      --left;
      child.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      if (child.code == 0 || code != 0) continue;
      code = child.code;
      failed = rank;
    }
    if (left == 0) break;
    if (code != 0 && !leaving) {
      leaving = true;
      leaving_since = Clock::now();
    }
    // The others learn of it themselves, from the store or from heartbeats; those that do not are ended.
    if (leaving && Clock::now() - leaving_since > kGrace) signal_all(children, SIGKILL);
    const timespec pause{0, 100000000};
    const int signal = ::sigtimedwait(&waited, nullptr, &pause);
    if (signal == SIGINT || signal == SIGTERM) signal_all(children, signal);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  // Of a user's mistake rank 0 has spoken itself.
  if (code != 0 && failed > 0 && children[0].code != kExitUser && code != kExitSigint && code != kExitSigterm)
    show(children[failed], failed);
  for (const Child& child : children) {
    if (child.words >= 0) ::close(child.words);
  }
  return code;
}

}  // namespace

int launch_ranks(const LaunchOptions& options, const std::vector<std::string>& arguments) {
  const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
  if (options.ranks < 1) user_error("--ranks: expected at least 1, found {}", options.ranks);
  if (options.ranks > cores)
    user_error("--ranks: {} ranks on {} processors; each needs one of its own", options.ranks, cores);
  for (int64_t attempt = 0;; ++attempt) {
    const int code = run_once(options, attempt, arguments);
    // A signal that ended one rank alone is a loss too; those that a user sends end all with their own codes.
    const bool lost = code == kExitRetry || (code > 128 && code != kExitSigint && code != kExitSigterm);
    if (!lost) return code;
    if (attempt >= options.restarts) return kExitRetry;
    std::fprintf(stderr,
                 "temper-train: a rank was lost; all begin again from the last checkpoint (%lld of %lld)\n",
                 static_cast<long long>(attempt + 1), static_cast<long long>(options.restarts));
  }
}

}  // namespace temper
