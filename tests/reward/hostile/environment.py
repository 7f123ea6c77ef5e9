# Reads the environment.
import os

print(*sorted(os.environ.items()))
