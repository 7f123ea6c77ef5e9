# Eats memory.
held = []
try:
    while True:
        held.append(bytearray(16 << 20))
except MemoryError:
    held.clear()
    print("refused")
