#include "base/http.h"

#include <fcntl.h>
#include <httplib.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/socket_progress.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;
using Cause = HttpAnswer::Cause;

constexpr std::chrono::milliseconds kLook(50);  // between looks at a request that runs
constexpr uint64_t kFraming = 16 << 20;  // bytes of headers and chunk lines, beside eight a byte of body
constexpr size_t kQuoted = 200;          // bytes of what a server says that people are told
constexpr int kRetried[] = {408, 429, 500, 502, 503, 504};

std::chrono::nanoseconds seconds(double s) {
  return std::chrono::nanoseconds(static_cast<int64_t>(s * 1e9));
}

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// False: asked to stop before the time was over.
bool sleep_for(double s, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, seconds(s), [] { return false; });
  return !stop.stop_requested();
}

// The library's socket by a descriptor of our own. So it can be shut down from another thread while the
// library connects, shakes hands, writes or reads, for which the library has no call and no common deadline;
// and never is it a number that the library has closed and somebody else was given.
class HeldSocket {
 public:
  HeldSocket() = default;
  HeldSocket(const HeldSocket&) = delete;
  HeldSocket& operator=(const HeldSocket&) = delete;
  ~HeldSocket() {
    if (socket_ >= 0) ::close(socket_);
  }
  void hold(int socket) {
    const std::lock_guard lock(mutex_);
    if (socket_ >= 0) ::close(socket_);
    socket_ = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  }
  void cut() {
    const std::lock_guard lock(mutex_);
    if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
  }
  uint64_t received() {
    const std::lock_guard lock(mutex_);
    return socket_ >= 0 ? socket_bytes_received(socket_).value_or(0) : 0;
  }

 private:
  std::mutex mutex_;
  int socket_ = -1;
};

bool header_name(const std::string& name) {
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), fits);
}

bool any_of_names(const std::string& name, std::initializer_list<std::string_view> names) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::find(names.begin(), names.end(), lower) != names.end();
}

bool worth_another(const HttpAnswer& answer) {
  if (answer.cause == Cause::kConnection || answer.cause == Cause::kTimeout) return true;
  return answer.cause == Cause::kAnswered &&
         std::find(std::begin(kRetried), std::end(kRetried), answer.status) != std::end(kRetried);
}

}  // namespace

struct HttpClient::Attempt {
  httplib::Error error = httplib::Error::Unknown;
  std::optional<Cause> cut;  // why it was ended from here
  bool silent = false;       // cut for read_timeout_s
  int status = 0;
  std::string body, retry_after, location;
  bool no_connection() const {
    return !cut && (error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout);
  }
};

void HttpOptions::fields(FieldVisitor& v) {
  v.field(
      "headers", headers,
      {.help = "sent along; ${NAME} is the environment's value at the start, which no file and no message "
               "shows: {\"Authorization\": \"Bearer ${API_KEY}\"}"});
  v.field("timeout_s", timeout_s,
          {.help = "longest time of one attempt, all in all", .unit = "s", .min = 0.001, .max = 86400});
  v.field("connect_timeout_s", connect_timeout_s,
          {.help = "longest time until a connection", .unit = "s", .min = 0.001, .max = 86400});
  v.field("read_timeout_s", read_timeout_s,
          {.help = "longest time in which nothing comes; 0: as long as timeout_s",
           .unit = "s",
           .min = 0,
           .max = 86400});
  v.field("retries", retries,
          {.help = "further attempts after a lost connection, a time-out or an answer of 408, 429, 500, 502, "
                   "503 or 504",
           .min = 0,
           .max = 100});
  v.field("backoff_s", backoff_s,
          {.help = "wait before the second attempt, twice as long before each further one; the upper half of "
                   "it is random",
           .unit = "s",
           .min = 0,
           .max = 3600});
  v.field("max_wait_s", max_wait_s,
          {.help = "longest wait before another attempt, also when the server asks for more (Retry-After)",
           .unit = "s",
           .min = 0,
           .max = 86400});
  v.field("ca_file", ca_file,
          {.help = "certificates (PEM) of the authorities to trust; empty: the system's", .path = true});
  v.field("max_answer_bytes", max_answer_bytes,
          {.help = "a longer answer is none", .unit = "bytes", .min = 1});
}

void HttpOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!url.empty()) {
    try {
      parse_http_url(url, where + ".url");
    } catch (const UserError& error) {
      problems.emplace_back(error.what());
    }
  }
  if (!headers.is_object()) {
    problems.push_back(where + ".headers: expected an object, as {\"Authorization\": \"Bearer ${API_KEY}\"}");
    return;
  }
  for (const auto& [name, value] : headers.items()) {
    const std::string at = where + ".headers." + name;
    if (!header_name(name))
      problems.push_back(at + ": no header can have this name; expected letters, digits and -");
    else if (any_of_names(name, {"host", "content-length", "transfer-encoding", "connection", "expect"}))
      problems.push_back(at + ": this header is written by Temper; leave it out");
    if (!value.is_string()) {
      problems.push_back(at + ": expected a text");
    } else if (any_of_names(name, {"authorization", "x-api-key", "api-key", "cookie"}) &&
               value.get<std::string>().find("${") == std::string::npos) {
      problems.push_back(at +
                         ": the run folder would keep this secret; put it into the environment and write "
                         "${NAME} here");
    }
  }
}

