# Fills the disk with files that are each within the limit.
import time

n = 0
while True:
    with open(f"file{n}", "wb") as out:
        out.write(bytes(4 << 20))
    n += 1
    time.sleep(0.01)
