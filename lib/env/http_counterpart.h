// A server that holds the other side of conversations: each question is a POST.
#pragma once

#include <atomic>
#include <stop_token>

#include "base/http.h"
#include "env/counterpart.h"

namespace temper {

class HttpCounterpart : public Counterpart {
 public:
  // Throws UserError, naming `where`.
  HttpCounterpart(const HttpOptions& options, const std::string& where) : client_(options, where) {}
  // Throws UserError also when the server refuses (401, 403, 404), and after several questions in a row
  // without an answer when there never was one.
  std::optional<Json> ask(Json body, int64_t life = -1) override;
  void tell(Json body, int64_t life) override;
  void interrupt() override { stop_.request_stop(); }
  std::string name() const override { return client_.place(); }

 private:
  HttpClient client_;
  std::stop_source stop_;
  std::atomic<int64_t> next_id_ = 0, silent_ = 0;
  std::atomic<bool> answered_ = false;
};

}  // namespace temper