HttpClient::HttpClient(const HttpOptions& options, const std::string& where)
    : options_(options), url_(parse_http_url(options.url, where + ".url")) {
  for (const auto& [name, value] : options.headers.items()) {
    headers_.emplace_back(name,
                          expand_environment(value.get<std::string>(), where + ".headers." + name, secrets_));
  }
  if (!url_.tls) return;
  // Read once: the system's file holds more than a hundred certificates.
  X509_STORE* store = X509_STORE_new();
  trusted_.reset(store, [](void* held) { X509_STORE_free(static_cast<X509_STORE*>(held)); });
  if (options.ca_file.empty()) {
    X509_STORE_set_default_paths(store);
  } else if (X509_STORE_load_locations(store, options.ca_file.c_str(), nullptr) != 1) {
    user_error(
        "{}.ca_file: {}: {}", where, options.ca_file,
        std::filesystem::exists(options.ca_file) ? "holds no certificates in PEM" : "there is no such file");
  }
}

std::string HttpClient::quoted(const std::string& text) const {
  std::string out = printable(without_secrets(text, secrets_));
  for (char& c : out)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  if (out.size() > kQuoted) out = printable(out.substr(0, kQuoted)) + "...";
  return out;
}

HttpAnswer HttpClient::post(const std::string& body, const std::stop_token& stop) const {
  const uint64_t number = ++posts_;
  for (int64_t n = 0;; ++n) {
    double retry_after = 0;
    HttpAnswer answer = attempt(body, stop, retry_after);
    answer.attempts = n + 1;
    if (!worth_another(answer) || n >= options_.retries) return answer;
    // By the process, so that the ranks of a run do not come back all at once.
    RandomStream jitter(static_cast<uint64_t>(::getpid()), "http back-off", number, static_cast<uint64_t>(n));
    const double backoff =
        options_.backoff_s * std::exp2(static_cast<double>(n)) * (0.5 + 0.5 * jitter.uniform());
    if (!sleep_for(std::min(std::max(backoff, retry_after), options_.max_wait_s), stop)) {
      answer.cause = Cause::kInterrupted;
      answer.why = fmt::format("{}: interrupted", place());
      return answer;
    }
  }
}

HttpAnswer HttpClient::attempt(const std::string& body, const std::stop_token& stop,
                               double& retry_after) const {
  const Clock::time_point start = Clock::now();
  const double look_up_s = std::min(options_.connect_timeout_s, options_.timeout_s);
  const std::vector<std::string> addresses = host_addresses(url_.host, look_up_s, stop);
  Attempt last;
  for (const std::string& address : addresses) {
    last = send(address, body, options_.timeout_s - since(start), stop);
    if (!last.no_connection()) break;
  }
  if (addresses.empty()) {
    HttpAnswer none;
    none.cause = stop.stop_requested() ? Cause::kInterrupted : Cause::kConnection;
    none.why = fmt::format("{}: no address is known for the host", place());
    return none;
  }
  retry_after = retry_after_s(last.retry_after, std::time(nullptr)).value_or(0);
  return described(std::move(last));
}

