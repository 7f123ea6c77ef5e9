// A socket that listens.
#pragma once

#include <string>

namespace temper {

struct Listener {
  int socket = -1;
  int port = 0;
  bool loopback = false;  // only this machine reaches it
};

// port 0: any that is free. Throws UserError.
Listener listen_on(const std::string& host, int port);

// Who is at the other end of a connection, as numbers.
std::string peer_address(int socket);

}  // namespace temper
