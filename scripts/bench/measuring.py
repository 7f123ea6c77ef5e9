"""What the benchmarks share: one process at a time, its output, time and memory, and whether others used the machine."""
import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("TEMPER_CACHE", Path.home() / ".cache/temper"))

Measured = namedtuple("Measured", "stdout stderr peak seconds others")  # peak: bytes; others: CPU seconds of other processes


class Failed(SystemExit):
    """A command that is measured did not end well; its last words, with which the program ends where nobody catches it."""


@contextlib.contextmanager
def locked(path):
    if path is None:
        yield
        return
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def busy_seconds():
    """CPU seconds of the whole machine outside idle and waiting for disks."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def measured(command, lock=None, env=None, cwd=None):
    """Runs a command to its end; raises Failed. Says when others used the machine."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(HERE), **(env or {})}
    with locked(lock), tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        busy_before, start = busy_seconds(), time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, env=env, cwd=cwd)
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:  # interrupted: leave nothing running
                process.kill()
                process.wait()
        seconds = time.monotonic() - start
        others = busy_seconds() - busy_before - usage.ru_utime - usage.ru_stime
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}\nexited with {process.returncode}\n{err.read()[-3000:]}")
        if others > 3:
            print(f"  warning: other processes used {others:.0f} s of CPU meanwhile", file=sys.stderr)
        return Measured(out.read(), err.read(), usage.ru_maxrss * 1024, seconds, max(0.0, others))


def measure(command, lock):
    """The command's output and its largest resident set in bytes."""
    done = measured(command, lock)
    return done.stdout, done.peak
