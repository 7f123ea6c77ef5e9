# Files with names as long, and as odd, as they get.
import os

for name in (b"x" * 255, b"\xff\xfe\n\r\t", b"-rf", b"*", b" ", b".temper-0", b"...", b"\xe2\x80\xae"):
    open(name, "w").close()
os.mkdir(b".temper-1")
os.mkdir(b".temper-1/.temper-1")
try:
    open(b"x" * 5000, "w")
except OSError:
    print("refused")
