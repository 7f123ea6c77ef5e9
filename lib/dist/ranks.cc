#include "dist/ranks.h"

#define USE_C10D_GLOO
#include <ATen/ATen.h>
#include <c10/util/Logging.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "base/error.h"
#include "dist/group.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kStart{120};       // for all ranks to come
constexpr seconds kSilence{30};      // without a heartbeat: the rank is lost
constexpr seconds kCollective{60};   // once all ranks are at it
constexpr seconds kFarewell{2};      // for the others to read why rank 0 ends
constexpr milliseconds kBeat{1000};  // between heartbeats

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}
std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

// The first line of `mine` that `theirs` has not.
std::string differing_line(const std::string& mine, const std::string& theirs) {
  for (size_t at = 0; at < mine.size();) {
    const size_t end = std::min(mine.find('\n', at), mine.size());
    const std::string line = mine.substr(at, end - at);
    if (("\n" + theirs + "\n").find("\n" + line + "\n") == std::string::npos) return line;
    at = end + 1;
  }
  return "it has more lines";
}

c10::intrusive_ptr<c10d::TCPStore> open_store(const Place& place, bool serves) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(place.port);
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = kStart;
  return c10::make_intrusive<c10d::TCPStore>(place.address, options);
}

}  // namespace

Ranks::Group::Group(const Place& place, const std::string& settings) {
  try {
    begin(place, settings);
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& e) {
    user_error("rank {} of {}: cannot meet the others at {}:{}: {}", place.rank, place.world, place.address,
               place.port, first_line(e));
  }
}

void Ranks::Group::begin(const Place& place, const std::string& settings) {
  // c10d's own words about connections that end come on top of ours.
  ::setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  c10::initLogging();
  const bool serves = place.rank == 0 && !place.agent_keeps_store;
  const auto tcp = open_store(place, serves);
  // An agent's store outlives a start that failed, and its count of starts is not the same on all machines:
  // the first rank names this start by a number of its own, which all must have seen before anyone goes on.
  const c10::intrusive_ptr<c10d::Store> lobby = c10::make_intrusive<c10d::PrefixStore>("temper/lobby", tcp);
  std::string nonce;
  const auto deadline = Clock::now() + kStart;
  const auto tired = [&](const std::string& what) {
    if (Clock::now() > deadline)
      user_error("rank {} of {}: waited {} s for {}", place.rank, place.world, kStart.count(), what);
    std::this_thread::sleep_for(milliseconds(20));
  };
  if (place.rank == 0) {
    nonce = std::to_string(Clock::now().time_since_epoch().count());
    lobby->set("nonce", bytes_of(nonce));
    for (int64_t other = 1; other < place.world;) {
      const std::string key = "seen/" + std::to_string(other);
      if (lobby->check({key}) && text_of(lobby->get(key)) == nonce)
        ++other;
      else
        tired("rank " + std::to_string(other));
    }
    lobby->set("go", bytes_of(nonce));
  } else {
    while (true) {
      if (lobby->check({"nonce"})) {
        nonce = text_of(lobby->get("nonce"));
        lobby->set("seen/" + std::to_string(place.rank), bytes_of(nonce));
        if (lobby->check({"go"}) && text_of(lobby->get("go")) == nonce) break;
      }
      tired("rank 0");
    }
  }
  const std::string prefix = "temper/" + nonce;
  store = c10::make_intrusive<c10d::PrefixStore>(prefix, tcp);
  beat_store = c10::make_intrusive<c10d::PrefixStore>(prefix, open_store(place, false));

  store->set("settings/" + std::to_string(place.rank), bytes_of(settings));
  for (int64_t other = 0; other < place.world; ++other) {
    const std::string theirs = text_of(store->get("settings/" + std::to_string(other)));
    if (theirs == settings) continue;
    if (place.rank == 0) std::this_thread::sleep_for(kFarewell);  // the others find it too
    user_error("rank {} was started with another config, other data or another build than rank {}: {}",
               place.rank, other, differing_line(settings, theirs));
  }
  auto options = c10d::ProcessGroupGloo::Options::create(kCollective);
  const std::string loopback = "127.0.0.1";
  options->devices.push_back(place.local_world >= place.world
                                 ? c10d::ProcessGroupGloo::createDeviceForHostname(loopback)
                                 : c10d::ProcessGroupGloo::createDefaultDevice());
  backend = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", store),
                                                        static_cast<int>(place.rank),
                                                        static_cast<int>(place.world), options);
  heart = std::thread([this, rank = place.rank] {
    try {
      for (int64_t count = 0;; ++count) {
        beat_store->set("beat/" + std::to_string(rank), bytes_of(std::to_string(count)));
        std::unique_lock<std::mutex> lock(mutex);
        if (wake.wait_for(lock, kBeat, [this] { return stop; })) return;
      }
    } catch (const std::exception&) {
      // The store is gone; the next meeting says so.
    }
  });
}

Ranks::Group::~Group() {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    stop = true;
  }
  wake.notify_all();
  if (heart.joinable()) heart.join();
}

std::string Ranks::Group::value(const std::string& name) {
  return store->check({name}) ? text_of(store->get(name)) : std::string();
}

void Ranks::Group::Watch::look(int64_t rank) {
  const std::string name = std::to_string(rank);
  if (const std::string why = group_.value("left/" + name); !why.empty())
    user_error("rank {} has ended: {}", name, why);
  Seen& seen = seen_[rank];
  if (const std::string beat = group_.value("beat/" + name); beat != seen.beat) seen = {beat, Clock::now()};
  if (Clock::now() - seen.since > kSilence)
    throw PeerLost(fmt::format("rank {} has not been heard of for {} s", name, kSilence.count()));
}

