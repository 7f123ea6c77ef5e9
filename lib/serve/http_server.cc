#include "serve/http_server.h"

#include <httplib.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/api_error.h"
#include "serve/client_socket.h"
#include "serve/listener.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;

// A connection and the request that it is at.
struct Client {
  Client(int fd, const HttpLimits& limits, const std::atomic<bool>& aborts)
      : socket(fd, limits.write_s, aborts), remote(peer_address(fd)) {}
  ClientSocket socket;
  std::string remote;
  HttpRequest request;
  const HttpServer::Handler* handler = nullptr;
  std::optional<ApiError> refused;                      // before the body was read
  bool read_head = false, last = false, chunks = true;  // chunks: HTTP/1.0 does not know them
  int status = 0;
  std::function<int64_t()> tokens;
};

// httplib's functions have no argument of ours; a connection is one thread's.
thread_local Client* current = nullptr;

class Wire : public httplib::Stream {
 public:
  explicit Wire(Client& client) : client_(client) {}
  bool is_readable() const override { return true; }  // read() waits
  bool is_writable() const override { return !client_.socket.gone(); }
  ssize_t read(char* to, size_t size) override { return client_.socket.read(to, size); }
  ssize_t write(const char* from, size_t size) override {
    return client_.socket.write(from, size) ? static_cast<ssize_t>(size) : -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip = client_.remote, port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return client_.socket.fd(); }

