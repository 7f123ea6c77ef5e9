#include "rollout/sampler.h"

#include "rollout/distribution.h"

namespace temper {

SampledToken sample_token(float* logits, int64_t vocab, const SamplingOptions& options,
                          const SeenTokens& seen, const std::vector<int64_t>& banned, double uniform) {
  return TokenDistribution(logits, vocab, options, seen, banned).draw(uniform);
}

}  // namespace temper
