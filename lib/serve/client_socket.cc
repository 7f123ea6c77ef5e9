#include "serve/client_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace temper {
namespace {

constexpr size_t kBuffer = 16384;
constexpr double kLinger_s = 1;  // for the other side to read an answer to what it still sends
constexpr size_t kLingerBytes = 16 << 20;

ClientSocket::Clock::time_point in(double s) {
  return ClientSocket::Clock::now() +
         std::chrono::duration_cast<ClientSocket::Clock::duration>(std::chrono::duration<double>(s));
}

}  // namespace

ClientSocket::ClientSocket(int socket, double write_s, const std::atomic<bool>& aborts)
    : socket_(socket), write_s_(write_s), aborts_(aborts) {
  const int yes = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

ClientSocket::~ClientSocket() {
  // A close with bytes unread would reset the connection, and with it take away the answer.
  ::shutdown(socket_, SHUT_WR);
  const auto until = in(kLinger_s);
  char buffer[kBuffer];
  for (size_t n = 0; unread_ && n < kLingerBytes && ready(POLLIN, until);) {
    const ssize_t got = ::recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) break;
    n += static_cast<size_t>(got);
  }
  ::close(socket_);
}

// Whether poll says so before then.
bool ClientSocket::ready(short what, Clock::time_point until) const {
  while (!aborts_) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left < 0) return false;
    pollfd state{socket_, what, 0};
    const int n = ::poll(&state, 1, static_cast<int>(std::min<int64_t>(left + 1, 100)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
  return false;
}

bool ClientSocket::wait(double s, const std::function<bool()>& given_up) const {
  if (taken_ < buffer_.size()) return true;
  const auto until = in(s);
  while (Clock::now() < until && !aborts_ && !given_up()) {
    pollfd state{socket_, POLLIN, 0};
    if (::poll(&state, 1, 50) > 0) return true;
  }
  return false;
}

void ClientSocket::allow(size_t bytes, double s) {
  bytes_left_ = bytes;
  until_ = in(s);
}

ssize_t ClientSocket::read(char* to, size_t size) {
  if (taken_ == buffer_.size()) {
    if (!ready(POLLIN, until_)) return -1;
    buffer_.resize(kBuffer);
    const ssize_t n = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    buffer_.resize(n > 0 ? static_cast<size_t>(n) : 0);
    taken_ = 0;
    if (n <= 0) return n;
  }
  size = std::min({size, buffer_.size() - taken_, bytes_left_});
  if (size == 0) return -1;
  std::memcpy(to, buffer_.data() + taken_, size);
  taken_ += size, bytes_left_ -= size;
  return static_cast<ssize_t>(size);
}

bool ClientSocket::write(const char* from, size_t size) {
  while (size > 0) {
    if (!ready(POLLOUT, in(write_s_))) return false;
    const ssize_t n = ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return false;
    from += n, size -= static_cast<size_t>(n);
  }
  return true;
}

bool ClientSocket::gone() const {
  pollfd state{socket_, POLLRDHUP, 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace temper
