// Is the run still healthy? Pure state: numbers in, verdicts and lines for people out.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json_fwd.h"
#include "run/metrics.h"

namespace temper {

// The config's "health" section.
struct HealthOptions : Fields {
  int64_t window = 64;    // steps that the running median and deviation look back on
  int64_t warmup = 16;    // steps before the bands apply
  double loss_band = 20;  // skip when |loss - median| exceeds this many robust deviations; 0: off
  double grad_band = 20;  // skip when the gradient norm exceeds the median by this many; 0: off
  int64_t max_bad_in_a_row = 8;
  double max_bad_share = 0.25;  // of the last `window` steps, once there are that many
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

// A line for people about a step's numbers.
struct Advice {
  std::string key;    // what it is about: said again after 50 steps at the earliest ...
  bool once = false;  // ... or never
  std::string text;
};

class Health {
 public:
  explicit Health(const HealthOptions& options);

  // Call before each optimizer step with its loss and its gradient norm before clipping. Nothing: go on. A
  // text: skip this step, and say so. Throws UserError when too many were bad; the last checkpoint is still
  // good then.
  std::optional<std::string> check(int64_t step, double loss, double grad_norm);

  // Lines for people about a finished step's numbers: a warning at its first step and then at most every 50
  // steps, an explanation once. of_task: what the task has to say of them.
  std::vector<std::string> advise(const MetricsRow& row, const std::vector<Advice>& of_task = {});

  int64_t skipped() const { return skipped_; }  // in the whole run

  // Part of the run state: a resumed run judges as the undisturbed one.
  Json state() const;
  void restore(const Json& state, const std::string& where);  // throws UserError

 private:
  HealthOptions options_;
  std::deque<double> losses_, grads_;  // the last finite ones, zeros (no signal) left out
  std::deque<bool> bad_;               // the last verdicts
  int64_t bad_in_a_row_ = 0, skipped_ = 0;
  std::map<std::string, int64_t> said_;  // advice -> step it was last given
};

}  // namespace temper
