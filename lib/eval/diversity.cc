#include "eval/diversity.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace temper {

std::vector<int64_t> own_tokens(const std::vector<int64_t>& ids, const std::vector<Turn>& turns) {
  if (turns.empty()) return ids;
  std::vector<int64_t> out;
  for (const Turn& turn : turns) out.insert(out.end(), ids.begin() + turn.begin, ids.begin() + turn.end);
  return out;
}

double distinct_share(const std::vector<std::vector<int64_t>>& texts) {
  const std::set<std::vector<int64_t>> different(texts.begin(), texts.end());
  return static_cast<double>(different.size()) / static_cast<double>(texts.size());
}

at::Tensor ngram_similarities(const std::vector<std::vector<int64_t>>& texts) {
  using Ngram = std::pair<int64_t, int64_t>;  // of one token: with -1
  std::vector<std::map<Ngram, double>> counts;
  for (const auto& text : texts) {
    auto& mine = counts.emplace_back();
    for (size_t t = 0; t < text.size(); ++t) {
      mine[{text[t], -1}] += 1;
      if (t > 0) mine[{text[t - 1], text[t]}] += 1;
    }
  }
  const auto dot = [&](size_t a, size_t b) {
    double sum = 0;
    for (const auto& [ngram, count] : counts[a]) {
      const auto found = counts[b].find(ngram);
      if (found != counts[b].end()) sum += count * found->second;
    }
    return sum;
  };
  const auto n = static_cast<int64_t>(texts.size());
  const at::Tensor out = at::eye(n, at::kDouble);
  double* k = out.mutable_data_ptr<double>();
  for (size_t a = 0; a < texts.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      const bool one_empty = texts[a].empty() || texts[b].empty();
      const double both =
          one_empty ? (texts[a] == texts[b] ? 1.0 : 0.0) : dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
      k[a * texts.size() + b] = k[b * texts.size() + a] = both;
    }
  }
  return out;
}

double vendi_score(const std::vector<std::vector<int64_t>>& texts) {
  const at::Tensor values =
      at::linalg_eigvalsh(ngram_similarities(texts) / static_cast<double>(texts.size()));
  // Rounding may put one that is 0 a little below.
  return std::exp(-at::special_xlogy(values.clamp_min(0), values.clamp_min(0)).sum().item<double>());
}

}  // namespace temper
