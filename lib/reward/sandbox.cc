#include "reward/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "reward/sandbox_child.h"
#include "reward/sandbox_folder.h"

namespace temper {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook(10), kGone(30000);
constexpr int kMemoryOnly = MFD_CLOEXEC | MFD_ALLOW_SEALING;
// What any interpreter reads; the rest of /etc and all of /proc, /home, /root and /var stay out.
constexpr const char* kSystem[] = {"/usr",
                                   "/bin",
                                   "/sbin",
                                   "/lib",
                                   "/lib32",
                                   "/lib64",
                                   "/opt",
                                   "/nix/store",
                                   "/gnu/store",
                                   "/etc/ld.so.cache",
                                   "/etc/ld.so.conf",
                                   "/etc/ld.so.conf.d",
                                   "/etc/alternatives",
                                   "/etc/localtime",
                                   "/etc/mime.types",
                                   "/dev/null",
                                   "/dev/zero",
                                   "/dev/full",
                                   "/dev/random",
                                   "/dev/urandom"};

// A descriptor that is closed with its owner. Above 2, so that no move onto 0, 1 or 2 hits another.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {
    if (fd < 0 || fd > 2) return;
    fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    ::close(fd);
  }
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct ReadPipe {
  Descriptor read, write;
  ReadPipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      user_error("cannot make a pipe for a program: {}", std::strerror(errno));
    read = Descriptor(ends[0]);
    write = Descriptor(ends[1]);
    ::fcntl(read.get(), F_SETFL, O_NONBLOCK);
  }
};

// A file in memory that holds the text and can no longer be changed: nothing needs to be pumped into it.
Descriptor input_of(const std::string& text) {
  Descriptor file(static_cast<int>(::memfd_create("input", kMemoryOnly)));
  size_t done = 0;
  while (file.get() >= 0 && done < text.size()) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  if (file.get() < 0 || done < text.size())
    user_error("cannot hold a program's input in memory: {}", std::strerror(errno));
  ::lseek(file.get(), 0, SEEK_SET);
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  return file;
}

std::string search_path() {
  const char* path = std::getenv("PATH");
  return path != nullptr && path[0] != '\0' ? path : "/usr/local/bin:/usr/bin:/bin";
}

std::string find_program(const std::string& name) {
  const auto runs = [](const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    if (runs(name)) return fs::absolute(name).string();
  } else {
    std::istringstream folders(search_path());
    for (std::string folder; std::getline(folders, folder, ':');) {
      const fs::path path = fs::absolute(fs::path(folder.empty() ? "." : folder) / name);
      if (runs(path)) return path.string();
    }
  }
  user_error("no program \"{}\" that can be run; expected one in PATH or a path to one", name);
}

// Where an interpreter keeps its libraries: the folder above its bin/, for the path as it was found (a
// virtual environment) and for what it is a link to, when it holds a lib/; never a home.
std::vector<std::string> folders_of(const std::string& program) {
  std::vector<std::string> out;
  std::error_code failed;
  const char* const home = std::getenv("HOME");
  for (const fs::path& path : {fs::path(program), fs::canonical(program, failed)}) {
    if (path.empty()) continue;
    out.push_back(path.string());
    const fs::path folder = path.parent_path(), above = folder.parent_path();
    const bool prefix = (folder.filename() == "bin" && fs::is_directory(above / "lib", failed)) ||
                        folder.filename() == "shims";
    if (prefix && above != above.root_path() && (home == nullptr || above != fs::path(home)))
      out.push_back(above.string());
  }
  return out;
}

// Whether any user may run the program or enter the folder: it and all folders above it and above what it
// links to can be passed by others.
bool open_to_others(const std::string& place) {
  std::error_code failed;
  for (fs::path path : {fs::path(place), fs::canonical(place, failed)}) {
    for (; !failed; path = path.parent_path()) {
      struct stat info {};
      if (::stat(path.c_str(), &info) != 0 || (info.st_mode & S_IXOTH) == 0) return false;
      if (path == path.root_path()) break;
    }
  }
  return !failed;
}

bool may_change_users() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct mine[2] = {};
  if (::syscall(SYS_capget, &header, mine) != 0) return false;
  for (const int needed : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL, CAP_SETGID, CAP_SETUID}) {
    if ((mine[0].effective >> needed & 1) == 0) return false;
  }
  return true;
}

// In a container of another's, only some numbers are users.
bool is_user(uid_t user) {
  std::ifstream map("/proc/self/uid_map");
  for (uint64_t first, outside, count; map >> first >> outside >> count;) {
    if (user >= first && user - first < count) return true;
  }
  return false;
}

