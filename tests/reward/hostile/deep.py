# Folders deeper than any path, and one that nobody may open.
import os

os.mkdir("shut", 0o700)
open("shut/file", "w").close()
os.mkdir("nobody", 0)
print("done", flush=True)
for _ in range(3000):
    os.mkdir("down", 0o700)
    os.chdir("down")
