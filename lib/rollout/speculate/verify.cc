#include "rollout/speculate/verify.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "rollout/distribution.h"
#include "rollout/draws.h"
#include "rollout/reading.h"

namespace temper {
namespace {

// The token in the place of the draft's `at`-th, or behind the whole draft.
SampledToken next_token(const TokenDistribution& p, const Draft& draft, size_t at, RandomStream& random) {
  if (at >= draft.drawn_from.size()) return p.draw(random.uniform());
  const std::vector<float>& q = draft.drawn_from[at];
  const int64_t drafted = draft.ids[at];
  if (random.uniform() * q[static_cast<size_t>(drafted)] < p.probability(drafted)) return p.token(drafted);
  return p.token(draw_residual(p.probabilities(), q, random.uniform()));
}

// A sequence whose draft is being verified.
struct Verified {
  DecodedSequence* sequence;
  const Draft* draft;
  int64_t row = 0;       // of the logits, of its newest token before the step
  int64_t accepted = 0;  // drafted tokens
  int64_t given = 0;     // tokens
};

}  // namespace

SpeculationCount speculative_step(Model& model, Speculator& speculator,
                                  const std::vector<DecodedSequence*>& sequences,
                                  const std::function<bool(DecodedSequence&, const SampledToken&)>& accept) {
  const std::vector<Draft> drafts = speculator.draft(sequences);
  TokensToRead tokens;
  std::vector<Verified> all;
  for (size_t i = 0; i < sequences.size(); ++i) {
    DecodedSequence& s = *sequences[i];
    all.push_back({&s, &drafts[i], tokens.size()});
    tokens.add(s.ids().back(), s.prompt(), s.own());
    for (const int64_t id : drafts[i].ids) tokens.add(id, s.prompt(), s.own());
  }
  at::Tensor logits = model.logits(tokens.hidden(model)).cpu().contiguous();
  float* rows = logits.mutable_data_ptr<float>();
  const int64_t vocab = logits.size(1);

  // Token by token, since what may come next depends on the text before it.
  std::vector<Verified*> open;
  for (Verified& v : all) open.push_back(&v);
  while (!open.empty()) {
    std::vector<SampledToken> next(open.size());
    at::parallel_for(0, static_cast<int64_t>(open.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Verified& v = *open[i];
        DecodedSequence& s = *v.sequence;
        const TokenDistribution p = s.draws().distribution(rows + (v.row + v.given) * vocab, vocab, s);
        next[i] = next_token(p, *v.draft, static_cast<size_t>(v.given), s.random());
      }
    });
    std::vector<Verified*> still;
    for (size_t i = 0; i < open.size(); ++i) {
      Verified& v = *open[i];
      const auto at = static_cast<size_t>(v.given++);
      const bool as_drafted = at < v.draft->ids.size() && next[i].id == v.draft->ids[at];
      v.accepted += as_drafted;
      if (accept(*v.sequence, next[i]) && as_drafted) still.push_back(&v);
    }
    open = std::move(still);
  }

  SpeculationCount count;
  for (const Verified& v : all) {
    // The newest token is not read yet.
    KvRun& own = v.sequence->own();
    own.shorten(own.length() - static_cast<int64_t>(v.sequence->ids().size()) + 1);
    const auto drafted = static_cast<int64_t>(v.draft->ids.size());
    count.drafted += drafted;
    count.accepted += v.accepted;
    if (drafted > 0) speculator.verified(*v.sequence, drafted, v.accepted);
  }
  return count;
}

}  // namespace temper
