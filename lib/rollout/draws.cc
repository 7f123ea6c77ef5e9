#include "rollout/draws.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "rollout/device_sampler.h"
#include "rollout/mirostat.h"

namespace temper {

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

std::vector<SampledToken> TokenDraws::draw(const at::Tensor& logits,
                                           const std::vector<DecodedSequence*>& sequences) const {
  return !logits.is_cpu() && samples_on_device(sampling_) ? draw_there(logits, sequences)
                                                          : draw_here(logits.cpu().contiguous(), sequences);
}

std::vector<SampledToken> TokenDraws::draw_here(at::Tensor logits,
                                                const std::vector<DecodedSequence*>& sequences) const {
  float* rows = logits.mutable_data_ptr<float>();
  const int64_t vocab = logits.size(1);
  std::vector<SampledToken> tokens(sequences.size());
  at::parallel_for(0, static_cast<int64_t>(sequences.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DecodedSequence& s = *sequences[i];
      float* row = rows + i * vocab;
      if (s.constraint() != nullptr) {
        tokens[i] = sample_constrained(row, vocab, sampling_, s.seen(), banned_for(s), *s.constraint(),
                                       s.random(), exact_);
        continue;
      }
      const double uniform = s.random().uniform();
      tokens[i] =
          sampling_.mirostat()
              ? sample_mirostat(row, vocab, sampling_, s.seen(), banned_for(s), uniform, s.mirostat_mu())
              : sample_token(row, vocab, sampling_, s.seen(), banned_for(s), uniform);
    }
  });
  return tokens;
}

std::vector<SampledToken> TokenDraws::draw_there(const at::Tensor& logits,
                                                 const std::vector<DecodedSequence*>& sequences) const {
  std::vector<std::vector<int64_t>> banned;
  std::vector<double> uniform;
  for (DecodedSequence* s : sequences) {
    banned.push_back(banned_for(*s));
    uniform.push_back(s->random().uniform());
  }
  return sample_tokens(logits, sampling_, banned, uniform);
}

}  // namespace temper
