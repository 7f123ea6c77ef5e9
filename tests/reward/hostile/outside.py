# Writes outside its folder: into a folder that everybody may write to (argv[3]) and the usual ones.
import os
import sys

for folder in (sys.argv[3], "..", "/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~/.."), "/"):
    for write in (lambda path: open(path, "w"), os.mkdir, lambda path: os.symlink("/", path),
                  lambda path: os.link(os.path.abspath("program.py"), path), lambda path: os.rename("program.py", path)):
        path = os.path.join(folder, "temper-left")
        try:
            write(path)
            print("wrote", path)
        except OSError:
            pass
for change in (lambda: os.truncate(sys.argv[2], 0), lambda: os.chmod(sys.argv[2], 0o777), lambda: os.unlink(sys.argv[2]),
               lambda: os.utime(sys.argv[2], (0, 0)), lambda: os.rmdir(sys.argv[3])):
    try:
        change()
        print("changed")
    except OSError:
        pass
print("refused")
