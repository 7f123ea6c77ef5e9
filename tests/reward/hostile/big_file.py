# Fills the disk with one file.
with open("file", "wb", buffering=0) as out:
    try:
        while True:
            out.write(bytes(1 << 20))
    except OSError:
        print("refused")
