#include "serve/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "serve/http_server.h"

namespace temper {
namespace {

constexpr int kBacklog = 4096;  // the kernel has a bound of its own, net.core.somaxconn

std::string numeric(const sockaddr_storage& place, socklen_t size, int* port) {
  char host[NI_MAXHOST], service[NI_MAXSERV];
  const auto* address = reinterpret_cast<const sockaddr*>(&place);
  if (::getnameinfo(address, size, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "";
  if (port != nullptr) *port = std::atoi(service);
  return host;
}

}  // namespace

bool is_loopback(const std::string& address) {
  const std::string_view mapped = "::ffff:";
  const std::string plain = address.starts_with(mapped) ? address.substr(mapped.size()) : address;
  return plain.starts_with("127.") || plain == "::1";
}

Listener listen_on(const std::string& host, int port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0)
    user_error("--host {}: expected an address of this machine, such as 127.0.0.1: {}", host,
               ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, ::freeaddrinfo);
  int why = 0;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    const int socket = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    // Not SO_REUSEPORT, by which two servers would share a port unnoticed.
    const int yes = 1;
    if (socket >= 0) ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (socket >= 0 && ::bind(socket, a->ai_addr, a->ai_addrlen) == 0 && ::listen(socket, kBacklog) == 0) {
      sockaddr_storage place{};
      socklen_t size = sizeof place;
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&place), &size);
      Listener out{socket, 0, false};
      out.loopback = is_loopback(numeric(place, size, &out.port));
      return out;
    }
    why = errno;
    if (socket >= 0) ::close(socket);
  }
  user_error("--host {} --port {}: cannot listen there: {}{}", host, port, std::strerror(why),
             why == EADDRINUSE ? "; another program does, so try another --port, or 0 for any" : "");
}

std::string peer_address(int socket) {
  sockaddr_storage place{};
  socklen_t size = sizeof place;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&place), &size) != 0) return "";
  return numeric(place, size, nullptr);
}

}  // namespace temper
