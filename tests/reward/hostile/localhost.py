# Sends to a port of this machine that somebody listens on (argv[4]).
import socket
import sys

for send in (lambda port: socket.create_connection(("127.0.0.1", port), 1).sendall(b"x"),
             lambda port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))):
    try:
        send(int(sys.argv[4]))
        print("sent")
    except OSError:
        pass
print("refused")