// A user that nobody else is, another for each program that runs at a time; nobody (65534) where there are
// not so many users; 0 where none will do, as where TMPDIR is closed to others and with it the program's
// folder.
uid_t other_user(const std::string& program) {
  static std::atomic<uint32_t> next{0};
  if (::geteuid() != 0 || !may_change_users() || !open_to_others(program) ||
      !open_to_others(SandboxFolder::above()))
    return 0;
  const uid_t own = 0x60000000u + (static_cast<uint32_t>(::getpid()) % 0x10000u) * 0x400u + next++ % 0x400u;
  for (const uid_t user : {own, uid_t{65534}}) {
    if (is_user(user)) return user;
  }
  return 0;
}

// Threads of the processes for which counts(fields of /proc/PID/stat behind the name) holds.
template <class Counts>
int64_t count_threads(const Counts& counts) {
  int64_t total = 0;
  DIR* const processes = ::opendir("/proc");
  while (const dirent* entry = processes == nullptr ? nullptr : ::readdir(processes)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    const std::string folder = std::string("/proc/") + entry->d_name;
    std::ifstream file(folder + "/stat");
    std::string text;
    if (!std::getline(file, text) || text.rfind(')') == std::string::npos) continue;
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::vector<std::string> words;
    for (std::string word; words.size() < 18 && fields >> word;) words.push_back(word);
    if (words.size() == 18 && counts(folder, words)) total += std::atoll(words[17].c_str());
  }
  if (processes != nullptr) ::closedir(processes);
  return total;
}

// Of those that run: one that has ended may wait for the system's first process to take note of it.
int64_t threads_of_group(pid_t group) {
  return count_threads([&](const std::string&, const std::vector<std::string>& words) {
    const bool ended = (words[0] == "Z" || words[0] == "X") && std::atoll(words[17].c_str()) <= 1;
    return !ended && words[2] == std::to_string(group);
  });
}

int64_t threads_of_user(uid_t user) {
  return count_threads([&](const std::string& folder, const std::vector<std::string>&) {
    struct stat info {};
    return ::stat(folder.c_str(), &info) == 0 && info.st_uid == user;
  });
}

// Reads what has come; false when it is more than `most` bytes in all, which are kept.
bool drain(Descriptor& end, std::string& text, int64_t most) {
  char buffer[1 << 14];
  while (end.get() >= 0) {
    const ssize_t n = ::read(end.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return true;
    if (n == 0) end.close();
    text.append(buffer, static_cast<size_t>(n));
    if (static_cast<int64_t>(text.size()) <= most) continue;
    text.resize(static_cast<size_t>(most));
    return false;
  }
  return true;
}

// The leader is reaped last, so the group's number cannot become another's while it is being killed. One
// signal may miss who is being forked at that moment, and a busy machine takes its time to end those that it
// reached. What the leader left is reaped by the system's first process, or by this one where it is that.
int end_group(pid_t group, rusage* used = nullptr) {
  const auto give_up = Clock::now() + kGone;
  while (::kill(-group, SIGKILL) == 0 && threads_of_group(group) > 0 && Clock::now() < give_up)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  int status = 0;
  while (::wait4(group, &status, 0, used) < 0 && errno == EINTR) {
  }
  while (::waitpid(-group, nullptr, WNOHANG) > 0) {
  }
  return status;
}

}  // namespace

SandboxGuards sandbox_guards(const std::string& program) {
  const std::string path = find_program(program);
  return {!syscall_filter(true, false).empty(), landlock_version() > 0, other_user(path) != 0};
}

