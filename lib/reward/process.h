// The external process hook: a program of the user's that scores completions, one JSON object a line each
// way.
//
//   in   {"id": 7, "prompt": "...", "completion": "...", "raw_completion": "...", "tokens": 12, "truncated":
//   false,
//         ...the record's columns}     a column of one of these six names is called record_<name>
//   out  {"id": 7, "score": 0.5}       null: cannot tell; answers may come in any order
//        {"id": 7, "score": 0.5, "text": "..."}     with what there is to read about it
//
// The program is started once and all items of a batch are written to it as fast as it reads; a batch is what
// there is to score at the time, such as the completions that have ended while others are still sampled. So
// an answer must depend on its line alone, and be written out at once (flush). When no answer comes for
// `timeout_s`, or the program ends, it is started again, and the item that had waited longest is tried once
// more, before the others; failing again it is null. So a program that falls silent gives nulls at once,
// however large the batch, until fail_share stops the run; one that never gave an answer stops it after five
// time-outs.
#pragma once

#include "reward/reward.h"

namespace temper {

struct ProcessOptions : RewardOptions {
  std::vector<std::string> command;
  double timeout_s = 10.0, start_timeout_s = 0.0;
  double fail_share = 0.5;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;  // starts the program; UserError when it cannot be
};

}  // namespace temper
