#include "train/scoring_worker.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <iterator>
#include <utility>

namespace temper {
namespace {

constexpr std::chrono::milliseconds kWait(100);

struct Stopped {};  // thrown and caught on the worker's thread

}  // namespace

ScoringWorker::ScoringWorker(RewardSet& rewards)
    : rewards_(rewards), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void ScoringWorker::add(size_t unit, std::vector<RewardItem> items) {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  waiting_.push_back({unit, std::move(items)});
  ++open_;
  changed_.notify_all();
}

std::vector<ScoredItem> ScoringWorker::wait(const std::function<void()>& on_wait) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kWait, [&] { return open_ == 0 || error_; })) {
    lock.unlock();
    on_wait();
    lock.lock();
  }
  if (error_) std::rethrow_exception(error_);
  std::vector<ScoredItem> out;
  for (auto& [unit, scored] : done_) std::move(scored.begin(), scored.end(), std::back_inserter(out));
  done_.clear();
  return out;
}

void ScoringWorker::run(const std::stop_token& stop) {
  // A thread counts its OpenMP threads by itself: products of a reward must have as many as the caller's.
  at::init_num_threads();
  try {
    for (std::vector<Unit> units = next(stop); !units.empty(); units = next(stop))
      score(std::move(units), stop);
  } catch (const Stopped&) {
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

// A program gets all that there is, since it may work at many items at once; the others get one unit, so that
// a stop is heeded after it.
std::vector<ScoringWorker::Unit> ScoringWorker::next(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [&] { return !waiting_.empty(); });
  std::vector<Unit> units;
  while (!stop.stop_requested() && !waiting_.empty() && (units.empty() || rewards_.external())) {
    units.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return units;
}

void ScoringWorker::score(std::vector<Unit> units, const std::stop_token& stop) {
  std::vector<RewardItem> items;
  std::vector<size_t> ends;  // of each unit
  for (Unit& unit : units) {
    std::move(unit.items.begin(), unit.items.end(), std::back_inserter(items));
    ends.push_back(items.size());
  }
  const auto look = [&] {
    if (stop.stop_requested()) throw Stopped();
  };
  const std::vector<ScoredItem> scored = rewards_.parts(items, look, ScoredBy::kEachAlone);
  const std::lock_guard lock(mutex_);
  size_t begin = 0;
  for (size_t u = 0; u < units.size(); begin = ends[u++])
    done_[units[u].number].assign(scored.begin() + static_cast<ptrdiff_t>(begin),
                                  scored.begin() + static_cast<ptrdiff_t>(ends[u]));
  open_ -= units.size();
  changed_.notify_all();
}

}  // namespace temper
