# Kills its parent, and signals whatever else it can name.
import os
import signal

for send in (lambda: os.kill(os.getppid(), signal.SIGKILL), lambda: os.kill(os.getppid(), signal.SIGSTOP),
             lambda: os.killpg(os.getpgid(os.getppid()), signal.SIGTERM)):
    try:
        send()
        print("sent")
    except OSError:
        pass
print("refused")
