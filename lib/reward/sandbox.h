// A program that nobody trusts, run once with hard limits.
//
// It is the leader of a session of its own, with no descriptor but its three, an empty environment but for
// PATH, HOME (its folder), LANG and OMP_NUM_THREADS, and a private folder that is removed afterwards. A
// seccomp filter refuses it sockets of any kind, other namespaces and leaving its process group, so one
// signal ends all that it started. Landlock, where the kernel has it, lets it write its folder alone and read
// that, the system's programs and libraries, and what `readable` names.
//
// RLIMIT_NPROC does not bind root. A root's program becomes a user of its own where that user may run it, and
// the limit holds; else (an interpreter in /root) it stays root without capabilities, and what it has started
// is counted about a hundred times a second. For other users the kernel counts all of the user's processes,
// so the limit is those that there are and `processes` more.
//
// What surprises honest programs: /dev/shm is closed, so locks and queues of Python's multiprocessing fail;
// chmod fails unless the program has a user of its own; Node reserves address space and needs more memory_mb.
//
// What is not held: memory is limited for each process, not for all of them together; the time that
// processors spend and the caches they share are seen by every program; where Landlock is missing, files that
// the user may read or write stay so. When this process is killed (SIGKILL), the program is killed with it,
// but what it started lives until its CPU time is spent, and its folder stays.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace temper {

struct SandboxLimits {
  double wall_s = 10;        // then the whole group is killed
  int64_t cpu_s = 10;        // each process
  int64_t memory_mb = 1024;  // address space of each process
  int64_t processes = 32;    // threads count too
  int64_t file_mb = 16;      // each file
  int64_t folder_mb = 64;    // all that lies in its folder, looked at about a hundred times a second
  int64_t folder_files = 4096;
  int64_t open_files = 64;            // each process
  int64_t output_bytes = 1 << 20;     // of standard output and of standard error
  std::vector<std::string> readable;  // files and folders beside those of the system and the interpreter
};

enum class SandboxEnd {
  kExit,       // by itself, with `code`
  kSignal,     // by the signal `code`
  kTime,       // wall_s or cpu_s
  kOutput,     // output_bytes
  kFolder,     // folder_mb or folder_files
  kProcesses,  // processes, where they are counted
  kStopped     // `stop` was set
};

struct SandboxResult {
  SandboxEnd end = SandboxEnd::kExit;
  int code = 0;
  std::string out, err;  // of each at most output_bytes
  double wall_s = 0;
  std::string folder;  // where it ran, which is gone: its messages may name it
  bool good() const { return end == SandboxEnd::kExit && code == 0; }
};

struct SandboxFile {
  std::string name, text;
};

// What holds on this machine beside the limits. Without a seccomp filter nothing is run at all.
struct SandboxGuards {
  bool filter = false;    // sockets, sessions and other processes are out of reach
  bool files = false;     // Landlock: files of others too
  bool own_user = false;  // this is root, and a program gets a user of its own
};
// For a command's first word; throws UserError when there is no such program in PATH.
SandboxGuards sandbox_guards(const std::string& program);

// Runs command[0] (looked up in PATH unless it has a slash) in a new folder that holds `files`, with `input`
// as its standard input, and comes back when it and all that it started are gone. Thread-safe. Throws
// UserError when it cannot be started, or cannot be guarded. `stop`, set by another thread, ends it soon.
SandboxResult run_sandboxed(const SandboxLimits& limits, const std::vector<std::string>& command,
                            const std::string& input, const std::vector<SandboxFile>& files = {},
                            const std::atomic<bool>* stop = nullptr);

}  // namespace temper
