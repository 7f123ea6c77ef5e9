// A client that sends what a test tells it to, byte by byte if need be.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/json.h"

namespace temper {

class RawClient {
 public:
  explicit RawClient(int port, int receive_buffer = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<uint16_t>(port));
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0)
      throw std::runtime_error("cannot connect");
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // What comes until `enough` stands in it, the other side closes, or so long has passed.
  std::string receive(const std::string& enough = "", double s = 20) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(s);
    while (enough.empty() || got_.find(enough) == std::string::npos) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      pollfd state{socket_, POLLIN, 0};
      if (left.count() <= 0 || ::poll(&state, 1, static_cast<int>(left.count())) <= 0) break;
      char buffer[65536];
      const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
      closed_ = n <= 0;
      if (closed_) break;
      got_.append(buffer, static_cast<size_t>(n));
    }
    return got_;
  }
  bool closed() const { return closed_; }  // by the other side

 private:
  int socket_;
  std::string got_;
  bool closed_ = false;
};

struct HttpAnswered {
  int status = 0;
  std::string head, body;
  Json json() const { return Json::parse(body, nullptr, false); }
};

inline std::string http_request(const std::string& method, const std::string& path,
                                const std::string& body = "", const std::string& headers = "") {
  return method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

inline HttpAnswered parsed(const std::string& text) {
  HttpAnswered out;
  if (text.size() > 12) out.status = std::atoi(text.c_str() + 9);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return out;
  out.head = text.substr(0, end);
  out.body = text.substr(end + 4);
  return out;
}

// One request on a connection of its own.
inline HttpAnswered ask(int port, const std::string& method, const std::string& path,
                        const std::string& body = "", const std::string& headers = "") {
  RawClient client(port);
  client.send(http_request(method, path, body, headers));
  return parsed(client.receive());
}

}  // namespace temper
