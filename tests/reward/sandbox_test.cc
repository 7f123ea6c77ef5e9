// Programs of tests/reward/hostile, each run in the sandbox: it comes back in time, with what was to be
// expected, and nothing is left of it, neither a process nor a file.
#include "reward/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;
namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

// Processes that live and have the word in their command line.
int living(const std::string& word) {
  int found = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name[0] < '1' || name[0] > '9' || name == std::to_string(::getpid())) continue;
    if (has(text_of(entry.path() / "cmdline"), word)) ++found;
  }
  return found;
}

// What lies in the folder for temporary files under the sandbox's names, and what hostile programs try.
std::set<std::string> left_on_disk() {
  std::set<std::string> found;
  for (const fs::path& folder :
       {fs::temp_directory_path(), fs::path("/tmp"), fs::path("/var/tmp"), fs::path("/dev/shm")}) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("temper-left")) found.insert(entry.path().string());
    }
  }
  return found;
}

// TMPDIR is a folder of the test's own, so that nothing of other programs is seen in it.
struct SandboxPlace {
  TempFolder folder;
  std::string before = std::getenv("TMPDIR") == nullptr ? "" : std::getenv("TMPDIR");
  SandboxPlace() {
    fs::create_directory(folder / "tmp");
    ::chmod(folder.text().c_str(), 0755);  // by its mode, another user may come as far as here
    ::chmod(folder.text("tmp").c_str(), 01777);
    ::setenv("TMPDIR", folder.text("tmp").c_str(), 1);
  }
  ~SandboxPlace() {
    if (before.empty())
      ::unsetenv("TMPDIR");
    else
      ::setenv("TMPDIR", before.c_str(), 1);
  }
};

// A port of 127.0.0.1 that somebody listens on, and whether anybody came.
struct Listener {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  Listener() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) ::listen(fd, 8);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  }
  ~Listener() { ::close(fd); }
  std::string port() const { return std::to_string(ntohs(address.sin_port)); }
  bool visited() const {
    const int visitor = ::accept(fd, nullptr, nullptr);
    if (visitor >= 0) ::close(visitor);
    return visitor >= 0;
  }
};

struct Hostile {
  std::string name;
  std::set<SandboxEnd> ends;  // any of these
  const char* printed = "";   // in its output
  int code = 0;               // of kExit or kSignal; -1: any but 0
  bool needs_files = false;   // it is held only where the kernel has Landlock
};

SandboxLimits small() {
  SandboxLimits limits;
  limits.wall_s = 20;  // a busy machine starts an interpreter slowly
  limits.cpu_s = 10;
  limits.memory_mb = 256;
  limits.processes = 24;
  limits.file_mb = 8;
  limits.folder_mb = 16;
  limits.folder_files = 500;
  return limits;
}

using End = SandboxEnd;
const Hostile kHostile[] = {
    {"forks", {End::kTime, End::kProcesses, End::kSignal}, "", -1},
    {"disk", {End::kFolder}},
    {"big_file", {End::kExit}, "refused"},
    {"many_files", {End::kFolder}},
    {"memory", {End::kExit}, "refused"},
    {"sockets", {End::kExit}, "refused"},
    {"localhost", {End::kExit}, "refused"},
    {"shadow", {End::kExit}, "refused", 0, true},
    {"run_folder", {End::kExit}, "refused", 0, true},
    {"sleeps", {End::kTime}},
    {"spins", {End::kTime}},
    {"prints", {End::kOutput}},
    {"complains", {End::kOutput}},
    {"deletes", {End::kExit}, "[]"},
    {"background", {End::kExit}, "done"},
    {"daemon", {End::kExit}, "done"},
    {"ignores", {End::kTime}},
    {"closes", {End::kTime}},
    {"outside", {End::kExit}, "refused", 0, true},
    {"shell", {End::kTime}},
    {"recursion", {End::kExit, End::kSignal, End::kTime}, "", -1},
    {"threads", {End::kExit, End::kProcesses}, "", 0},
    {"files", {End::kExit}, "refused"},
    {"parent", {End::kExit}, "refused"},
    {"reaches", {End::kExit}, "refused"},
    {"environment", {End::kExit}, "LANG"},
    {"links", {End::kExit}, "refused", 0, true},
    {"deep", {End::kExit, End::kFolder}, "done"},
    {"garbage", {End::kExit}, "\xff"},
    {"exit_code", {End::kExit}, "", 77},
    {"names", {End::kExit}, "refused"},
    {"limits", {End::kExit}, "refused"},
    {"crash", {End::kSignal}, "expected", SIGSEGV},
    {"stdin", {End::kTime}},
    {"leaves_early", {End::kExit}, "own text"},
};

SandboxResult run_text(const std::string& program, const std::string& input = "",
                       SandboxLimits limits = small()) {
  return run_sandboxed(limits, {"python3", "-I", "-B", "p.py"}, input, {{"p.py", program}});
}

}  // namespace

