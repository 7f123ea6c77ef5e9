#include "rollout/prompt_cache.h"

#include <algorithm>

namespace temper {
namespace {

int64_t common_tokens(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const auto length = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return std::mismatch(a.begin(), a.begin() + length, b.begin()).first - a.begin();
}

int64_t room_of(const std::vector<int64_t>& prompt) {
  return (static_cast<int64_t>(prompt.size()) + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
}

}  // namespace

std::shared_ptr<KvRun> PromptCache::begin_of(const std::vector<int64_t>& prompt) {
  auto best = kept_.end();
  int64_t common = 0;
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    const int64_t tokens =
        std::min(common_tokens(kept->prompt, prompt), static_cast<int64_t>(prompt.size()) - 1);
    if (tokens > common) best = kept, common = tokens;
  }
  if (common < kWorth) return nullptr;
  auto out = std::make_shared<KvRun>(pool_);
  out->copy_from(*best->run, 0);
  out->shorten(out->length() - common);
  kept_.splice(kept_.begin(), kept_, best);
  return out;
}

void PromptCache::keep(const std::vector<int64_t>& prompt, std::shared_ptr<const KvRun> run) {
  if (room_of(prompt) > most_ || static_cast<int64_t>(prompt.size()) < kWorth) return;
  // One that this prompt begins with is of no more use.
  kept_.remove_if([&](const Kept& kept) {
    const bool covered = common_tokens(kept.prompt, prompt) == static_cast<int64_t>(kept.prompt.size());
    if (covered) tokens_ -= room_of(kept.prompt);
    return covered;
  });
  kept_.push_front({prompt, std::move(run)});
  tokens_ += room_of(prompt);
  while (tokens_ > most_) {
    tokens_ -= room_of(kept_.back().prompt);
    kept_.pop_back();
  }
}

}  // namespace temper
