# Reads and changes its parent by other ways than signals.
import ctypes
import os
import resource

libc, parent = ctypes.CDLL(None, use_errno=True), os.getppid()
for name, call in (("ptrace", lambda: libc.ptrace(16, parent, 0, 0)), ("priority", lambda: libc.setpriority(0, parent, 19)),
                   ("unshare", lambda: libc.unshare(0x10000000)), ("shared memory", lambda: libc.shmget(77, 4096, 0o1666)),
                   ("queue", lambda: libc.msgget(77, 0o1666)), ("memory file", lambda: libc.memfd_create(b"x", 0)),
                   ("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)), ("ring", lambda: libc.syscall(425, 8, 0))):
    if call() >= 0:
        print("reached", name)
try:
    resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, 3))
    print("reached limits")
except OSError:
    pass
print("refused")
