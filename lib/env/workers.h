// Threads that do what has to wait.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace temper {

template <class T>
using Pending = std::future<T>;

class Workers {
 public:
  explicit Workers(size_t threads);
  // What has not begun is dropped; what has is waited for.
  ~Workers();
  template <class T>
  Pending<T> add(std::function<T()> work) {
    auto task = std::make_shared<std::packaged_task<T()>>(std::move(work));
    Pending<T> result = task->get_future();
    put([task] { (*task)(); });
    return result;
  }

 private:
  void put(std::function<void()> work);
  void run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> waiting_;
  std::vector<std::jthread> threads_;  // the last member: they end before the others do
};

}  // namespace temper
