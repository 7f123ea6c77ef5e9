#include "task/preference/reference_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "train/logp_file.h"
#include "train/reference.h"
#include "train/session.h"

namespace temper {
namespace {

constexpr int64_t kFormat = 1;  // counts up when the meaning of a file changes

std::string key_of(const Session& s, const Answers& answers, const std::vector<std::vector<int64_t>>& steps) {
  const RunConfig& c = s.config;
  Fingerprint f;
  f.add(kFormat).add(start_fingerprint(s.config)).add(c.model.dtype).add(c.device).add(c.threads);
  f.add(c.train.micro_batch_tokens).add(c.train.share_prompts ? 1 : 0).add(answers.unit);
  const auto add_ids = [&](const std::vector<int64_t>& ids) {
    f.add(ids.data(), ids.size() * sizeof(int64_t));
  };
  for (const auto& units : steps) {
    f.add(static_cast<int64_t>(units.size()));
    for (const int64_t u : units) {
      for (const Answer& a : answers.of(u)) {
        add_ids(a.prompt);
        add_ids(a.completion);
        add_ids({a.target.begin(), a.target.end()});
      }
    }
  }
  return f.hex();
}

}  // namespace

ReferenceCache::ReferenceCache(Session& s, const Answers& answers,
                               const std::vector<std::vector<int64_t>>& steps)
    : begin_(answers.units(), -1), size_(answers.units(), 0) {
  int64_t count = 0;
  for (const auto& units : steps) {
    for (const int64_t u : units) {
      if (begin_[u] >= 0) continue;
      for (const Answer& a : answers.of(u)) size_[u] += std::count(a.target.begin(), a.target.end(), true);
      begin_[u] = count;
      count += size_[u];
    }
  }
  const LogpFile file(s, "reference", key_of(s, answers, steps));
  values_ = file.read(count);
  if (values_.defined()) return;

  values_ = at::empty({count}, at::kFloat);
  std::vector<bool> known(answers.units(), false);
  for (size_t i = 0; i < steps.size(); ++i) {
    s.check_signal();
    s.progress->inner(fmt::format("reference log-probs {}/{}", i + 1, steps.size()));
    const PreferenceStep step = gather(answers, steps[i]);
    const at::Tensor logp = reference_logp(s, step.sequences).cpu();
    int64_t begin = 0;
    for (const int64_t u : steps[i]) {
      if (!known[u]) values_.narrow(0, begin_[u], size_[u]).copy_(logp.narrow(0, begin, size_[u]));
      known[u] = true;
      begin += size_[u];
    }
  }
  s.reference.reset();  // nobody asks it again
  file.write(values_);
}

at::Tensor ReferenceCache::of(const std::vector<int64_t>& units) const {
  std::vector<at::Tensor> parts;
  for (const int64_t u : units) {
    if (begin_.at(u) < 0) bug("the reference log-probs of unit {} were not asked for", u);
    parts.push_back(values_.narrow(0, begin_[u], size_[u]));
  }
  return at::cat(parts);
}

}  // namespace temper
