// Which records the steps of a run draw: the choice "order" of the section "data". An order may react to what
// earlier steps observed of their records. All its random draws are named by the run's seed and the position
// of the draw, so that the next draw is a pure function of those and of what was observed before it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "data/records.h"

namespace temper {

// What the steps of a task observe of the records that they draw.
enum class Observes {
  kNothing,
  kRewards,   // of each record's group of sampled completions
  kExamples,  // the loss of each example, and whether it is predicted, before the step's update
};

// Of one record, each time that a step drew it.
struct Observation {
  int64_t record = 0;           // as Order::at() gives it
  std::vector<double> rewards;  // kRewards: of the policy's own completions, without a hint; NaN: null
  double loss = 0;              // kExamples: mean -log p of the targets, in nats
  bool right = false;           // ... and whether each target token is the most likely one
};

// What an order is made over.
struct OrderData {
  uint64_t seed = 1;
  int64_t steps = 1;     // of the run
  int64_t per_step = 1;  // draws of a step; where groups are filtered it may be more
  int64_t count = 0;     // records; at least one
  // One of them, its columns and its file; null: of a task that draws something else, such as pairs.
  std::function<Record(int64_t)> record = nullptr;
  std::vector<std::string> files = {};  // of data.train, in its order
  Observes observes = Observes::kNothing;
};

class Order {
 public:
  virtual ~Order() = default;
  // The record of draw `position` of the run, which step `step` makes; both from 0.
  virtual int64_t at(int64_t step, int64_t position) const = 0;

  // Takes in what step `step` observed; `next` is the position of the first draw of the step behind it.
  // Throws UserError when nothing is left to draw.
  virtual void observe(int64_t step, int64_t next, const std::vector<Observation>& seen) {}
  // Records that the model is to be observed on before the first draw (kExamples), and what was observed.
  virtual std::vector<int64_t> wants_base() const { return {}; }
  virtual void observe_base(const std::vector<Observation>& seen) {}
  // All that was taken in, and back again. Throws UserError or Json::exception for what is no such state.
  virtual Json state() const { return Json::object(); }
  virtual void restore(const Json& state) {}

  // Numbers for the row of a step, after it was taken in.
  virtual std::vector<std::pair<std::string, double>> metrics() const { return {}; }
};

// A kind of order in a config.
struct OrderOptions : Fields {
  // What it must observe, one of these; none: it does not react.
  virtual std::vector<Observes> needs() const { return {}; }
  // Whether it reads columns or files of the records that are drawn.
  virtual bool reads_records() const { return true; }
  // Throws UserError: a column that is missing, a window without records ...
  virtual std::unique_ptr<Order> make(const OrderData& data) const = 0;
};
const Registry<OrderOptions>& order_registry();

}  // namespace temper
