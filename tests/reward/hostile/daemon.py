# Leaves a daemon behind: a new session, twice forked, all descriptors closed.
import os
import time

if os.fork() == 0:
    for leave in (os.setsid, os.setpgrp, lambda: os.setpgid(0, 0)):
        try:
            leave()
        except OSError:
            pass
    if os.fork() == 0:
        os.closerange(0, 64)
        while True:
            time.sleep(1000)
    os._exit(0)
os.wait()
print("done")
