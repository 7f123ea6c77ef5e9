#include "rollout/kv_arena.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>

namespace temper {
namespace {

constexpr int64_t kUnit = 64;  // stretches are whole multiples of it

}  // namespace

KvArena::KvArena(int64_t layers, int64_t heads, int64_t head_dim, const at::TensorOptions& options)
    : keys_(at::empty({layers, 0, heads, head_dim}, options)),
      values_(at::empty({layers, 0, heads, head_dim}, options)) {}

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
  for (at::Tensor* x : {&keys_, &values_})
    x->narrow(1, to.begin, tokens).copy_(x->narrow(1, from.begin, tokens));
}

// At least doubles, so that what is copied adds up to no more than what is stored.
void KvArena::grow(int64_t tokens) {
  const int64_t before = rows(), added = std::max(tokens, before);
  for (at::Tensor* x : {&keys_, &values_}) {
    at::Tensor larger = at::empty({x->size(0), before + added, x->size(2), x->size(3)}, x->options());
    larger.narrow(1, 0, before).copy_(*x);
    *x = larger;
  }
  give({before, added});
}

}  // namespace temper
