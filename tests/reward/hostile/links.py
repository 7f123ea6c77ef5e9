# Links in its folder: to files of others (argv[2]), to folders that must not be emptied (argv[3]), in circles.
import os
import sys

os.symlink(sys.argv[2], "secret")
os.symlink(sys.argv[3], "folder")
os.symlink(".", "circle")
os.symlink("/dev/zero", "zero")
os.mkfifo("fifo")
os.unlink("program.py")
os.symlink(sys.argv[2], "program.py")
for path in ("secret", "program.py", "folder/kept", "circle/circle/secret"):
    try:
        print("read", open(path).read())
    except OSError:
        pass
print("refused")
