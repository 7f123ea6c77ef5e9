// A program that answers JSON lines by their "id", in any order, asked by many threads.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "env/counterpart.h"
#include "reward/child_process.h"

namespace temper {

class LineClient : public Counterpart {
 public:
  // What the program says by itself, {"method": ...}: an object is sent back, null is not.
  using Other = std::function<Json(const Json& said)>;
  // timeout_s: for one answer, start_timeout_s for the first of a program that was started. The program is
  // started at once; throws UserError when it cannot be. other: none: all that it says are answers.
  LineClient(std::vector<std::string> command, double timeout_s, double start_timeout_s, Other other = {});

  // Each question is a line with an "id". Throws UserError also when the program ends again and again without
  // an answer.
  std::optional<Json> ask(Json body, int64_t life = -1) override;
  void tell(Json body, int64_t life) override;
  int64_t life() override;  // how often it was started before; starts it when it has ended
  void interrupt() override { interrupted_ = true; }
  std::string name() const override;

 private:
  void start();
  void pump(std::unique_lock<std::mutex>& lock);
  void hear(const std::string& text);
  void end(const std::string& how);

  const std::vector<std::string> command_;
  const std::chrono::duration<double> timeout_, start_timeout_;
  const Other other_;
  std::atomic<bool> interrupted_ = false;
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  std::unique_ptr<ChildProcess> child_;
  bool pumping_ = false;  // by one of the threads that wait, which alone touches the child meanwhile
  bool overdue_ = false;  // nothing was heard for too long
  int64_t late_ = 0;      // answers that did not come in time, since the last that came
  std::string outgoing_;
  int64_t life_ = -1, next_id_ = 0, silent_lives_ = 0;
  bool answered_ = false;                           // in this life
  std::map<int64_t, std::optional<Json>> answers_;  // of those that are waited for
  std::string last_end_;
};

}  // namespace temper
