# Prints what is expected, then crashes.
import ctypes

print("expected", flush=True)
ctypes.string_at(0)
