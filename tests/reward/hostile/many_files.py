# Takes all inodes.
n = 0
while True:
    open(f"file{n}", "w").close()
    n += 1
