# Reads its input for ever.
import sys

while True:
    sys.stdin.read()
