# Reads what the system keeps for itself.
import os

for path in ("/etc/shadow", "/etc/gshadow", f"/proc/{os.getppid()}/environ", f"/proc/{os.getppid()}/mem", "/root/.bash_history"):
    try:
        with open(path, "rb") as file:
            file.read(1)
        print("read", path)
    except OSError:
        pass
print("refused")
