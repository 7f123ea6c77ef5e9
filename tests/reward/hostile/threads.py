# Starts threads without end.
import threading
import time

try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        time.sleep(0.001)
except RuntimeError:
    print("refused", flush=True)
