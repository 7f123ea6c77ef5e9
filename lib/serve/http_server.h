// HTTP/1.1 on cpp-httplib: who listens, what a request may cost, and which function answers it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace temper {

struct HttpLimits {
  size_t max_body = 8 << 20;   // bytes
  size_t max_head = 64 << 10;  // bytes of request line and headers
  int64_t connections = 256;   // with a thread each; more wait in the kernel's backlog
  double read_s = 10;          // for a request to come in, head and body
  double write_s = 30;         // that nobody reads an answer
  double keep_alive_s = 5;     // between two requests of a connection
};

struct HttpRequest {
  std::string method, path;  // "GET", "/v1/models"; path decoded, without what follows "?"
  std::string body;
  std::string remote;                                 // the client's address
  std::map<std::string, std::string> headers;         // by name in lower case; of several the first
  std::map<std::string, std::string> params;          // of the query
  std::function<bool()> gone;                         // whether the client is not there any more
  std::string header(const std::string& name) const;  // name: in lower case; "": there is none
};

struct HttpReply {
  int status = 200;
  std::string type = "application/json", body;
  std::vector<std::pair<std::string, std::string>> headers = {};
  // In the place of `body`: writes pieces while they come. write: false: nobody is there any more.
  using Write = std::function<bool(const std::string&)>;
  std::function<void(const Write& write)> stream = nullptr;
  std::function<int64_t()> tokens = nullptr;  // for the log, when it has been answered
};

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;
  struct Hooks {
    // Looked at before the body is read; throws ApiError for what is not let in.
    std::function<void(const HttpRequest&)> admit;
    // Behind every request.
    std::function<void(const HttpRequest&, int status, int64_t tokens, double seconds)> log;
  };

  // Binds. port 0: any that is free. Throws UserError.
  HttpServer(const std::string& host, int port, const HttpLimits& limits, Hooks hooks);
  ~HttpServer();  // stop(0)

  // A path that ends in "/*" takes all that begin so. Handlers run beside each other; what they throw is
  // answered as api_error.h says. Before start().
  void on(const std::string& method, const std::string& path, Handler handler);
  void start();
  // From here on requests are refused with 503; streams that ask stopping() end.
  void refuse() { stopping_ = true; }
  const std::atomic<bool>& stopping() const { return stopping_; }
  // Waits so long for answers under way, then cuts them. Nothing listens behind it.
  void stop(double patience_s);

  int port() const { return port_; }
  bool loopback() const { return loopback_; }  // only this machine reaches it

 private:
  class Impl;
  std::atomic<bool> stopping_ = false;
  int port_ = 0;
  bool loopback_ = false;
  std::unique_ptr<Impl> impl_;
};

// Whether it is an address of this machine itself: "127.0.0.1", "::1", "::ffff:127.0.0.1".
bool is_loopback(const std::string& address);

}  // namespace temper