 private:
  Client& client_;
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void answer_error(httplib::Response& response, const ApiError& error) {
  response.status = current->status = error.status;
  if (error.status == 429) response.set_header("Retry-After", "1");
  if (error.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(dump_line(to_json(error)) + "\n", "application/json");
}

}  // namespace

std::string HttpRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

class HttpServer::Impl : public httplib::Server {
 public:
  Impl(HttpServer& owner, const Listener& listener, const HttpLimits& limits, Hooks hooks)
      : owner_(owner), listener_(listener), limits_(limits), hooks_(std::move(hooks)) {
    svr_sock_ = listener.socket;  // what httplib asks whether it is to go on
    set_payload_max_length(limits_.max_body);
    set_keep_alive_timeout(static_cast<time_t>(limits_.keep_alive_s));
    set_keep_alive_max_count(1 << 20);  // both are only told to clients
    // Every request is sent to "/": which function answers has been found before its body is read.
    Get("/", [this](const httplib::Request&, httplib::Response& response) { respond(response); });
    Post("/", [this](const httplib::Request&, httplib::Response& response,
                     const httplib::ContentReader& reader) { read_and_respond(response, reader); });
    set_pre_routing_handler([](const httplib::Request&, httplib::Response& response) {
      if (!current->refused) return HandlerResponse::Unhandled;
      answer_error(response, *current->refused);
      return HandlerResponse::Handled;
    });
    // What httplib refuses by itself, such as a head that is none.
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      current->last = true;
      current->socket.leave_unread();
      answer_error(response, {response.status, "invalid_request_error", "this is no HTTP request", "", ""});
    });
  }

  void add(const std::string& method, const std::string& path, HttpServer::Handler handler) {
    handlers_[path][method] = std::move(handler);
  }

  void start() {
    acceptor_ = std::thread([this] { accept_all(); });
  }

  void stop(double patience_s) {
    if (closed_.exchange(true)) return;
    if (acceptor_.joinable()) acceptor_.join();
    svr_sock_ = INVALID_SOCKET;
    ::close(listener_.socket);
    std::unique_lock lock(house_->mutex);
    const auto empty = [&] { return house_->threads == 0; };
    house_->change.wait_for(lock, std::chrono::duration<double>(patience_s), empty);
    aborts_ = true;
    house_->change.wait(lock, empty);
  }

 private:
  struct House {
    std::mutex mutex;
    std::condition_variable change;
    int64_t threads = 0;
  };

  void accept_all() {
    while (!closed_) {
      pollfd state{listener_.socket, POLLIN, 0};
      if (::poll(&state, 1, 100) <= 0) {
        crowded_ = false;
        continue;
      }
      {
        std::unique_lock lock(house_->mutex);
        if (house_->threads >= limits_.connections) {
          crowded_ = true;  // who asks for nothing makes room
          house_->change.wait_for(lock, std::chrono::milliseconds(100));
          continue;
        }
        ++house_->threads;
      }
      const int fd = ::accept4(listener_.socket, nullptr, nullptr, SOCK_CLOEXEC);
      try {
        if (fd < 0) throw std::runtime_error("no connection");
        std::thread([this, fd, house = house_] {
          serve(fd);
          leave(*house);
        }).detach();
      } catch (const std::exception&) {  // it has gone, or there are no descriptors or threads left
        if (fd >= 0) ::close(fd);
        leave(*house_);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
  }

  static void leave(House& house) {
    const std::lock_guard lock(house.mutex);
    --house.threads;
    house.change.notify_all();
  }

  // A connection's requests, one after the other.
  void serve(int fd) try {
    Client client(fd, limits_, aborts_);
    current = &client;
    Wire wire(client);
    for (bool first = true; !client.last; first = false) {
      const auto since = Clock::now();
      const auto in_the_way = [&] {
        const bool long_enough = !first || Clock::now() - since > std::chrono::milliseconds(500);
        return owner_.stopping_ || (crowded_ && long_enough);
      };
      if (!client.socket.wait(first ? limits_.read_s : limits_.keep_alive_s, in_the_way)) break;
      client.socket.allow(limits_.max_head, limits_.read_s);
      client.request = {}, client.handler = nullptr, client.refused.reset(), client.tokens = nullptr;
      client.read_head = false, client.status = 0;
      const auto start = Clock::now();
      bool closed = false;
      const bool answered = process_request(wire, owner_.stopping_ || crowded_, closed,
                                            [&](httplib::Request& request) { prepare(client, request); });
      const std::chrono::duration<double> seconds = Clock::now() - start;
      if (hooks_.log && client.read_head)
        hooks_.log(client.request, client.status, client.tokens ? client.tokens() : 0, seconds.count());
      if (!answered || closed || !client.read_head || owner_.stopping_ || crowded_) break;
    }
  } catch (const std::exception& e) {
    log_warning("a connection ended: {}", e.what());
  }

  // Behind the head: who asks for what, and whether the body is to be read at all.
  void prepare(Client& client, httplib::Request& raw) {
    client.read_head = true;
    client.chunks = raw.version != "HTTP/1.0";
    HttpRequest& request = client.request;
    request.method = raw.method, request.path = raw.path, request.remote = client.remote;
    for (const auto& [name, value] : raw.headers) request.headers.emplace(lower(name), value);
    for (const auto& [name, value] : raw.params) request.params.emplace(name, value);
    request.gone = [this, &client] { return aborts_ || client.socket.gone(); };
    const std::string length = request.header("content-length"), coding = request.header("transfer-encoding");
    const bool has_body = !coding.empty() || (!length.empty() && length != "0");
    try {
      if (owner_.stopping_) throw unavailable("the server is stopping", "stopping");
      if (hooks_.admit) hooks_.admit(request);
      client.handler = &find(request);
      if (raw.get_header_value_count("Content-Length") + raw.get_header_value_count("Transfer-Encoding") >
              1 ||
          (!coding.empty() && lower(coding) != "chunked") ||
          length.find_first_not_of("0123456789") != std::string::npos)
        throw bad_request("", "the headers do not say how long the body is");
      if (length.size() > 18 || (!length.empty() && std::stoull(length) > limits_.max_body))
        throw body_too_large();
      client.socket.allow_more(2 * limits_.max_body);  // chunks have heads of their own
    } catch (...) {
      client.refused = current_error();
    }
    // What follows a body that is not read is no request.
    if (has_body && (client.refused || raw.method != "POST")) {
      client.last = true;
      client.socket.leave_unread();
    }
    if (client.refused) raw.headers.erase("Expect");
    for (const char* name : {"Range", "Accept-Encoding", "Content-Type"}) raw.headers.erase(name);
    raw.ranges.clear();
    if (client.last) raw.headers.erase("Connection"), raw.set_header("Connection", "close");
    raw.path = "/";
  }

  ApiError body_too_large() const {
    return too_large(fmt::format("the body is larger than {} bytes", limits_.max_body));
  }

  const HttpServer::Handler& find(const HttpRequest& request) const {
    auto found = handlers_.find(request.path);
    for (size_t slash = request.path.size(); found == handlers_.end() && slash > 0;) {
      slash = request.path.rfind('/', slash - 1);
      if (slash == std::string::npos) break;
      found = handlers_.find(request.path.substr(0, slash + 1) + "*");
      if (slash == 0) break;
    }
    if (found == handlers_.end()) throw not_found("there is nothing at " + printable(request.path));
    const auto method = found->second.find(request.method == "HEAD" ? "GET" : request.method);
    if (method != found->second.end()) return method->second;
    throw ApiError(405, "invalid_request_error",
                   fmt::format("{} is asked for by {}", request.path, found->second.begin()->first), "", "");
  }

  void read_and_respond(httplib::Response& response, const httplib::ContentReader& reader) {
    std::string& body = current->request.body;
    bool large = false;
    const bool whole = reader([&](const char* data, size_t size) {
      large = body.size() + size > limits_.max_body;
      if (!large) body.append(data, size);
      return !large;
    });
    if (whole) return respond(response);
    current->last = true;
    current->socket.leave_unread();
    answer_error(response, large ? body_too_large()
                                 : ApiError(408, "invalid_request_error", "the body did not come in whole",
                                            "", "request_timeout"));
  }

  void respond(httplib::Response& response) {
    auto reply = std::make_shared<HttpReply>();
    try {
      *reply = (*current->handler)(current->request);
    } catch (...) {
      return answer_error(response, current_error());
    }
    current->request.body = {};
    current->tokens = reply->tokens;
    response.status = current->status = reply->status;
    response.set_header("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : reply->headers) response.set_header(name, value);
    if (!reply->stream) return response.set_content(reply->body, reply->type);
    response.set_header("Cache-Control", "no-cache");
    const auto pieces = [reply](size_t, httplib::DataSink& sink) {
      bool there = true;
      try {
        reply->stream([&](const std::string& piece) {
          return there = there && (piece.empty() || sink.write(piece.data(), piece.size()));
        });
      } catch (...) {
        current_error();  // told in the log
        there = false;
      }
      if (there) sink.done();
      return there;
    };
    if (current->chunks)
      response.set_chunked_content_provider(reply->type, pieces);
    else
      response.set_content_provider(reply->type, pieces);
  }

  HttpServer& owner_;
  Listener listener_;
  HttpLimits limits_;
  Hooks hooks_;
  std::map<std::string, std::map<std::string, HttpServer::Handler>> handlers_;  // by path, by method
  std::shared_ptr<House> house_ = std::make_shared<House>();
  std::atomic<bool> closed_ = false, aborts_ = false, crowded_ = false;
  std::thread acceptor_;
};

HttpServer::HttpServer(const std::string& host, int port, const HttpLimits& limits, Hooks hooks) {
  const Listener listener = listen_on(host, port);
  port_ = listener.port, loopback_ = listener.loopback;
  impl_ = std::make_unique<Impl>(*this, listener, limits, std::move(hooks));
}

HttpServer::~HttpServer() {
  stop(0);
}

void HttpServer::on(const std::string& method, const std::string& path, Handler handler) {
  impl_->add(method, path, std::move(handler));
}

void HttpServer::start() {
  impl_->start();
}

void HttpServer::stop(double patience_s) {
  stopping_ = true;
  impl_->stop(patience_s);
}

}  // namespace temper
