// Prompts whose keys and values are kept for later prompts that begin alike.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "rollout/kv_cache.h"

namespace temper {

class PromptCache {
 public:
  // Room for so many tokens is kept in all, in whole blocks; those that were not asked for the longest go
  // first. The pool outlives this.
  PromptCache(KvPool& pool, int64_t most_tokens) : pool_(pool), most_(most_tokens) {}

  // A copy of what is kept of the prompt's first tokens: as many as one of the kept prompts begins with, and
  // never the prompt's last, which has to be read to go on. Null: it is not worth it.
  std::shared_ptr<KvRun> begin_of(const std::vector<int64_t>& prompt);
  // run: of all of the prompt's tokens. Longer than what is kept in all: it is not kept.
  void keep(const std::vector<int64_t>& prompt, std::shared_ptr<const KvRun> run);
  int64_t tokens() const { return tokens_; }

  static constexpr int64_t kWorth = 32;  // tokens

 private:
  struct Kept {
    std::vector<int64_t> prompt;
    std::shared_ptr<const KvRun> run;
  };
  KvPool& pool_;
  int64_t most_, tokens_ = 0;
  std::list<Kept> kept_;  // the newest in front
};

}  // namespace temper
