#include "task/sft/multistage.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace temper {
namespace {

// -log P of an outcome that was held to be impossible: that of scikit-learn's log_loss.
const double kMostLogLoss = -std::log(1e-15);

template <class T>
double mean_of(const std::deque<T>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void push(std::deque<double>& window, double value, int64_t most) {
  window.push_back(value);
  if (static_cast<int64_t>(window.size()) > most) window.pop_front();
}

}  // namespace

void MultistageOptions::fields(FieldVisitor& v) {
  v.field("warmup", warmup,
          {.help = "share of the run's steps that learn from all examples; they set the threshold",
           .min = 0,
           .max = 1});
  v.field("window", window,
          {.help = "the threshold is the mean loss of the last so many examples of those steps",
           .unit = "examples",
           .min = 1});
  v.field("predictor_window", predictor_window,
          {.help = "forward passes are left out once the predictor's log-loss over so many examples is low",
           .unit = "examples",
           .min = 1});
  v.field("predictor_loss", predictor_loss,
          {.help = "how low; 0.69 is a coin's, 0 never begins", .unit = "nats", .min = 0});
  v.field("smoothing", smoothing, {.help = "of the predictor's counts", .min = 1e-9});
  v.field("most_draws", most_draws,
          {.help = "batches that a step draws at most; what is missing then comes from those passed over",
           .min = 1});
}

const Registry<MultistageOptions>& filter_registry() {
  static const Registry<MultistageOptions> registry = [] {
    Registry<MultistageOptions> r("filter");
    r.add({"multistage",
           "no backward pass for examples of low loss, then no forward pass for those that a classifier "
           "expects to be such",
           "Ouyang et al., arXiv 2207.14386", std::make_unique<MultistageOptions>});
    return r;
  }();
  return registry;
}

MultistageFilter::MultistageFilter(const MultistageOptions& options, const std::vector<Drawn>& examples,
                                   int64_t steps, int64_t batch_size, int64_t vocab)
    : options_(options),
      examples_(examples),
      warmup_steps_(
          std::max<int64_t>(1, static_cast<int64_t>(std::ceil(options.warmup * static_cast<double>(steps))))),
      batch_size_(batch_size),
      predictor_(vocab, options.smoothing) {}

std::vector<int64_t> MultistageFilter::batch(int64_t step, const Draw& draw, const Losses& losses) {
  drawn_in_step_ = filled_in_step_ = 0;
  const auto next = [&] {
    std::vector<int64_t> out = draw();
    drawn_ += static_cast<int64_t>(out.size());
    drawn_in_step_ += static_cast<int64_t>(out.size());
    return out;
  };
  if (stage_ == 0 && step >= warmup_steps_ && !losses_.empty()) {
    stage_ = 1;
    threshold_ = mean_of(losses_);
  }
  if (stage_ == 0) return next();

  std::vector<PassedOver> passed;
  for (int64_t draws = 0; draws < options_.most_draws; ++draws) {
    if (static_cast<int64_t>(queue_.size()) >= batch_size_) break;
    look_at(next(), losses, passed);
  }
  while (static_cast<int64_t>(queue_.size()) < batch_size_) {
    queue_.push_back(passed.back().example);
    --backward_skipped_;
    forward_skipped_ -= passed.back().unseen;
    passed.pop_back();
    ++filled_in_step_;
  }
  const std::vector<int64_t> out(queue_.begin(), queue_.begin() + batch_size_);
  queue_.erase(queue_.begin(), queue_.begin() + batch_size_);
  return out;
}

// What is drawn goes into the queue or is passed over.
void MultistageFilter::look_at(const std::vector<int64_t>& drawn, const Losses& losses,
                               std::vector<PassedOver>& passed) {
  const auto text = [&](int64_t i) -> const std::vector<int64_t>& {
    return examples_[static_cast<size_t>(i)].example.ids;
  };
  const auto pass_over = [&](int64_t i, bool unseen) {
    passed.push_back({i, unseen});
    ++backward_skipped_;
    forward_skipped_ += unseen;
  };
  std::vector<int64_t> forwarded;
  for (const int64_t i : drawn) {
    if (stage_ == 2 && predictor_.log_probability(text(i), true) < std::log(0.5)) {
      pass_over(i, true);
    } else {
      forwarded.push_back(i);
    }
  }
  if (forwarded.empty()) return;
  const std::vector<double> loss = losses(forwarded);
  // The predictor is asked about the whole batch before it learns any of it.
  for (size_t k = 0; k < forwarded.size(); ++k) {
    if (!std::isfinite(loss[k])) continue;
    const double log_loss = -predictor_.log_probability(text(forwarded[k]), loss[k] > threshold_);
    push(log_losses_, std::min(log_loss, kMostLogLoss), options_.predictor_window);
  }
  for (size_t k = 0; k < forwarded.size(); ++k) {
    if (std::isfinite(loss[k])) predictor_.learn(text(forwarded[k]), loss[k] > threshold_);
    if (loss[k] >= threshold_)
      queue_.push_back(forwarded[k]);
    else
      pass_over(forwarded[k], false);
  }
  if (stage_ == 1 && static_cast<int64_t>(log_losses_.size()) == options_.predictor_window &&
      predictor_loss() <= options_.predictor_loss)
    stage_ = 2;
}

double MultistageFilter::predictor_loss() const {
  return mean_of(log_losses_);
}

void MultistageFilter::observe(const std::vector<double>& losses) {
  for (const double loss : losses)
    if (std::isfinite(loss)) push(losses_, loss, options_.window);
}

void MultistageFilter::add_metrics(MetricsRow& row) const {
  const auto share = [&](int64_t count) { return static_cast<double>(count) / static_cast<double>(drawn_); };
  row.values.emplace_back("filter/stage", static_cast<double>(stage_));
  if (stage_ > 0) row.values.emplace_back("filter/threshold", threshold_);
  row.values.emplace_back("filter/drawn", static_cast<double>(drawn_in_step_));
  row.values.emplace_back("filter/filled",
                          static_cast<double>(filled_in_step_) / static_cast<double>(batch_size_));
  row.values.emplace_back("filter/forward_skipped", share(forward_skipped_));
  row.values.emplace_back("filter/backward_skipped", share(backward_skipped_));
  if (!log_losses_.empty()) row.values.emplace_back("filter/predictor_loss", predictor_loss());
}

Json MultistageFilter::state() const {
  return {{"stage", stage_},
          {"threshold", threshold_},
          {"losses", losses_},
          {"log_losses", log_losses_},
          {"queue", queue_},
          {"drawn", drawn_},
          {"forward_skipped", forward_skipped_},
          {"backward_skipped", backward_skipped_},
          {"predictor", predictor_.state()}};
}

void MultistageFilter::load(const Json& state, const std::string& where) {
  try {
    stage_ = state.at("stage").get<int64_t>();
    threshold_ = state.at("threshold").get<double>();
    losses_ = state.at("losses").get<std::deque<double>>();
    log_losses_ = state.at("log_losses").get<std::deque<double>>();
    queue_ = state.at("queue").get<std::deque<int64_t>>();
    drawn_ = state.at("drawn").get<int64_t>();
    forward_skipped_ = state.at("forward_skipped").get<int64_t>();
    backward_skipped_ = state.at("backward_skipped").get<int64_t>();
    predictor_.load(state.at("predictor"), where);
  } catch (const Json::exception& e) {
    user_error("{}: the filter's state: {}", where, e.what());
  }
  for (const int64_t i : queue_)
    if (i < 0 || i >= static_cast<int64_t>(examples_.size()))
      user_error("{}: the filter's queue: example {} of {}", where, i, examples_.size());
}

}  // namespace temper
