#include "rollout/draws.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rollout/device_sampler.h"
#include "rollout/mirostat.h"

namespace temper {
namespace {

// The likeliest `count` tokens of a row of logits, the best first, ties by id; then any others by id.
class Ranking {
 public:
  Ranking(const float* row, int64_t vocab, int64_t count) : row_(row, row + vocab) {
    const float most = *std::max_element(row_.begin(), row_.end());
    double sum = 0;
    for (const float logit : row_) sum += std::exp(static_cast<double>(logit) - most);
    log_sum_ = most + std::log(sum);
    order_.resize(row_.size());
    std::iota(order_.begin(), order_.end(), 0);
    count = std::min(count, vocab);
    std::partial_sort(order_.begin(), order_.begin() + count, order_.end(), [&](int64_t a, int64_t b) {
      const float left = logit(a), right = logit(b);
      return left != right ? left > right : a < b;
    });
    order_.resize(static_cast<size_t>(count));
  }
  std::vector<TokenLogprob> behind(int64_t drawn) const {
    std::vector<TokenLogprob> out = {chance(drawn)};
    for (const int64_t id : order_) out.push_back(chance(id));
    return out;
  }

 private:
  float logit(int64_t id) const { return row_[static_cast<size_t>(id)]; }
  TokenLogprob chance(int64_t id) const { return {id, static_cast<float>(logit(id) - log_sum_)}; }
  std::vector<float> row_;
  double log_sum_ = 0;
  std::vector<int64_t> order_;
};

}  // namespace

std::vector<int64_t> TokenDraws::banned_for(const DecodedSequence& s) const {
  std::vector<int64_t> banned = bans_.after(s.text_so_far());
  if (!s.may_end()) banned.insert(banned.end(), end_ids_.begin(), end_ids_.end());
  return banned;
}

TokenDistribution TokenDraws::distribution(float* row, int64_t vocab, const DecodedSequence& s) const {
  if (s.constraint() == nullptr) return {row, vocab, sampling_, s.seen(), banned_for(s)};
  const auto allowed = s.constraint()->allowed();
  return {row, vocab, sampling_, s.seen(), banned_for(s), allowed.get()};
}

bool TokenDraws::can_draw_there() const {
  return !ranked_ && samples_on_device(sampling_);
}

SampledToken TokenDraws::draw(float* row, int64_t vocab, DecodedSequence& s) const {
  if (!ranked_) return draw_unranked(row, vocab, s);
  const Ranking ranking(row, vocab, *ranked_);
  SampledToken token = draw_unranked(row, vocab, s);
  token.ranked = ranking.behind(token.id);
  return token;
}

SampledToken TokenDraws::draw_unranked(float* row, int64_t vocab, DecodedSequence& s) const {
  if (s.constraint() != nullptr) {
    return sample_constrained(row, vocab, sampling_, s.seen(), banned_for(s), *s.constraint(), s.random(),
                              exact_);
  }
  const double uniform = s.random().uniform();
  if (sampling_.mirostat())
    return sample_mirostat(row, vocab, sampling_, s.seen(), banned_for(s), uniform, s.mirostat_mu());
  return sample_token(row, vocab, sampling_, s.seen(), banned_for(s), uniform);
}

namespace {

std::vector<SampledToken> draw_here(at::Tensor logits, const std::vector<DecodedSequence*>& sequences,
                                    std::vector<std::exception_ptr>* failures) {
  float* rows = logits.mutable_data_ptr<float>();
  const int64_t vocab = logits.size(1);
  std::vector<SampledToken> tokens(sequences.size());
  if (failures != nullptr) failures->assign(sequences.size(), nullptr);
  at::parallel_for(0, static_cast<int64_t>(sequences.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DecodedSequence& s = *sequences[static_cast<size_t>(i)];
      try {
        tokens[static_cast<size_t>(i)] = s.draws().draw(rows + i * vocab, vocab, s);
      } catch (...) {
        if (failures == nullptr) throw;
        (*failures)[static_cast<size_t>(i)] = std::current_exception();
      }
    }
  });
  return tokens;
}

std::vector<SampledToken> draw_there(const at::Tensor& logits,
                                     const std::vector<DecodedSequence*>& sequences) {
  std::vector<std::vector<int64_t>> banned;
  std::vector<double> uniform;
  for (DecodedSequence* s : sequences) {
    banned.push_back(s->draws().banned_for(*s));
    uniform.push_back(s->random().uniform());
  }
  return sample_tokens(logits, sequences.front()->draws().sampling(), banned, uniform);
}

}  // namespace

std::vector<SampledToken> draw_tokens(const at::Tensor& logits,
                                      const std::vector<DecodedSequence*>& sequences,
                                      std::vector<std::exception_ptr>* failures) {
  const TokenDraws& first = sequences.front()->draws();
  const bool alike = std::all_of(sequences.begin(), sequences.end(),
                                 [&](const DecodedSequence* s) { return &s->draws() == &first; });
  if (!logits.is_cpu() && alike && first.can_draw_there()) {
    if (failures != nullptr) failures->assign(sequences.size(), nullptr);
    return draw_there(logits, sequences);
  }
  return draw_here(logits.cpu().contiguous(), sequences, failures);
}

}  // namespace temper
