# Becomes a shell that starts more.
import os
import sys

os.execvp("sh", ["sh", "-c", "(sh -c 'sleep 1000; :' " + sys.argv[1] + " &) & sleep 1000; :", sys.argv[1]])
