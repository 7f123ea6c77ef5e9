# Closes all that its caller reads and goes on.
import os
import time

os.closerange(0, 64)
while True:
    time.sleep(1000)
