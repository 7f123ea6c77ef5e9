#include "rollout/kv_arena.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>

namespace temper {
namespace {

constexpr int64_t kUnit = 64;  // stretches are whole multiples of it

}  // namespace

KvArena::KvArena(const std::vector<std::pair<int64_t, int64_t>>& sizes, const at::TensorOptions& options) {
  for (const auto& [heads, head_dim] : sizes) {
    keys_.push_back(at::empty({0, heads, head_dim}, options));
    values_.push_back(at::empty({0, heads, head_dim}, options));
  }
}

int64_t KvArena::bytes() const {
  int64_t out = 0;
  for (const auto* all : {&keys_, &values_})
    for (const at::Tensor& x : *all) out += static_cast<int64_t>(x.nbytes());
  return out;
}

void KvArena::reserve(int64_t tokens) {
  if (tokens > rows()) grow((tokens - rows() + kUnit - 1) / kUnit * kUnit);
}

KvArena::Stretch KvArena::take(int64_t tokens) {
  const int64_t wanted = (std::max<int64_t>(tokens, 1) + kUnit - 1) / kUnit * kUnit;
  auto it = std::find_if(free_.begin(), free_.end(), [&](const auto& s) { return s.second >= wanted; });
  if (it == free_.end()) {
    grow(wanted);
    it = std::prev(free_.end());
  }
  const auto [begin, size] = *it;
  free_.erase(it);
  if (size > wanted) free_.emplace(begin + wanted, size - wanted);
  return {begin, wanted};
}

void KvArena::give(Stretch stretch) {
  if (stretch.tokens == 0) return;
  auto it = free_.emplace(stretch.begin, stretch.tokens).first;
  if (const auto next = std::next(it); next != free_.end() && it->first + it->second == next->first) {
    it->second += next->second;
    free_.erase(next);
  }
  if (it == free_.begin()) return;
  if (const auto before = std::prev(it); before->first + before->second == it->first) {
    before->second += it->second;
    free_.erase(it);
  }
}

void KvArena::copy(const Stretch& from, const Stretch& to, int64_t tokens) {
  for (auto* all : {&keys_, &values_})
    for (at::Tensor& x : *all)
      if (x.numel() > 0) x.narrow(0, to.begin, tokens).copy_(x.narrow(0, from.begin, tokens));
}

// At least doubles, so that what is copied adds up to no more than what is stored.
void KvArena::grow(int64_t tokens) {
  const int64_t before = rows(), added = std::max(tokens, before);
  for (auto* all : {&keys_, &values_}) {
    for (at::Tensor& x : *all) {
      at::Tensor larger = at::empty({before + added, x.size(1), x.size(2)}, x.options());
      if (x.numel() > 0) larger.narrow(0, 0, before).copy_(x);
      x = larger;
    }
  }
  rows_ = before + added;
  give({before, added});
}

}  // namespace temper
