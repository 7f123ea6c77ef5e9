#include "reward/remote/remote_calls.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.h"

namespace temper {
namespace {

using Cause = HttpAnswer::Cause;

constexpr int64_t kSilentFailures = 5;  // failed attempts of a server that never gave an answer

// What waiting would not mend.
bool hopeless(const HttpAnswer& answer) {
  if (answer.cause == Cause::kCertificate) return true;
  if (answer.cause != Cause::kAnswered) return false;
  return (answer.status >= 300 && answer.status < 400) || answer.status == 401 || answer.status == 403 ||
         answer.status == 404 || answer.status == 405;
}

}  // namespace

void RemoteOptions::fields(FieldVisitor& v) {
  v.field("in_flight", in_flight, {.help = "requests at a time", .min = 1, .max = 1024});
  http.fields(v);
  v.field("fail_share", fail_share,
          {.help = "the run stops when more than this share of the last 100 scores (at least 20) is null",
           .min = 0,
           .max = 1});
}

void RemoteOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  http.check(problems, where);
}

RemoteCalls::RemoteCalls(const RemoteOptions& options, const std::string& reward)
    : client_(options.http, "reward " + reward),
      reward_(reward),
      in_flight_(options.in_flight),
      patience_(std::max(kSilentFailures, options.http.retries + 1)),
      null_share_(options.fail_share) {}

void RemoteCalls::post(size_t count, const std::function<std::string(size_t)>& body, const Done& done) {
  std::stop_source stop;  // of this call: asked for by interrupt() or by the first that throws
  const std::stop_callback passed_on(stop_.get_token(), [&] { stop.request_stop(); });
  std::atomic<size_t> next = 0;
  std::exception_ptr failure;
  const auto fail = [&] {
    if (!failure) failure = std::current_exception();
    stop.request_stop();
  };
  const auto work = [&] {
    for (size_t i; !stop.stop_requested() && (i = next++) < count;) {
      std::optional<HttpAnswer> answer;
      try {
        answer = client_.post(body(i), stop.get_token());
      } catch (...) {
        const std::lock_guard lock(mutex_);
        return fail();
      }
      const std::lock_guard lock(mutex_);
      if (failure) return;  // what is told is what the first of them saw
      try {
        finish(i, *answer, done);
      } catch (...) {
        return fail();
      }
    }
  };
  std::vector<std::thread> threads;
  for (size_t t = 0; t < std::min(count, static_cast<size_t>(in_flight_)); ++t) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  if (stop.stop_requested()) user_error("reward {}: {}: interrupted", reward_, client_.place());
}

void RemoteCalls::finish(size_t i, const HttpAnswer& answer, const Done& done) {
  if (answer.cause == Cause::kInterrupted) return;
  requests_ += answer.attempts;
  retries_ += answer.attempts - 1;
  const auto check_patience = [&] {
    if (!answered_ && failed_ >= patience_)
      give_up(fmt::format("no answer of the right kind in its first {} attempts", failed_));
  };
  if (answer.ok()) {
    const bool fits = done(i, &answer.body);
    answered_ = answered_ || fits;
    failed_ += fits ? 0 : 1;
    return check_patience();
  }
  last_ = answer.why;
  if (answer.cause == Cause::kTimeout) ++timeouts_;
  if (answer.cause == Cause::kConnection || answer.cause == Cause::kCertificate) ++connection_errors_;
  if (answer.cause == Cause::kAnswered) ++http_errors_;
  if (answer.cause == Cause::kTooLong) ++malformed_;
  failed_ += answer.attempts;
  if (!answered_ && hopeless(answer)) user_error("reward {}: {}", reward_, answer.why);
  check_patience();
  done(i, nullptr);
}

void RemoteCalls::scored(bool null) {
  nulls_ += null ? 1 : 0;
  if (const auto why = null_share_.add(null)) give_up(*why);
}

void RemoteCalls::malformed(const std::string& what) {
  ++malformed_;
  last_ = what;
}

void RemoteCalls::give_up(const std::string& reason) const {
  user_error(
      "reward {}: {}: {}; so far {} requests, {} of them further attempts; {} time-outs, {} connections "
      "lost, "
      "{} statuses of failure, {} answers not as they should be; the last trouble: {}",
      reward_, client_.place(), reason, requests_, retries_, timeouts_, connection_errors_, http_errors_,
      malformed_, last_.empty() ? "none but nulls" : last_);
}

std::map<std::string, int64_t> RemoteCalls::counters() const {
  const std::lock_guard lock(mutex_);
  return {{"retries", retries_},         {"timeouts", timeouts_},   {"connection_errors", connection_errors_},
          {"http_errors", http_errors_}, {"malformed", malformed_}, {"nulls", nulls_}};
}

}  // namespace temper
