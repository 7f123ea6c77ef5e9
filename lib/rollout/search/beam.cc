#include "rollout/search/beam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "rollout/reading.h"

namespace temper {
namespace {

// A completion that goes on or has ended.
struct Hypothesis {
  std::vector<int64_t> ids;
  std::vector<float> logp;  // per id
  double sum = 0;           // of logp
  bool ended = false;       // by an end token
  double score = 0;         // of one that has ended
  size_t parent = 0;        // the beam that it continues
};

class BeamSearch {
 public:
  BeamSearch(const SearchScene& scene, const BeamOptions& options)
      : scene_(scene), options_(options), pool_(kv_shape(scene.model)) {}

  std::vector<Completion> find(const std::vector<int64_t>& prompt) {
    const ReadPrompt read = read_prompts(scene_.model, pool_, {prompt}).front();
    at::Tensor logits = scene_.model.logits(read.hidden.narrow(0, read.hidden.size(0) - 1, 1));
    going_on_ = {{}};
    for (int64_t length = 1;; ++length) {
      std::vector<Hypothesis> next = continuations(logits, length);
      take_ended(next, length);
      if (length == scene_.sampling.max_new_tokens) break;
      std::erase_if(next, [&](const Hypothesis& h) { return h.ended; });
      next.resize(std::min(next.size(), static_cast<size_t>(options_.beams)));
      if (next.empty() || !may_improve(next.front(), length)) break;
      move_runs(next);
      going_on_ = std::move(next);
      TokensToRead tokens;
      for (size_t i = 0; i < going_on_.size(); ++i) tokens.add(going_on_[i].ids.back(), *read.run, *runs_[i]);
      logits = scene_.model.logits(tokens.hidden(scene_.model));
    }
    std::vector<Completion> out;
    for (const Hypothesis& h : best_) {
      Completion c;
      c.ids = h.ids, c.logp = h.logp;
      c.finish = h.ended ? FinishReason::kEnd : FinishReason::kLength;
      out.push_back(std::move(c));
    }
    return out;
  }

 private:
  // The best continuations of all beams by one token, descending, of which at least `beams` do not end.
  std::vector<Hypothesis> continuations(const at::Tensor& logits, int64_t length) const {
    const bool may_end = length > scene_.sampling.min_new_tokens;
    const std::vector<int64_t> none;
    const at::Tensor logp = text_search::open_logp(logits, may_end ? none : scene_.end_ids);
    const int64_t vocab = logp.size(1);
    at::Tensor sums = logp.clone();
    for (size_t i = 0; i < going_on_.size(); ++i) sums[static_cast<int64_t>(i)].add_(going_on_[i].sum);
    const auto ends = static_cast<int64_t>(scene_.end_ids.size());
    const int64_t count = std::min(options_.beams * std::max<int64_t>(2, 1 + ends), sums.numel());
    const auto [top, places] = at::topk(sums.flatten(), count);
    const float *sum = top.const_data_ptr<float>(), *each = logp.const_data_ptr<float>();
    const int64_t* place = places.const_data_ptr<int64_t>();
    std::vector<Hypothesis> out;
    for (int64_t i = 0; i < count && std::isfinite(sum[i]); ++i) {
      const auto parent = static_cast<size_t>(place[i] / vocab);
      const int64_t id = place[i] % vocab;
      Hypothesis h = going_on_[parent];
      h.ids.push_back(id);
      h.logp.push_back(each[place[i]]);
      h.sum = sum[i], h.parent = parent;
      h.ended = text_search::ends(scene_.end_ids, id);
      out.push_back(std::move(h));
    }
    return out;
  }

  double score(double sum, int64_t length) const {
    return sum / std::pow(static_cast<double>(length), options_.length_penalty);
  }

  // Those of the best `beams` that end here join the best that have ended.
  void take_ended(const std::vector<Hypothesis>& next, int64_t length) {
    const auto beams = static_cast<size_t>(options_.beams);
    for (size_t i = 0; i < std::min(beams, next.size()); ++i) {
      if (!next[i].ended && length < scene_.sampling.max_new_tokens) continue;
      best_.push_back(next[i]);
      best_.back().score = score(next[i].sum, length);
    }
    std::stable_sort(best_.begin(), best_.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    best_.resize(std::min(best_.size(), beams));
  }

  // Whether one that goes on may still come among the best.
  bool may_improve(const Hypothesis& front, int64_t length) const {
    if (static_cast<int64_t>(best_.size()) < options_.beams) return true;
    if (options_.early_stopping == "true") return false;
    const bool longest = options_.early_stopping == "never" && options_.length_penalty > 0;
    return score(front.sum, longest ? scene_.sampling.max_new_tokens : length) > best_.back().score;
  }

  // Each beam gets the keys and values of the one that it continues: the first of its children takes them
  // over, others a copy.
  void move_runs(const std::vector<Hypothesis>& next) {
    std::vector<std::unique_ptr<KvRun>> runs(next.size());
    std::vector<size_t> heir(going_on_.size(), next.size());
    for (size_t i = 0; i < next.size(); ++i) {
      runs[i] = std::make_unique<KvRun>(pool_);
      if (runs_.empty()) continue;  // the first tokens: the prompt is all that was read
      const size_t parent = next[i].parent;
      if (heir[parent] == next.size())
        heir[parent] = i;
      else
        runs[i]->copy_from(*runs_[parent], 0);
    }
    for (size_t parent = 0; parent < runs_.size(); ++parent)
      if (heir[parent] < next.size()) runs[heir[parent]] = std::move(runs_[parent]);
    runs_ = std::move(runs);
  }

  const SearchScene& scene_;
  const BeamOptions& options_;
  KvPool pool_;
  std::vector<Hypothesis> going_on_, best_;   // both the best first
  std::vector<std::unique_ptr<KvRun>> runs_;  // of those that go on
};

}  // namespace

void BeamOptions::fields(FieldVisitor& v) {
  v.field("beams", beams, {.help = "beginnings that are kept", .min = 1, .max = 1024});
  v.field("length_penalty", length_penalty,
          {.help = "scores are sums of log-probs over length to this power: above 0 favours long texts"});
  v.field(
      "early_stopping", early_stopping,
      {.help =
           "when as many as beams have ended, stop: true: at once; false: when the best other one is worse "
           "as it is; never: when none can become better",
       .choices = {"true", "false", "never"}});
}

std::vector<Completion> BeamOptions::find(const SearchScene& scene, const GenerateRequest& request) const {
  std::vector<int64_t> prompt = scene.model.virtual_ids();
  prompt.insert(prompt.end(), request.prompt.begin(), request.prompt.end());
  return BeamSearch(scene, *this).find(prompt);
}

}  // namespace temper