TEST_CASE("sandbox: what hostile programs try comes to nothing, and nothing of them is left") {
  const SandboxGuards guards = sandbox_guards("python3");
  REQUIRE(guards.filter);
  const SandboxPlace place;
  const Listener listener;
  const std::string run = place.folder.text("run"), everybody = place.folder.text("everybody");
  fs::create_directory(run);
  fs::create_directory(everybody);
  ::chmod(everybody.c_str(), 0777);
  place.folder.write("run/secret", "a secret");
  place.folder.write("everybody/kept", "a secret");
  ::chmod(place.folder.text("run/secret").c_str(), 0666);
  ::setenv("TEMPER_TEST_SECRET", "a secret", 1);
  const auto left_before = left_on_disk();
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);

  for (const Hostile& hostile : kHostile) {
    CAPTURE(hostile.name);
    if (hostile.needs_files && !guards.files) continue;  // it would do what it tries
    const std::string marker = fmt::format("temper-marker-{}-{}", ::getpid(), hostile.name);
    const std::string text = text_of(test_file("reward/hostile/" + hostile.name + ".py"));
    REQUIRE_FALSE(text.empty());
    SandboxLimits limits = small();
    if (hostile.ends.count(End::kTime) == 1) limits.wall_s = 1.5, limits.cpu_s = 1;
    const auto start = std::chrono::steady_clock::now();
    const SandboxResult result = run_sandboxed(
        limits, {"python3", "-I", "-B", "program.py", marker, run + "/secret", everybody, listener.port()},
        "", {{"program.py", text}});
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CAPTURE(static_cast<int>(result.end));
    CAPTURE(result.code);
    CAPTURE(result.out.substr(0, 300));
    CAPTURE(result.err.substr(0, 2000));
    CHECK(took < limits.wall_s + 60);  // it ends at all: a busy machine takes seconds to kill what forked
    CHECK(living(marker) == 0);
    CHECK(fs::is_empty(place.folder / "tmp"));
    CHECK(left_on_disk() == left_before);
    CHECK(hostile.ends.count(result.end) == 1);
    const bool ended = result.end == End::kExit || result.end == End::kSignal;
    if (ended && hostile.code >= 0) CHECK(result.code == hostile.code);
    if (ended && hostile.code < 0) CHECK(result.code != 0);
    CHECK(has(result.out, hostile.printed));
    if (std::string(hostile.printed) == "refused") CHECK(result.out == "refused\n");
    CHECK_FALSE(has(result.out, "a secret"));
    CHECK(result.out.size() <= static_cast<size_t>(small().output_bytes));
    CHECK(result.err.size() <= static_cast<size_t>(small().output_bytes));
    CHECK(text_of(run + "/secret") == "a secret");
    CHECK(text_of(everybody + "/kept") == "a secret");
  }
  CHECK_FALSE(listener.visited());
  rlimit after{};
  ::getrlimit(RLIMIT_NOFILE, &after);
  CHECK(after.rlim_cur == descriptors.rlim_cur);
  ::unsetenv("TEMPER_TEST_SECRET");
}

TEST_CASE("sandbox: input, output, exit codes, and no descriptors but three") {
  const SandboxPlace place;
  const SandboxResult echo =
      run_text("import sys; print(sys.stdin.read()[::-1]); print('e', file=sys.stderr)", "abc");
  CHECK(echo.good());
  CHECK(echo.out == "cba\n");
  CHECK(echo.err == "e\n");
  const std::string large(3 << 20, 'x');
  CHECK(run_text("import sys; print(len(sys.stdin.read()))", large).out == fmt::format("{}\n", large.size()));
  CHECK(run_text("raise SystemExit(3)").code == 3);
  const int kept = ::open("/dev/null", O_RDONLY);  // on purpose not closed at exec
  const auto open_ones =
      run_text("import os\nfor i in range(64):\n  try: os.fstat(i); print(i)\n  except OSError: pass");
  CHECK(open_ones.out == "0\n1\n2\n");
  ::close(kept);
  CHECK(run_text("import subprocess; print(subprocess.run(['echo', 'x'], capture_output=True).stdout)").out ==
        "b'x\\n'\n");
  CHECK(run_text("import tempfile; tempfile.NamedTemporaryFile().write(b'x'); print('x')").out == "x\n");
  CHECK(run_text("import threading as t; a = t.Thread(target=print, args=('x',)); a.start(); a.join()").out ==
        "x\n");
  CHECK(run_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)").end != End::kTime);
  CHECK_THROWS_WITH_AS(run_sandboxed({}, {"no-such-program"}, ""), doctest::Contains("no program"),
                       UserError);
}

TEST_CASE("sandbox: programs find their files where TMPDIR is closed to other users, too") {
  const SandboxPlace place;
  ::chmod(place.folder.text().c_str(), 0700);
  CHECK(!sandbox_guards("python3").own_user);
  const SandboxResult r = run_sandboxed(small(), {"python3", "program.py"}, "", {{"program.py", "print(7)"}});
  CHECK(r.out == "7\n");
  CHECK(r.err.empty());
}

TEST_CASE("sandbox: a run is stopped from outside, and runs beside each other do not meet") {
  const SandboxPlace place;
  std::atomic<bool> stop = false;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop = true;
  });
  SandboxLimits limits = small();
  limits.wall_s = 60;
  const SandboxResult result =
      run_sandboxed(limits, {"python3", "-c", "import time; time.sleep(1000)"}, "", {}, &stop);
  other.join();
  CHECK(result.end == End::kStopped);
  CHECK(result.wall_s < 5);

  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto mine =
          run_text("import os, sys; n = sys.stdin.read(); open('f' + n, 'w'); print(n, len(os.listdir('.')))",
                   std::to_string(i));
      if (mine.out == fmt::format("{} 2\n", i)) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 8);
  CHECK(fs::is_empty(place.folder / "tmp"));
}
