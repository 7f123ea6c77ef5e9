// A client's socket with bounds: of how long a request may take to come in, of how many bytes it may have,
// and of how long nobody may read what is answered.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

namespace temper {

class ClientSocket {
 public:
  using Clock = std::chrono::steady_clock;
  // aborts: looked at ten times a second while something is waited for; true: all of it ends.
  ClientSocket(int socket, double write_s, const std::atomic<bool>& aborts);
  ~ClientSocket();  // closes it
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;

  int fd() const { return socket_; }
  // Whether something can be read within so long. given_up: looked at meanwhile, too.
  bool wait(double s, const std::function<bool()>& given_up) const;
  // From here on at most so many bytes are read, until then.
  void allow(size_t bytes, double s);
  void allow_more(size_t bytes) { bytes_left_ += bytes; }
  // As recv; -1 when a bound is passed, or nobody is there.
  ssize_t read(char* to, size_t size);
  // All of it; false: nobody has read for write_s.
  bool write(const char* from, size_t size);
  // Not all that was sent has been read: closing waits a moment, so that the answer is.
  void leave_unread() { unread_ = true; }
  // Whether the other side has gone. One that has only said that it sends nothing more counts as gone: no
  // HTTP client does so while it waits.
  bool gone() const;

 private:
  bool ready(short what, Clock::time_point until) const;
  int socket_;
  double write_s_;
  const std::atomic<bool>& aborts_;
  Clock::time_point until_;
  size_t bytes_left_ = 0;
  bool unread_ = false;
  std::string buffer_;
  size_t taken_ = 0;  // of buffer_
};

}  // namespace temper
