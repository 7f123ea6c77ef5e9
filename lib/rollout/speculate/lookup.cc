#include "rollout/speculate/lookup.h"

#include <fmt/format.h>

#include <algorithm>

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
      const int64_t count = std::min(options_.draft_tokens, s->room() - 1);
      out.push_back({look_up(text, options_.ngram_min, options_.ngram_max, count), {}});
    }
    return out;
  }

 private:
  const LookupOptions& options_;
  const std::vector<GenerateRequest>& requests_;
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
