# Leaves a process behind that holds its output open.
import os
import time

if os.fork() == 0:
    time.sleep(1000)
print("done")
