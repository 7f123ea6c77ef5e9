#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/http.h"

namespace temper {
namespace {

struct LookUp {
  std::mutex mutex;
  std::condition_variable_any ended;
  bool done = false;
  std::vector<std::string> addresses;
};

std::vector<std::string> look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return {};
  std::vector<std::string> out;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 &&
        std::find(out.begin(), out.end(), text) == out.end())
      out.emplace_back(text);
  }
  ::freeaddrinfo(list);
  return out;
}

}  // namespace

std::vector<std::string> host_addresses(const std::string& host, double timeout_s,
                                        const std::stop_token& stop) {
  in6_addr number;
  if (::inet_pton(AF_INET, host.c_str(), &number) == 1 || ::inet_pton(AF_INET6, host.c_str(), &number) == 1)
    return {host};
  const auto state = std::make_shared<LookUp>();
  std::thread([state, host] {
    std::vector<std::string> found = look_up(host);
    const std::lock_guard lock(state->mutex);
    state->addresses = std::move(found);
    state->done = true;
    state->ended.notify_all();
  }).detach();
  std::unique_lock lock(state->mutex);
  state->ended.wait_for(lock, stop, std::chrono::duration<double>(timeout_s), [&] { return state->done; });
  return state->done ? state->addresses : std::vector<std::string>();
}

}  // namespace temper
