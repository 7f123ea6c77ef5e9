#include "train/shared.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/json.h"

namespace temper {
namespace {

std::string bytes_of(const Json& json) {
  const auto bytes = Json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}

std::vector<uint8_t> bytes_of(const std::vector<int16_t>& numbers) {
  std::vector<uint8_t> out(numbers.size() * sizeof(int16_t));
  std::memcpy(out.data(), numbers.data(), out.size());
  return out;
}

std::vector<int16_t> numbers_of(const std::vector<uint8_t>& bytes) {
  std::vector<int16_t> out(bytes.size() / sizeof(int16_t));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

std::string pack(const Completions& all) {
  Json json = Json::array();
  for (const auto& completions : all) {
    Json& row = json.emplace_back(Json::array());
    for (const Completion& c : completions) {
      Json turns = Json::array();
      for (const Turn& turn : c.turns) turns.push_back(to_json(turn));
      row.push_back({c.ids, c.logp, c.logp_full, static_cast<int>(c.finish), c.text, c.raw_text, turns,
                     c.conversation ? to_json(*c.conversation) : Json(nullptr), number_or_null(c.log_weight),
                     Json::binary(bytes_of(c.routes))});
    }
  }
  return bytes_of(json);
}

Completions unpack(const std::string& bytes) {
  Completions out;
  for (const Json& row : Json::from_cbor(bytes)) {
    auto& completions = out.emplace_back();
    for (const Json& c : row) {
      Completion& to = completions.emplace_back();
      to.ids = c[0].get<std::vector<int64_t>>();
      to.logp = c[1].get<std::vector<float>>();
      to.logp_full = c[2].get<std::vector<float>>();
      to.finish = static_cast<FinishReason>(c[3].get<int>());
      to.text = c[4].get<std::string>();
      to.raw_text = c[5].get<std::string>();
      for (const Json& turn : c[6]) to.turns.push_back(turn_from_json(turn));
      if (!c[7].is_null()) to.conversation = conversation_from_json(c[7]);
      if (!c[8].is_null()) to.log_weight = c[8].get<double>();
      to.routes = numbers_of(c[9].get_binary());
    }
  }
  return out;
}

std::string pack(const std::vector<ScoredItem>& items) {
  Json json = Json::array();
  for (const ScoredItem& item : items) {
    Json& parts = json.emplace_back(Json::array());
    for (const Score& part : item.parts) parts.push_back(temper::to_json(part));
  }
  return bytes_of(json);
}

std::vector<ScoredItem> unpack_scores(const std::string& bytes) {
  std::vector<ScoredItem> out;
  for (const Json& parts : Json::from_cbor(bytes)) {
    ScoredItem& item = out.emplace_back();
    for (const Json& part : parts) item.parts.push_back(score_from_json(part));
  }
  return out;
}

// Every world-th item is this rank's.
template <class T>
std::vector<T> mine_of(const Ranks& ranks, const std::vector<T>& items) {
  std::vector<T> out;
  for (size_t i = 0; i < items.size(); ++i)
    if (ranks.mine(i)) out.push_back(items[i]);
  return out;
}

// Of what each rank has made of its items, all in their order.
template <class T>
std::vector<T> dealt_back(std::vector<std::vector<T>> of_ranks, size_t count) {
  std::vector<T> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(std::move(of_ranks[i % of_ranks.size()].at(i / of_ranks.size())));
  return out;
}

// The parts of all ranks, in their order; where one has seen a signal, all stop.
template <class Part>
std::vector<std::string> gathered(Ranks& ranks, const StopAll& stop, const Part& part) {
  std::string mine;
  int signal = 0;
  try {
    mine = "+" + part();
  } catch (const SignalSeen& seen) {
    mine = "!" + std::to_string(seen.signal);
  }
  std::vector<std::string> all = ranks.gather(mine);
  for (std::string& theirs : all) {
    if (theirs[0] == '!') signal = std::max(signal, std::stoi(theirs.substr(1)));
    theirs.erase(0, 1);
  }
  if (signal != 0) stop(signal);
  return all;
}

template <class Part>
auto alone(const StopAll& stop, const Part& part) {
  try {
    return part();
  } catch (const SignalSeen& seen) {
    stop(seen.signal);
    throw;
  }
}

}  // namespace

Completions shared_completions(Ranks& ranks, const std::vector<GenerateRequest>& requests,
                               const Generate& generate, const StopAll& stop) {
  if (ranks.alone()) return alone(stop, [&] { return generate(requests); });
  const auto mine = mine_of(ranks, requests);
  std::vector<Completions> all;
  for (const std::string& theirs :
       gathered(ranks, stop, [&] { return pack(mine.empty() ? Completions() : generate(mine)); }))
    all.push_back(unpack(theirs));
  return dealt_back(std::move(all), requests.size());
}

std::vector<ScoredItem> shared_scores(Ranks& ranks, const std::vector<RewardItem>& items,
                                      const ScoreAll& score, const StopAll& stop) {
  return shared_scores(
      ranks, std::vector<size_t>(items.size(), 1),
      [&] {
        const auto mine = mine_of(ranks, items);
        return mine.empty() ? std::vector<ScoredItem>() : score(mine);
      },
      stop);
}

std::vector<ScoredItem> shared_scores(Ranks& ranks, const std::vector<size_t>& unit_sizes,
                                      const std::function<std::vector<ScoredItem>()>& score,
                                      const StopAll& stop) {
  if (ranks.alone()) return alone(stop, score);
  std::vector<std::vector<ScoredItem>> all;
  for (const std::string& theirs : gathered(ranks, stop, [&] { return pack(score()); }))
    all.push_back(unpack_scores(theirs));
  std::vector<size_t> next(all.size(), 0);
  std::vector<ScoredItem> out;
  for (size_t unit = 0; unit < unit_sizes.size(); ++unit) {
    const size_t rank = unit % all.size();
    for (size_t i = 0; i < unit_sizes[unit]; ++i) out.push_back(std::move(all[rank].at(next[rank]++)));
  }
  return out;
}

void share_numbers(Ranks& ranks, const std::vector<MicroBatch>& batches, std::vector<at::Tensor>& numbers) {
  std::vector<int64_t> sizes;
  for (const MicroBatch& batch : batches) sizes.push_back(batch.targets.token.size(0));
  share_numbers(ranks, sizes, numbers);
}

void share_numbers(Ranks& ranks, const std::vector<int64_t>& sizes, std::vector<at::Tensor>& numbers) {
  if (ranks.alone() || numbers.empty()) return;
  std::string mine;
  for (at::Tensor& t : numbers) {
    if (!t.defined()) continue;
    t = t.to(at::kCPU, at::kFloat).contiguous();
    mine.append(static_cast<const char*>(t.const_data_ptr()), t.nbytes());
  }
  const std::vector<std::string> all = ranks.gather(mine);
  std::vector<size_t> at(all.size(), 0);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t owner = i % all.size();
    numbers[i] = at::empty({sizes[i]}, at::kFloat);
    std::memcpy(numbers[i].mutable_data_ptr(), all[owner].data() + at[owner], numbers[i].nbytes());
    at[owner] += numbers[i].nbytes();
  }
}

std::vector<bool> with_gradients_of_any(Ranks& ranks, const std::vector<at::Tensor>& leaves) {
  const at::Tensor counts = at::zeros({static_cast<int64_t>(leaves.size())}, at::kFloat);
  auto* count = counts.mutable_data_ptr<float>();
  for (size_t i = 0; i < leaves.size(); ++i) count[i] = leaves[i].grad().defined() ? 1.0F : 0.0F;
  ranks.sum({counts});
  std::vector<bool> reached;
  for (size_t i = 0; i < leaves.size(); ++i) {
    reached.push_back(count[i] > 0);
    if (reached[i] && !leaves[i].grad().defined())
      leaves[i].mutable_grad() = at::zeros(leaves[i].sizes(), leaves[i].options());
  }
  return reached;
}

void sum_gradients(Ranks& ranks, const std::vector<at::Tensor>& leaves) {
  const std::vector<bool> reached = with_gradients_of_any(ranks, leaves);
  std::vector<at::Tensor> gradients;
  for (size_t i = 0; i < leaves.size(); ++i)
    if (reached[i]) gradients.push_back(leaves[i].grad());
  ranks.sum(gradients);
}

}  // namespace temper
