// An HTTP server on this machine that does what a test tells it to, also what no server should.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace temper {

class WireServer {
 public:
  // One connection, on which one request has come.
  struct Peer {
    const WireServer& server;
    int socket;
    std::string head, body;  // of the request
    // Writes bytes as they are; false: the client has gone.
    bool write(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
      }
      return true;
    }
    void answer(int status, const std::string& text, const std::string& headers = "") const {
      write("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(text.size()) +
            "\r\n" + headers + "\r\n" + text);
    }
    // False: the server is ending, or the client has gone.
    bool sleep(double s) const {
      const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(s);
      while (std::chrono::steady_clock::now() < end) {
        pollfd gone{socket, POLLRDHUP, 0};
        if (server.ending_ || (::poll(&gone, 1, 10) > 0 && gone.revents != 0)) return false;
      }
      return true;
    }
    std::string header(const std::string& name) const {
      const size_t at = head.find("\r\n" + name + ": ");
      if (at == std::string::npos) return "";
      const size_t begin = at + name.size() + 4;
      return head.substr(begin, head.find("\r\n", begin) - begin);
    }
  };
  using Handler = std::function<void(const Peer&)>;
  // Instead of reading a request: has the connection to itself.
  using RawHandler = std::function<void(int socket)>;

  // port 0: any that is free. Handlers of several connections run beside each other.
  explicit WireServer(Handler handler, int port = 0) : WireServer(std::move(handler), nullptr, port) {}
  explicit WireServer(RawHandler raw) : WireServer(nullptr, std::move(raw), 0) {}
  ~WireServer() {
    ending_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    for (Connection& c : connections_) {
      ::shutdown(c.socket, SHUT_RDWR);
      c.thread.join();
      ::close(c.socket);
    }
  }
  WireServer(const WireServer&) = delete;
  WireServer& operator=(const WireServer&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& path = "/score") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  int requests() const { return requests_; }

 private:
  struct Connection {
    int socket;
    std::thread thread;
  };

  WireServer(Handler handler, RawHandler raw, int port) : handler_(std::move(handler)), raw_(std::move(raw)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<uint16_t>(port));
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    auto* address = reinterpret_cast<sockaddr*>(&place);
    if (::bind(listener_, address, size) != 0 || ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, address, &size) != 0)
      throw std::runtime_error("a test's server cannot listen");
    port_ = ntohs(place.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }

  void accept() {
    while (!ending_) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0) continue;
      Connection& c = connections_.emplace_back(Connection{socket, {}});
      c.thread = std::thread([this, socket] {
        if (raw_)
          raw_(socket);
        else
          serve(socket);
        ::shutdown(socket, SHUT_RDWR);
      });
    }
  }

  void serve(int socket) {
    std::string got;
    size_t head = std::string::npos, body = 0;
    Peer peer{*this, socket, {}, {}};
    while (head == std::string::npos || got.size() < head + 4 + body) {
      char buffer[1 << 16];
      const ssize_t n = ::recv(socket, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      got.append(buffer, static_cast<size_t>(n));
      if (head != std::string::npos || (head = got.find("\r\n\r\n")) == std::string::npos) continue;
      peer.head = got.substr(0, head + 2);
      body = std::strtoull(peer.header("Content-Length").c_str(), nullptr, 10);
    }
    peer.body = got.substr(head + 4);
    ++requests_;
    handler_(peer);
  }

  Handler handler_;
  RawHandler raw_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> ending_ = false;
  std::atomic<int> requests_ = 0;
  std::thread acceptor_;
  std::list<Connection> connections_;  // by the acceptor alone until it has ended
};

}  // namespace temper
