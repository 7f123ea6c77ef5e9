// What the ranks' talk stands on: c10d's store and backend, and a heartbeat. Of this room alone.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "base/error.h"
#include "dist/nccl.h"
#include "dist/ranks.h"

namespace temper {

struct Ranks::Group {
  Group(const Place& place, const std::string& settings);
  ~Group();

  void begin(const Place& place, const std::string& settings);
  // What the store has under a name; "" when there is nothing yet.
  std::string value(const std::string& name);
  // Whether others are alive: asked again and again while one waits for them.
  class Watch {
   public:
    explicit Watch(Group& group) : group_(group) {}
    // Throws UserError when the rank has said why it left, PeerLost when it has been silent for too long.
    void look(int64_t rank);

   private:
    struct Seen {
      std::string beat;
      std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
    };
    Group& group_;
    std::map<int64_t, Seen> seen_;
  };
  // Waits for `key` with "/<rank>" behind it of every other rank to be a number of at least `least`.
  void wait_for_all(const std::string& key, int64_t least, int64_t rank, int64_t world);

  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
  std::unique_ptr<Nccl> nccl;  // null: tensors of GPUs go through the host
  int64_t meetings = 0;

  // The heartbeat has a connection of its own: a connection serves one request at a time.
  c10::intrusive_ptr<c10d::Store> beat_store;
  std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  std::thread heart;
};

// What c10d throws, without its stack and Gloo's places in its source.
inline std::string first_line(const std::exception& e) {
  std::string text = e.what();
  text.resize(std::min(text.find('\n'), text.size()));
  const size_t place = text.find("] ");
  return text.substr(0, 1) == "[" && place != std::string::npos ? text.substr(place + 2) : text;
}

// Runs `call`; what c10d throws in it is a PeerLost: `what` was lost.
template <class Call>
void exchange(const std::string& what, const Call& call) {
  try {
    call();
  } catch (const UserError&) {
    throw;
  } catch (const PeerLost&) {
    throw;
  } catch (const std::exception& e) {
    throw PeerLost(what + ": " + first_line(e));
  }
}

constexpr const char* kStoreGone = "the store of the run is gone (the process of rank 0, or torchrun's)";
constexpr const char* kPeerGone = "another rank was lost during an exchange";

}  // namespace temper
