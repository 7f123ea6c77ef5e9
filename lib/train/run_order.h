// The order of data of a run: what it draws, and what the run's state keeps of what its steps observed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "data/order/order.h"
#include "run/metrics.h"

namespace temper {

class Session;

// data.order over so many records, or what a task makes of them, of which a step draws per_step. record: one
// of them; null where a task draws no records. Throws UserError.
std::unique_ptr<Order> make_order(const Session& session, int64_t count,
                                  const std::function<Record(int64_t)>& record, int64_t per_step);

// An order with what it took in until now, by the run's state.
class RunOrder {
 public:
  // records: which of the session's train_records it is over.
  RunOrder(Session& session, std::vector<int64_t> records, int64_t per_step);

  // The record of a draw that the session's step makes.
  int64_t at(int64_t position) const;

  // Whether steps are observed; else nothing below changes anything.
  bool observes() const { return observes_; }
  // Records on which the model is to be observed before the first draw. Empty: none, or it was done.
  std::vector<int64_t> wants_base() const;
  void observe_base(const std::vector<Observation>& seen);
  // What the session's step observed, once its batch is settled and the cursor has moved on. All ranks give
  // the same.
  void observe(const std::vector<Observation>& seen);
  NamedValues metrics() const { return order_->metrics(); }

 private:
  Session& s_;
  std::vector<int64_t> records_;
  bool observes_;
  std::unique_ptr<Order> order_;
};

}  // namespace temper
