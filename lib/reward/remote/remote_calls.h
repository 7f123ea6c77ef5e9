// Rewards that ask a server: several POSTs in flight, what becomes of those that fail, and when to stop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>

#include "base/http.h"
#include "reward/null_share.h"

namespace temper {

struct RemoteOptions : Fields {
  HttpOptions http;
  int64_t in_flight = 32;
  double fail_share = 0.5;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

// Of a server that has never given an answer, a certificate that nobody vouches for, a redirect or a status
// of 401, 403, 404 or 405 ends the run at once, and so do as many failed attempts as one POST has, but five
// at least. Later each failure is a score that is null, until NullShare stops the run.
class RemoteCalls {
 public:
  // Throws what HttpClient throws. reward: its kind, for messages.
  RemoteCalls(const RemoteOptions& options, const std::string& reward);

  // What came of POST i: the text of its answer, or null when there is none. Returns whether it was an answer
  // of the right kind.
  using Done = std::function<bool(size_t i, const std::string* text)>;
  // POSTs body(0) to body(count - 1), at most in_flight at a time, and calls done for each as it ends: one
  // call at a time, on other threads. Throws UserError, with nothing left in flight, when the server is gone
  // for good or after interrupt().
  void post(size_t count, const std::function<std::string(size_t)>& body, const Done& done);

  // For done(). A score is known; throws UserError when too many are null.
  void scored(bool null);
  // Something in an answer was not as it should be; `what` is told when the run stops for it.
  void malformed(const std::string& what);

  void interrupt() { stop_.request_stop(); }  // for good
  // retries, and by what POSTs failed after them: timeouts, connection_errors (also certificates),
  // http_errors (a status other than success), malformed (no JSON, not of the right shape, too long); nulls:
  // scores. How many requests there were depends on time, so it is no metric of a run that can be repeated.
  std::map<std::string, int64_t> counters() const;
  std::string quoted(const std::string& text) const { return client_.quoted(text); }

 private:
  // With mutex_ held.
  void finish(size_t i, const HttpAnswer& answer, const Done& done);
  [[noreturn]] void give_up(const std::string& reason) const;

  HttpClient client_;
  std::string reward_;
  int64_t in_flight_, patience_;  // failed attempts of a server that never answered
  std::stop_source stop_;
  NullShare null_share_;
  mutable std::mutex mutex_;  // of all below
  bool answered_ = false;
  int64_t requests_ = 0, retries_ = 0, timeouts_ = 0, connection_errors_ = 0, http_errors_ = 0;
  int64_t malformed_ = 0, nulls_ = 0, failed_ = 0;
  std::string last_;  // what went wrong last
};

}  // namespace temper
