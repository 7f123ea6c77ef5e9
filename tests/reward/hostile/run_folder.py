# Reads a file of a run (argv[2]) and lists its folder.
import os
import sys

for read in (lambda: open(sys.argv[2]).read(), lambda: os.listdir(os.path.dirname(sys.argv[2]))):
    try:
        print("read", read())
    except OSError:
        pass
print("refused")
