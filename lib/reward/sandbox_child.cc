#include "reward/sandbox_child.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

// glibc's clone() by its other name: ThreadSanitizer puts a fork of its own in front of the first, whose
// child would mark the memory that it shares with us as a fork's.
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);

namespace temper {
namespace {

// Names that the headers of older systems lack. Numbers from 424 on are the same on every processor.
constexpr long kPidfdSendSignal = 424, kOpenTree = 428, kMoveMount = 429, kFsopen = 430, kPidfdGetfd = 438,
               kCloseRange = 436, kMountSetattr = 442, kLandlockCreate = 444, kLandlockAdd = 445,
               kLandlockRestrict = 446, kMemfdSecret = 447, kFchmodat2 = 452, kSetxattrat = 463,
               kRemovexattrat = 466;

// linux/landlock.h, as of version 6; an older kernel takes what it knows when the rest is 0.
struct LandlockRuleset {
  uint64_t files, network, scopes;
};
struct __attribute__((packed)) LandlockPath {
  uint64_t allowed;
  int32_t parent;
};
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadFolder = 1 << 3;
constexpr uint64_t kTruncate = 1 << 14, kDeviceControl = 1 << 15, kScopeSignal = 1 << 1;
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kDeviceControl;

uint64_t handled_rights(int version) {
  uint64_t rights = (1 << 13) - 1;
  if (version >= 2) rights |= 1 << 13;  // moving between folders
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kDeviceControl;
  return rights;
}

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

sock_filter load_word(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
sock_filter give(uint32_t verdict) {
  return BPF_STMT(BPF_RET | BPF_K, verdict);
}
sock_filter skip_unless(uint16_t test, uint32_t value, uint8_t skipped) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | test | BPF_K), value, 0, skipped);
}

#define TEMPER_UNSANITISED __attribute__((no_sanitize("address", "thread", "undefined")))

// From here to start_child() only system calls, none through glibc's own functions: no allocation, no lock,
// nothing that keeps state, speaks to the other threads (as its setresuid does) or is a sanitizer's.
TEMPER_UNSANITISED int become(ChildPlan& plan) {
  struct {
    uint64_t handler, flags, restorer, mask;
  } const by_default{};
  const uint64_t no_signals = 0;
  for (int number = 1; number < 65; ++number) ::syscall(SYS_rt_sigaction, number, &by_default, nullptr, 8);
  plan.step = "setsid";
  if (::syscall(SYS_setsid) < 0) return errno;
  plan.step = "dup3";
  if (::syscall(SYS_dup3, plan.in, 0, 0) < 0 || ::syscall(SYS_dup3, plan.out, 1, 0) < 0 ||
      ::syscall(SYS_dup3, plan.err, 2, 0) < 0)
    return errno;
  plan.step = "fchdir";
  if (::syscall(SYS_fchdir, plan.folder) < 0) return errno;
  // Where memory runs out, this process goes first. No matter when that cannot be said.
  const long score = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY);
  if (score >= 0) ::syscall(SYS_write, score, "1000", 4);
  plan.step = "setrlimit";
  for (const auto& [resource, limit] : plan.limits) {
    if (::syscall(SYS_prlimit64, 0, resource, &limit, nullptr) < 0) return errno;
  }
  if (plan.drop_root) {
    plan.step = "change of user";
    if (plan.user != 0 && (::syscall(SYS_setgroups, 0, nullptr) < 0 ||
                           ::syscall(SYS_setresgid, plan.user, plan.user, plan.user) < 0 ||
                           ::syscall(SYS_setresuid, plan.user, plan.user, plan.user) < 0))
      return errno;
    plan.step = "capset";
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    if (::syscall(SYS_capset, &header, none) < 0) return errno;
  }
  plan.step = "prctl";
  if (::syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
    return errno;
  plan.step = "landlock";
  if (plan.rules >= 0 && ::syscall(kLandlockRestrict, plan.rules, 0) < 0) return errno;
  if (::syscall(kCloseRange, 3u, ~0u, 0u) < 0) {
    for (int fd = 3; fd <= plan.last_descriptor; ++fd) ::syscall(SYS_close, fd);
  }
  plan.step = "seccomp";
  if (::syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan.filter, 0, 0) < 0) return errno;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, 8);
  plan.step = nullptr;
  ::syscall(SYS_execve, plan.path, plan.arguments, plan.environment);
  plan.step = "execve";
  return errno;
}

TEMPER_UNSANITISED int child_main(void* plan) {
  static_cast<ChildPlan*>(plan)->error = become(*static_cast<ChildPlan*>(plan));
  while (true) ::syscall(SYS_exit_group, 127);
}

}  // namespace

int landlock_version() {
  const long version = ::syscall(kLandlockCreate, nullptr, 0, 1u);
  return version > 0 ? static_cast<int>(version) : 0;
}