void Ranks::Group::wait_for_all(const std::string& key, int64_t least, int64_t rank, int64_t world) {
  std::set<int64_t> waiting;
  for (int64_t other = 0; other < world; ++other) {
    if (other != rank) waiting.insert(other);
  }
  Watch watch(*this);
  for (milliseconds pause{0}; !waiting.empty(); pause = std::min(pause + milliseconds(1), milliseconds(50))) {
    std::this_thread::sleep_for(pause);
    for (auto it = waiting.begin(); it != waiting.end();) {
      const std::string there = value(key + "/" + std::to_string(*it));
      if (!there.empty() && std::stoll(there) >= least) {
        it = waiting.erase(it);
        continue;
      }
      watch.look(*it);
      ++it;
    }
  }
}

Ranks::Ranks() = default;
Ranks::Ranks(const Place& place, const std::string& settings) : rank_(place.rank), world_(place.world) {
  if (world_ > 1) group_ = std::make_unique<Group>(place, settings);
}
Ranks::~Ranks() = default;

// Waits until every rank has come to this call. Between two meetings a rank may work as long as it likes, so
// that no exchange has to wait for one.
void Ranks::meet() {
  exchange(kStoreGone, [&] {
    const int64_t now = ++group_->meetings;
    group_->store->set("at/" + std::to_string(rank_), bytes_of(std::to_string(now)));
    group_->wait_for_all("at", now, rank_, world_);
  });
}

void Ranks::use_nccl() {
  if (alone() || group_->nccl != nullptr) return;
  std::string id, problem;
  try {
    if (first()) id = Nccl::fresh_id();
  } catch (const std::exception& e) {
    problem = e.what();
  }
  id = from_first(id);
  try {
    if (problem.empty()) group_->nccl = std::make_unique<Nccl>(id, rank_, world_);
  } catch (const std::exception& e) {
    problem = e.what();
  }
  for (const std::string& theirs : gather(problem)) {
    if (!theirs.empty())
      user_error("dist.backend: nccl: {}; each process needs a GPU of its own; or use \"gloo\"", theirs);
  }
}

void Ranks::end() {
  if (alone()) return;
  exchange(kStoreGone, [&] {
    group_->store->set("done/" + std::to_string(rank_), bytes_of("1"));
    if (first()) group_->wait_for_all("done", 1, rank_, world_);
  });
}

double Ranks::sum(double number) {
  std::map<std::string, double> one = {{"", number}};
  sum(one);
  return one[""];
}

void Ranks::sum(std::map<std::string, double>& numbers) {
  if (alone()) return;
  std::string mine;
  for (const auto& [name, value] : numbers) {
    const auto length = static_cast<uint32_t>(name.size());
    mine.append(reinterpret_cast<const char*>(&length), sizeof length).append(name);
    mine.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  numbers.clear();
  for (const std::string& theirs : gather(mine)) {
    for (size_t at = 0; at < theirs.size();) {
      uint32_t length = 0;
      double value = 0;
      std::memcpy(&length, theirs.data() + at, sizeof length);
      const std::string name = theirs.substr(at + sizeof length, length);
      std::memcpy(&value, theirs.data() + at + sizeof length + length, sizeof value);
      numbers[name] += value;
      at += sizeof length + length + sizeof value;
    }
  }
}

std::vector<std::string> Ranks::gather(const std::string& mine) {
  if (alone()) return {mine};
  meet();
  std::vector<at::Tensor> length = {at::full({1}, static_cast<int64_t>(mine.size()), at::kLong)};
  std::vector<std::vector<at::Tensor>> lengths(1);
  for (int64_t r = 0; r < world_; ++r) lengths[0].push_back(at::empty({1}, at::kLong));
  exchange(kPeerGone, [&] { group_->backend->allgather(lengths, length)->wait(); });
  int64_t most = 0;
  for (const at::Tensor& t : lengths[0]) most = std::max(most, t.item<int64_t>());
  std::vector<std::string> out;
  if (most == 0) return std::vector<std::string>(static_cast<size_t>(world_));
  std::vector<at::Tensor> bytes = {at::zeros({most}, at::kByte)};
  std::memcpy(bytes[0].data_ptr(), mine.data(), mine.size());
  std::vector<std::vector<at::Tensor>> all(1);
  for (int64_t r = 0; r < world_; ++r) all[0].push_back(at::empty({most}, at::kByte));
  exchange(kPeerGone, [&] { group_->backend->allgather(all, bytes)->wait(); });
  for (int64_t r = 0; r < world_; ++r) {
    const auto size = static_cast<size_t>(lengths[0][static_cast<size_t>(r)].item<int64_t>());
    out.emplace_back(static_cast<const char*>(all[0][static_cast<size_t>(r)].const_data_ptr()), size);
  }
  return out;
}

std::string Ranks::from_first(const std::string& bytes) {
  return gather(first() ? bytes : std::string()).front();
}

void Ranks::demand_same(const std::string& bytes, const std::string& what) {
  const auto all = gather(bytes);
  for (size_t r = 1; r < all.size(); ++r) {
    if (all[r] != all[0]) {
      user_error(
          "{}: rank {} has gone apart from rank 0; are the machines' processors of one kind? The last "
          "checkpoint "
          "is whole",
          what, r);
    }
  }
}

void Ranks::leave(const std::string& why) noexcept {
  if (alone()) return;
  try {
    group_->store->set("left/" + std::to_string(rank_), bytes_of(why));
    if (first()) std::this_thread::sleep_for(kFarewell);  // the store ends with rank 0
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
}

}  // namespace temper
