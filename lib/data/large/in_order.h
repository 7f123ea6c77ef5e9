// Work of several threads whose results are taken one after the other.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace temper {

// take(make(i)) for i = 0 .. count - 1: `make` in so many threads at once, `take` in this one and in order,
// so that nothing depends on which thread was faster. A few results wait at most. The first exception in that
// order is thrown.
template <class Make, class Take>
void in_order(size_t threads, size_t count, Make make, Take take) {
  using Result = decltype(make(size_t{0}));
  if (threads < 2 || count < 2) {
    for (size_t i = 0; i < count; ++i) take(make(i));
    return;
  }
  struct Slot {
    bool ready = false;
    std::optional<Result> result;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable made, room;
  std::vector<Slot> slots(2 * threads);  // of i, at i % size
  size_t next = 0, taken = 0;
  bool stop = false;
  const auto work = [&] {
    while (true) {
      size_t i = 0;
      {
        std::unique_lock lock(mutex);
        room.wait(lock, [&] { return stop || next >= count || next < taken + slots.size(); });
        if (stop || next >= count) return;
        i = next++;
      }
      Slot slot{true, {}, {}};
      try {
        slot.result.emplace(make(i));
      } catch (...) {
        slot.error = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      slots[i % slots.size()] = std::move(slot);
      made.notify_one();
    }
  };
  struct Workers {
    std::mutex& mutex;
    std::condition_variable& room;
    bool& stop;
    std::vector<std::thread> threads = {};
    ~Workers() {
      {
        const std::lock_guard lock(mutex);
        stop = true;
      }
      room.notify_all();
      for (std::thread& thread : threads) thread.join();
    }
  } workers{mutex, room, stop};
  for (size_t t = 0; t < threads; ++t) workers.threads.emplace_back(work);
  for (size_t i = 0; i < count; ++i) {
    Slot slot;
    {
      std::unique_lock lock(mutex);
      made.wait(lock, [&] { return slots[i % slots.size()].ready; });
      slot = std::exchange(slots[i % slots.size()], {});
      ++taken;
    }
    room.notify_all();
    if (slot.error) std::rethrow_exception(slot.error);
    take(*std::move(slot.result));
  }
}

}  // namespace temper
