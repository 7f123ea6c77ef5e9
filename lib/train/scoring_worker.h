// Scores completions on a thread of its own while others are decoded.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "reward/reward.h"

namespace temper {

// By the rewards that are each_alone(); they are called by no one else while it lives. Its end interrupts
// what is being scored: a program that is waited for within a tenth of a second, other rewards after the unit
// that they are at.
class ScoringWorker {
 public:
  explicit ScoringWorker(RewardSet& rewards);

  // Items to be scored after those given before. What they point at must outlive the worker. Throws what
  // scoring of earlier ones threw.
  void add(size_t unit, std::vector<RewardItem> items);
  // Waits for all of them: their scores as RewardSet::parts() has them, unit after unit by their numbers.
  // on_wait: called about ten times a second meanwhile; it may throw. Throws what scoring threw.
  std::vector<ScoredItem> wait(const std::function<void()>& on_wait);

 private:
  struct Unit {
    size_t number;
    std::vector<RewardItem> items;
  };

  void run(const std::stop_token& stop);
  std::vector<Unit> next(const std::stop_token& stop);  // none: it is to stop
  void score(std::vector<Unit> units, const std::stop_token& stop);

  RewardSet& rewards_;
  std::mutex mutex_;  // of all below but the thread
  std::condition_variable_any changed_;
  std::deque<Unit> waiting_;
  size_t open_ = 0;  // units that are not scored yet
  std::map<size_t, std::vector<ScoredItem>> done_;
  std::exception_ptr error_;
  std::jthread thread_;  // the last member: it ends before the others do
};

}  // namespace temper
