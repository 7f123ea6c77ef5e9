# Takes the processor for ever, and ignores the signal that its limit sends.
import signal

signal.signal(signal.SIGXCPU, signal.SIG_IGN)
while True:
    pass
