#include "rollout/speculate/drafting.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "rollout/distribution.h"

namespace temper {

void DraftingOptions::fields(FieldVisitor& v) {
  SpeculationOptions::fields(v);
  v.field(
      "stop_below", stop_below,
      {.help = "a draft ends behind a token of whose distribution the largest probability is below this; 0: "
               "never; left out: 0.8 greedy, 0.5 sampled",
       .min = 0,
       .max = 1});
  v.field("adapt", adapt, {.help = "stop_below follows the share of each text's drafts that is accepted"});
}

void DraftGamma::follow(int64_t drafted, int64_t accepted, int64_t limit) {
  acceptance = 0.5 * acceptance + 0.5 * static_cast<double>(accepted) / static_cast<double>(drafted);
  const double wanted = acceptance < 0.9 ? gamma + 0.01 : drafted == limit ? gamma : gamma - 0.01;
  gamma = 0.9 * gamma + 0.1 * wanted;
}

DraftingSpeculator::DraftingSpeculator(const DraftingOptions& options, const SpeculationScene& scene)
    : scene_(scene), options_(options) {}

double DraftingSpeculator::first_gamma() const {
  return options_.stop_below.value_or(scene_.sampling.temperature == 0 ? 0.8 : 0.5);
}

std::vector<Draft> DraftingSpeculator::draft(const std::vector<DecodedSequence*>& sequences) {
  std::vector<Open> all;
  for (DecodedSequence* s : sequences) {
    all.push_back({s, {}, {}, std::min(options_.draft_tokens, s->room() - 1)});
    if (scene_.sampling.penalises()) all.back().seen = s->seen();
    gammas_.try_emplace(s, DraftGamma{first_gamma()});
  }
  std::vector<Open*> open;
  for (Open& o : all)
    if (o.limit > 0) open.push_back(&o);
  while (!open.empty()) {
    at::Tensor logits = next_logits(open).cpu().contiguous();
    float* rows = logits.mutable_data_ptr<float>();
    const int64_t vocab = logits.size(1);
    std::vector<char> goes_on(open.size());
    at::parallel_for(0, static_cast<int64_t>(open.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        goes_on[i] = extend(*open[i], rows + i * vocab, vocab, gammas_.at(open[i]->sequence).gamma);
    });
    std::vector<Open*> still;
    for (size_t i = 0; i < open.size(); ++i)
      if (goes_on[i]) still.push_back(open[i]);
    open = std::move(still);
  }
  drafted(all);
  std::vector<Draft> out;
  for (Open& o : all) out.push_back(std::move(o.draft));
  return out;
}

bool DraftingSpeculator::extend(Open& open, float* logits, int64_t vocab, double gamma) const {
  // Of what may not come, the end ids alone are known without the text; the model refuses the rest.
  const DecodedSequence& s = *open.sequence;
  const bool may_end = s.may_end_behind(static_cast<int64_t>(open.draft.ids.size()));
  const std::vector<int64_t> none;
  const TokenDistribution q(logits, vocab, scene_.sampling, open.seen, may_end ? none : scene_.end_ids);
  int64_t id;
  if (q.greedy()) {
    id = q.draw(0).id;
  } else {
    open.draft.drawn_from.push_back(q.probabilities());
    id = draw_from(open.draft.drawn_from.back(), open.sequence->random().uniform());
  }
  open.draft.ids.push_back(id);
  if (scene_.sampling.penalises()) ++open.seen[id];
  return static_cast<int64_t>(open.draft.ids.size()) < open.limit && q.highest() >= gamma;
}

void DraftingSpeculator::verified(const DecodedSequence& s, int64_t drafted, int64_t accepted) {
  if (options_.adapt) gammas_.at(&s).follow(drafted, accepted, options_.draft_tokens);
}

void DraftingSpeculator::ended(const DecodedSequence& s) {
  gammas_.erase(&s);
}

}  // namespace temper
