#include "train/run_order.h"

#include "base/error.h"
#include "train/session.h"

namespace temper {

std::unique_ptr<Order> make_order(const Session& s, int64_t count,
                                  const std::function<Record(int64_t)>& record, int64_t per_step) {
  const RunConfig& c = s.config;
  return c.data.order->make({.seed = static_cast<uint64_t>(c.seed),
                             .steps = c.train.steps,
                             .per_step = per_step,
                             .count = count,
                             .record = record,
                             .files = c.data.train,
                             .observes = c.task->observes()});
}

RunOrder::RunOrder(Session& s, std::vector<int64_t> records, int64_t per_step)
    : s_(s),
      records_(std::move(records)),
      observes_(!s.config.data.order->needs().empty()),
      order_(make_order(
          s, static_cast<int64_t>(records_.size()),
          [this](int64_t i) { return s_.train_records[static_cast<size_t>(records_[i])]; }, per_step)) {
  if (s.state.order.empty()) return;
  try {
    order_->restore(s.state.order);
  } catch (const std::exception& e) {
    user_error("{}: what its state says of data.order cannot be taken up: {}", s.config.run, e.what());
  }
}

int64_t RunOrder::at(int64_t position) const {
  return order_->at(s_.state.step, position);
}

std::vector<int64_t> RunOrder::wants_base() const {
  return s_.state.order.empty() ? order_->wants_base() : std::vector<int64_t>();
}

void RunOrder::observe_base(const std::vector<Observation>& seen) {
  order_->observe_base(seen);
  s_.state.order = order_->state();
}

void RunOrder::observe(const std::vector<Observation>& seen) {
  if (!observes_) return;
  order_->observe(s_.state.step, s_.state.cursor, seen);
  s_.state.order = order_->state();
  const bool losses = s_.config.task->observes() == Observes::kExamples;
  for (const Observation& one : seen)
    s_.state.history[one.record].add(s_.train_records[static_cast<size_t>(records_[one.record])].where(),
                                     losses ? std::vector<double>{one.loss} : one.rewards);
}

}  // namespace temper
