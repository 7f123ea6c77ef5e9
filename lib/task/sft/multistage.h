// Multistage data filtering (Ouyang et al., arXiv 2207.14386; xo28/efficient-NLP-multistage-training): a
// supervised run that leaves out forward and backward passes of examples which it would learn little from.
//   Stage 0 trains on all examples. Its end fixes the threshold tau, the mean of the last `window` losses.
//   Stage 1 computes the loss of every drawn example, queues those of at least tau, and trains on full
//   batches from the queue; a naive Bayes classifier of the examples' tokens learns to predict loss > tau.
//   Stage 2 begins once the classifier predicts well enough: what it expects to be below tau is not even
//   computed, the rest is as in stage 1, and the classifier learns on.
// A step is one update, so in stages 1 and 2 it draws as many batches as fill one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "run/metrics.h"
#include "task/sft/inputs.h"
#include "task/sft/token_bayes.h"

namespace temper {

struct MultistageOptions : Fields {
  double warmup = 0.1;  // share of the run's steps
  int64_t window = 128;
  int64_t predictor_window = 64;
  double predictor_loss = 0.5;
  double smoothing = 1.0;
  int64_t most_draws = 16;  // batches that a step draws
  void fields(FieldVisitor& v) override;
};
const Registry<MultistageOptions>& filter_registry();

class MultistageFilter {
 public:
  // Which examples come next, a batch of them; their losses under the model as it is.
  using Draw = std::function<std::vector<int64_t>()>;
  using Losses = std::function<std::vector<double>(const std::vector<int64_t>&)>;

  // examples: what indices speak of; they must outlive the filter. vocab: ids are below it.
  MultistageFilter(const MultistageOptions& options, const std::vector<Drawn>& examples, int64_t steps,
                   int64_t batch_size, int64_t vocab);

  // The examples that a step (from 0) learns from, batch_size of them. When most_draws batches did not fill
  // one, the newest of the examples that were passed over in this step join it.
  std::vector<int64_t> batch(int64_t step, const Draw& draw, const Losses& losses);

  // Stage 0: whether the losses of a step's own update are wanted, and takes them. They are of the examples
  // as the inputs changed them; later stages look at them as they are stored.
  bool observes() const { return stage_ == 0; }
  void observe(const std::vector<double>& losses);

  // filter/stage, filter/threshold (from stage 1 on), filter/forward_skipped and filter/backward_skipped (of
  // all examples drawn so far, the share whose forward or backward pass was left out), filter/drawn (examples
  // of the step), filter/filled (share of the step's batch that had been passed over), filter/predictor_loss
  // (mean -log P of what the classifier should have said, over the last `predictor_window` examples that it
  // was asked about before it learnt them).
  void add_metrics(MetricsRow& row) const;

  int64_t stage() const { return stage_; }
  Json state() const;
  // Throws UserError, naming `where`, for a state that is not this run's.
  void load(const Json& state, const std::string& where);

 private:
  struct PassedOver {
    int64_t example = 0;
    bool unseen = false;  // without a forward pass
  };
  void look_at(const std::vector<int64_t>& drawn, const Losses& losses, std::vector<PassedOver>& passed);
  double predictor_loss() const;

  MultistageOptions options_;
  const std::vector<Drawn>& examples_;
  int64_t warmup_steps_, batch_size_;
  TokenBayes predictor_;
  int64_t stage_ = 0;
  double threshold_ = 0;
  std::deque<double> losses_;      // stage 0's last `window`
  std::deque<double> log_losses_;  // the classifier's last `predictor_window`
  std::deque<int64_t> queue_;
  int64_t drawn_ = 0, forward_skipped_ = 0, backward_skipped_ = 0;
  int64_t drawn_in_step_ = 0, filled_in_step_ = 0;
};

}  // namespace temper