int landlock_rules(int folder, const std::vector<std::string>& readable) {
  const int version = landlock_version();
  if (version == 0) return -1;
  const uint64_t handled = handled_rights(version);
  const LandlockRuleset set{handled, 0, version >= 6 ? kScopeSignal : 0};
  const long rules = ::syscall(kLandlockCreate, &set, sizeof set, 0u);
  if (rules < 0) return -1;
  const LandlockPath all{handled & ~kDeviceControl, folder};
  bool good = ::syscall(kLandlockAdd, rules, 1u, &all, 0u) == 0;
  for (const std::string& path : readable) {
    const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0) continue;  // a folder that this system does not have
    const bool is_folder = ::faccessat(fd, ".", F_OK, 0) == 0;
    const bool device = path.starts_with("/dev/");
    uint64_t allowed = kReadFile | kExecute | kReadFolder | (device ? kWriteFile | kTruncate : 0);
    allowed &= handled & (is_folder ? ~uint64_t{0} : kOfFiles);
    const LandlockPath rule{allowed, fd};
    good = good && ::syscall(kLandlockAdd, rules, 1u, &rule, 0u) == 0;
    ::close(fd);
  }
  if (good) return static_cast<int>(rules);
  ::close(static_cast<int>(rules));
  return -1;
}

std::vector<sock_filter> syscall_filter(bool guard_user, bool signals_held) {
  if (kArchitecture == 0) return {};
  std::vector<long> refused = {SYS_setsid,
                               SYS_setpgid,
                               SYS_socket,
                               SYS_io_uring_setup,
                               SYS_shmget,
                               SYS_msgget,
                               SYS_semget,
                               SYS_mq_open,
                               SYS_memfd_create,
                               SYS_add_key,
                               SYS_request_key,
                               SYS_keyctl,
                               SYS_ptrace,
                               SYS_process_vm_readv,
                               SYS_process_vm_writev,
                               SYS_kcmp,
                               SYS_bpf,
                               SYS_perf_event_open,
                               SYS_userfaultfd,
                               SYS_unshare,
                               SYS_setns,
                               SYS_chroot,
                               SYS_pivot_root,
                               SYS_mount,
                               SYS_umount2,
                               SYS_setpriority,
                               SYS_ioprio_set,
                               kOpenTree,
                               kMoveMount,
                               kFsopen,
                               kMountSetattr,
                               kPidfdGetfd,
                               kMemfdSecret};
  // Their first argument is a process; only 0, which means the caller or its own group, goes through.
  std::vector<long> of_self = {SYS_prlimit64, SYS_sched_setaffinity, SYS_sched_setscheduler,
                               SYS_sched_setparam, SYS_sched_setattr};
  if (guard_user) {
    refused.insert(refused.end(),
                   {SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_truncate, SYS_utimensat,
                    SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr,
                    SYS_fremovexattr, kFchmodat2, kSetxattrat, kRemovexattrat});
#if defined(__x86_64__)
    refused.insert(refused.end(), {SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat});
#endif
    if (!signals_held) {
      refused.insert(refused.end(),
                     {SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, kPidfdSendSignal});
      of_self.push_back(SYS_kill);
    }
  }
  std::vector<sock_filter> f = {load_word(offsetof(seccomp_data, arch)),
                                skip_unless(BPF_JEQ, kArchitecture, 1)};
  f.push_back(BPF_STMT(BPF_JMP | BPF_JA, 1));
  f.push_back(give(SECCOMP_RET_KILL_PROCESS));  // calls of another processor's numbers
  f.push_back(load_word(offsetof(seccomp_data, nr)));
  f.push_back(skip_unless(BPF_JGE, 0x40000000, 1));  // the x32 numbers of x86-64
  f.push_back(give(SECCOMP_RET_KILL_PROCESS));
  for (const long number : refused) {
    f.push_back(skip_unless(BPF_JEQ, static_cast<uint32_t>(number), 1));
    f.push_back(give(SECCOMP_RET_ERRNO | EPERM));
  }
  for (const long number : of_self) {
    f.push_back(skip_unless(BPF_JEQ, static_cast<uint32_t>(number), 4));
    f.push_back(load_word(offsetof(seccomp_data, args)));  // little endian: the low half, all of an int
    f.push_back(skip_unless(BPF_JEQ, 0, 1));
    f.push_back(give(SECCOMP_RET_ALLOW));
    f.push_back(give(SECCOMP_RET_ERRNO | EPERM));
  }
  f.push_back(give(SECCOMP_RET_ALLOW));
  return f;
}

pid_t start_child(ChildPlan& plan) {
  constexpr size_t kStack = 64 << 10;
  void* const stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) return -1;
  // Nothing of ours may run in the child on a signal, and the change of its user makes the memory that it
  // shares with us "not dumpable".
  const int dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  sigset_t all, old;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &old);
  const pid_t pid =
      ::__clone(child_main, static_cast<char*>(stack) + kStack, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (dumpable == 1 && plan.user != 0) ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  ::munmap(stack, kStack);
  errno = error;
  return pid;
}

}  // namespace temper
