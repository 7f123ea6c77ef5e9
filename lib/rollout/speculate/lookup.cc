#include "rollout/speculate/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace temper {

std::vector<int64_t> look_up(const std::vector<int64_t>& text, int64_t ngram_min, int64_t ngram_max,
                             int64_t count) {
  const auto length = static_cast<int64_t>(text.size());
  for (int64_t n = std::min(ngram_max, length - 1); n >= ngram_min; --n) {
    for (int64_t at = length - n - 1; at >= 0; --at) {
      if (!std::equal(text.end() - n, text.end(), text.begin() + at)) continue;
      std::vector<int64_t> draft;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t from = at + n + i;
        draft.push_back(from < length ? text[static_cast<size_t>(from)]
                                      : draft[static_cast<size_t>(from - length)]);
      }
      return draft;
    }
  }
  return {};
}

namespace {

class Lookup : public Speculator {
 public:
  Lookup(const LookupOptions& options, const std::vector<GenerateRequest>& requests)
      : options_(options), requests_(requests) {}

  std::vector<Draft> draft(const std::vector<DecodedSequence*>& sequences) override {
    std::vector<Draft> out;
    for (const DecodedSequence* s : sequences) {
      std::vector<int64_t> text = requests_[s->request()].prompt;
      text.insert(text.end(), s->ids().begin(), s->ids().end());
      const int64_t limit = limits_.try_emplace(s, options_.draft_tokens).first->second;
      const int64_t count = std::min(limit, s->room() - 1);
      out.push_back({look_up(text, options_.ngram_min, options_.ngram_max, count), {}});
    }
    return out;
  }

  // Two more behind a draft that was right to its end, one less behind another.
  void verified(const DecodedSequence& s, int64_t drafted, int64_t accepted) override {
    if (!options_.adapt) return;
    int64_t& limit = limits_.at(&s);
    limit =
        accepted == drafted ? std::min(limit + 2, options_.draft_tokens) : std::max<int64_t>(limit - 1, 1);
  }

  void ended(const DecodedSequence& s) override { limits_.erase(&s); }

 private:
  const LookupOptions& options_;
  const std::vector<GenerateRequest>& requests_;
  std::map<const DecodedSequence*, int64_t> limits_;  // tokens
};

}  // namespace

void LookupOptions::fields(FieldVisitor& v) {
  v.field("ngram_max", ngram_max,
          {.help = "so many last tokens are looked for first, then fewer",
           .unit = "tokens",
           .min = 1,
           .max = 64});
  v.field("ngram_min", ngram_min,
          {.help = "the fewest that are looked for", .unit = "tokens", .min = 1, .max = 64});
  SpeculationOptions::fields(v);
  v.field(
      "adapt", adapt,
      {.help =
           "drafts of a text get longer, up to draft_tokens, where they are right, and shorter where not"});
}

void LookupOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (ngram_min > ngram_max)
    problems.push_back(
        fmt::format("{}.ngram_min: {} is more than ngram_max, {}", where, ngram_min, ngram_max));
}

std::unique_ptr<Speculator> LookupOptions::begin(const SpeculationScene& scene) const {
  return std::make_unique<Lookup>(*this, scene.requests);
}

}  // namespace temper