SandboxResult run_sandboxed(const SandboxLimits& limits, const std::vector<std::string>& command,
                            const std::string& input, const std::vector<SandboxFile>& files,
                            const std::atomic<bool>* stop) {
  if (command.empty()) bug("run_sandboxed: no command");
  const std::string program = find_program(command[0]);
  const uid_t user = other_user(program);
  const bool root = ::geteuid() == 0, own_user = user != 0;
  const SandboxFolder folder;
  for (const SandboxFile& file : files) folder.write(file.name, file.text);
  const Descriptor in = input_of(input);
  ReadPipe out, err;

  ChildPlan plan;
  plan.in = in.get();
  plan.out = out.write.get();
  plan.err = err.write.get();
  const Descriptor place(::fcntl(folder.descriptor(), F_DUPFD_CLOEXEC, 3));
  plan.folder = place.get();
  plan.drop_root = root;
  plan.user = user;
  if (own_user) folder.give_to(plan.user);

  std::vector<std::string> readable(std::begin(kSystem), std::end(kSystem));
  for (const std::string& path : folders_of(program)) readable.push_back(path);
  readable.insert(readable.end(), limits.readable.begin(), limits.readable.end());
  const Descriptor rules(landlock_rules(folder.descriptor(), readable));
  const int landlock = landlock_version();
  if (landlock > 0 && rules.get() < 0)
    user_error("cannot hide files from a program (Landlock): {}", std::strerror(errno));
  plan.rules = rules.get();
  std::vector<sock_filter> filter = syscall_filter(!own_user, landlock >= 6);
  if (filter.empty()) user_error("this processor has no system call filter here, so programs are not run");
  plan.filter = {static_cast<unsigned short>(filter.size()), filter.data()};

  const auto limit = [&](int resource, int64_t value, int64_t hard = 0) {
    rlimit now{};
    ::getrlimit(static_cast<__rlimit_resource>(resource), &now);
    const rlim_t most = std::min(static_cast<rlim_t>(std::max(value, hard)), now.rlim_max);
    plan.limits.emplace_back(resource, rlimit{std::min(static_cast<rlim_t>(value), most), most});
  };
  limit(RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1);  // SIGXCPU, then SIGKILL
  limit(RLIMIT_AS, limits.memory_mb << 20);
  limit(RLIMIT_FSIZE, limits.file_mb << 20);
  limit(RLIMIT_NOFILE, limits.open_files);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_STACK, 8 << 20);
  limit(RLIMIT_MEMLOCK, 64 << 10);
  if (own_user || !root)
    limit(RLIMIT_NPROC, limits.processes + (own_user ? 0 : threads_of_user(::geteuid())));
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  plan.last_descriptor = static_cast<int>(std::min<rlim_t>(descriptors.rlim_cur, 1 << 16));

  std::vector<std::string> environment = {"PATH=" + search_path(), "HOME=" + folder.path(), "LANG=C.UTF-8",
                                          "OMP_NUM_THREADS=1"};
  std::vector<char*> arguments, variables;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  for (std::string& word : environment) variables.push_back(word.data());
  arguments.push_back(nullptr);
  variables.push_back(nullptr);
  plan.path = program.c_str();
  plan.arguments = arguments.data();
  plan.environment = variables.data();

  const auto start = Clock::now();
  const pid_t pid = start_child(plan);
  if (pid < 0) user_error("cannot start \"{}\": {}", command[0], std::strerror(errno));
  if (plan.step != nullptr) {
    end_group(pid);
    user_error("cannot start \"{}\": {}: {}", command[0], plan.step, std::strerror(plan.error));
  }
  out.write.close();
  err.write.close();

  SandboxResult result;
  result.folder = folder.path();
  const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto give_up = start + std::chrono::nanoseconds(static_cast<int64_t>(limits.wall_s * 1e9));
  auto look = start + kLook;
  while (true) {
    pollfd ends[] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}, {ended.get(), POLLIN, 0}};
    ::poll(ends, 3, static_cast<int>(kLook.count()));
    if (!drain(out.read, result.out, limits.output_bytes) ||
        !drain(err.read, result.err, limits.output_bytes)) {
      result.end = SandboxEnd::kOutput;
      break;
    }
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid)
      break;
    const auto now = Clock::now();
    if (now >= give_up) result.end = SandboxEnd::kTime;
    if (stop != nullptr && *stop) result.end = SandboxEnd::kStopped;
    if (now >= look) {
      if (folder.exceeds(limits.folder_mb << 20, limits.folder_files)) result.end = SandboxEnd::kFolder;
      if (root && !own_user && threads_of_group(pid) > limits.processes) result.end = SandboxEnd::kProcesses;
      look = Clock::now() + kLook;
    }
    if (result.end != SandboxEnd::kExit) break;
  }
  rusage used{};
  const int status = end_group(pid, &used);
  if (result.end == SandboxEnd::kExit) {
    const bool fits =
        drain(out.read, result.out, limits.output_bytes) && drain(err.read, result.err, limits.output_bytes);
    const bool signalled = WIFSIGNALED(status);
    result.code = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    const bool spent = used.ru_utime.tv_sec + used.ru_stime.tv_sec >= limits.cpu_s;
    if (!fits)
      result.end = SandboxEnd::kOutput;
    else if (signalled && (result.code == SIGXCPU || (result.code == SIGKILL && spent)))
      result.end = SandboxEnd::kTime;
    else if (signalled)
      result.end = SandboxEnd::kSignal;
  }
  result.wall_s = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace temper
