// POST of JSON to a server, over cpp-httplib: HTTP/1.1, with TLS where the address says https. Every call
// ends: within timeout_s an attempt, however the server behaves, and soon after it is asked to stop.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/http_parts.h"
#include "base/json.h"

namespace temper {

struct HttpOptions : Fields {
  std::string url;  // no field of fields(): who asks says what it is for
  Json headers = Json::object();
  double timeout_s = 60, connect_timeout_s = 10, read_timeout_s = 0;
  int64_t retries = 5;
  double backoff_s = 0.5, max_wait_s = 60;
  std::string ca_file;
  int64_t max_answer_bytes = 16 << 20;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

// What came of a POST, after all its attempts.
struct HttpAnswer {
  enum class Cause {
    kAnswered,     // with `status`, which may be 500
    kConnection,   // none could be made, or it ended before the answer was whole
    kCertificate,  // the server's is not one to trust
    kTimeout,
    kTooLong,  // more than max_answer_bytes
    kInterrupted
  };
  Cause cause = Cause::kConnection;
  int status = 0;        // of kAnswered
  std::string body;      // of kAnswered
  std::string why;       // one line for people unless ok(); shows no value from the environment
  int64_t attempts = 0;  // 1: there was no other
  bool ok() const { return cause == Cause::kAnswered && status >= 200 && status < 300; }
};

// Thread-safe: any number of calls at a time, each with a connection of its own.
//   Redirects are not followed: to another host they would take the headers along.
//   Certificates are checked against ca_file, or the system's authorities, and against the host's name.
//   Connections that fail or break, time-outs, and the answers 408, 429, 500, 502, 503 and 504 are tried
//   again, `retries` times, after backoff_s doubled each time and drawn from its upper half; Retry-After is
//   heeded where it is longer. No wait is above max_wait_s.
// No proxy is used, and no environment variable but those that the headers name.
class HttpClient {
 public:
  // Replaces ${NAME} in the headers. Throws UserError, naming `where`: see http_parts.h, and a ca_file that
  // cannot be read.
  HttpClient(const HttpOptions& options, const std::string& where);

  // Throws nothing for what a server does. stop: ends it, within about a tenth of a second, as kInterrupted.
  HttpAnswer post(const std::string& body, const std::stop_token& stop = {}) const;
  // Where it posts to, for people.
  std::string place() const { return url_.shown(); }
  // What a server said, for people: one line, at most 200 characters, without values from the environment.
  std::string quoted(const std::string& text) const;

 private:
  struct Attempt;
  HttpAnswer attempt(const std::string& body, const std::stop_token& stop, double& retry_after) const;
  Attempt send(const std::string& address, const std::string& body, double left_s,
               const std::stop_token& stop) const;
  HttpAnswer described(Attempt&& attempt) const;

  HttpOptions options_;
  HttpUrl url_;
  std::vector<std::pair<std::string, std::string>> headers_;  // with their values
  std::map<std::string, std::string> secrets_;                // name in the environment -> value
  std::shared_ptr<void> trusted_;                             // OpenSSL's store of certificates, with TLS
  mutable std::atomic<uint64_t> posts_ = 0;
};

// The numeric addresses of a host in the order of the system's preference; none: it has no address, or the
// system did not say in time. A look-up cannot be ended, so one that takes too long goes on alone.
std::vector<std::string> host_addresses(const std::string& host, double timeout_s,
                                        const std::stop_token& stop);

}  // namespace temper