HttpClient::Attempt HttpClient::send(const std::string& address, const std::string& body, double left_s,
                                     const std::stop_token& stop) const {
  std::unique_ptr<httplib::ClientImpl> client;
  if (url_.tls) {
    auto secure = std::make_unique<httplib::SSLClient>(url_.host, url_.port);
    auto* store = static_cast<X509_STORE*>(trusted_.get());
    X509_STORE_up_ref(store);  // the client frees it
    secure->set_ca_cert_store(store);
    secure->set_ca_cert_path("", "/dev/null");  // or the library would read the system's certificates anew
    secure->enable_server_certificate_verification(true);
    client = std::move(secure);
  } else {
    client = std::make_unique<httplib::ClientImpl>(url_.host, url_.port);
  }
  const auto whole = std::chrono::ceil<std::chrono::microseconds>(seconds(std::max(left_s, 0.001)));
  const auto connect =
      std::min(whole, std::chrono::ceil<std::chrono::microseconds>(seconds(options_.connect_timeout_s)));
  client->set_connection_timeout(connect);
  // Of a single read or write, and never the first to end: all of it together is held below.
  client->set_read_timeout(whole + std::chrono::seconds(1));
  client->set_write_timeout(whole + std::chrono::seconds(1));
  client->set_tcp_nodelay(true);
  client->set_url_encode(false);
  client->set_follow_location(false);
  client->set_hostname_addr_map({{url_.host, address}});
  HeldSocket held;
  client->set_socket_options([&](int socket) { held.hold(socket); });

  Attempt out;
  bool too_long = false;
  const auto limit = static_cast<uint64_t>(options_.max_answer_bytes);
  httplib::Request request;
  request.method = "POST";
  request.path = url_.target;
  for (const auto& [name, value] : headers_) request.headers.emplace(name, value);
  for (const auto& [name, value] :
       {std::pair("Content-Type", "application/json"), std::pair("Accept", "application/json"),
        std::pair("User-Agent", "temper")})
    if (!request.has_header(name)) request.headers.emplace(name, value);
  request.body = body;
  request.response_handler = [&](const httplib::Response& head) {
    too_long = std::strtoull(head.get_header_value("Content-Length").c_str(), nullptr, 10) > limit;
    return !too_long;
  };
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    too_long = out.body.size() + size > limit;
    if (!too_long) out.body.append(data, size);
    return !too_long;
  };

  httplib::Response response;
  std::mutex mutex;
  std::condition_variable_any ended;
  bool done = false;
  std::thread worker([&] {
    // The library writes to connections that may have gone. A signal of this thread ends with it.
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    try {
      if (client->send(request, response, out.error)) out.error = httplib::Error::Success;
    } catch (const std::exception&) {  // of lengths and numbers that make no sense
      out.error = httplib::Error::Unknown;
    }
    const std::lock_guard lock(mutex);
    done = true;
    ended.notify_all();
  });
  {
    const Clock::time_point start = Clock::now();
    Clock::time_point progress = start;
    uint64_t received = 0;
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, stop, kLook, [&] { return done; })) {
      const uint64_t now = held.received();
      if (now > received) progress = Clock::now();
      received = now;
      out.silent = options_.read_timeout_s > 0 && since(progress) >= options_.read_timeout_s;
      if (stop.stop_requested())
        out.cut = Cause::kInterrupted;
      else if (out.silent || since(start) >= left_s)
        out.cut = Cause::kTimeout;
      else if (received > 8 * limit + kFraming)  // lines of headers have no limit in the library
        out.cut = Cause::kTooLong;
      else
        continue;
      // Again and again: a socket that is only about to connect cannot be shut down yet.
      do held.cut();
      while (!ended.wait_for(lock, kLook, [&] { return done; }));
      break;
    }
  }
  worker.join();
  if (too_long && !out.cut) out.cut = Cause::kTooLong;
  out.status = response.status;
  out.retry_after = response.get_header_value("Retry-After");
  out.location = response.get_header_value("Location");
  return out;
}

HttpAnswer HttpClient::described(Attempt&& attempt) const {
  HttpAnswer out;
  const auto told = [&](Cause cause, const std::string& what) {
    out.cause = cause;
    out.why = place() + ": " + what;
    return out;
  };
  if (attempt.cut == Cause::kInterrupted) return told(Cause::kInterrupted, "interrupted");
  if (attempt.cut == Cause::kTimeout) {
    return told(Cause::kTimeout,
                attempt.silent
                    ? fmt::format("nothing came for {} s (read_timeout_s)", options_.read_timeout_s)
                    : fmt::format("no whole answer in {} s (timeout_s)", options_.timeout_s));
  }
  if (attempt.cut == Cause::kTooLong) {
    return told(Cause::kTooLong,
                fmt::format("an answer of more than {} bytes (max_answer_bytes)", options_.max_answer_bytes));
  }
  switch (attempt.error) {
    case httplib::Error::Success:
      break;
    case httplib::Error::Connection:
      return told(Cause::kConnection, "no connection; is the server running, and the port right?");
    case httplib::Error::ConnectionTimeout:
      return told(Cause::kTimeout, fmt::format("no connection in {} s (connect_timeout_s)",
                                               std::min(options_.connect_timeout_s, options_.timeout_s)));
    case httplib::Error::SSLConnection:
      return told(Cause::kConnection, "TLS could not be agreed on; does this port speak it?");
    case httplib::Error::SSLLoadingCerts:
    case httplib::Error::SSLServerVerification:
      return told(
          Cause::kCertificate,
          fmt::format("its certificate is not one that {} vouches for under this host name; name your "
                      "own authority in ca_file",
                      options_.ca_file.empty() ? "the system" : options_.ca_file));
    default:
      return told(Cause::kConnection, "the connection ended before the answer was whole");
  }
  out.cause = Cause::kAnswered;
  out.status = attempt.status;
  out.body = std::move(attempt.body);
  if (out.ok()) return out;
  out.why = fmt::format("{}: answered with status {}", place(), out.status);
  if (out.status >= 300 && out.status < 400)
    out.why += fmt::format(", a redirect to {}, which is not followed: put that into url",
                           attempt.location.empty() ? "nowhere" : quoted(attempt.location));
  else if (!out.body.empty())
    out.why += ": " + quoted(out.body);
  return out;
}

}  // namespace temper
