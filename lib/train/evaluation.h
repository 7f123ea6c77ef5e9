// Evaluation during a run: the task's figures on held-out records and, where rewards are configured, scored
// completions.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "run/metrics.h"

namespace temper {

class Session;

struct Evaluation {
  MetricsRow row;  // split "eval"
  std::vector<SampleRow> samples;
  // What "best" means: the mean reward, else minus the loss, else minus the mean of eval.losses; none of
  // nothing.
  std::optional<double> score;
  std::string line;  // for people
};

// Says once, and counts in the row as `name`, how many of the held-out `what` (records, pairs ...) are longer
// than data.max_tokens and left out. 0: nothing.
void leave_out(Session& session, Evaluation& out, const std::string& name, int64_t left_out, int64_t all,
               const std::string& what);
// The line of an evaluation that has nothing to measure `figure` on.
std::string nothing_left(const std::string& when, const std::string& figure);

// What a task measures on the held-out records, from the session's model as it is. `when` begins the line for
// people.
using HeldOut = std::function<void(const std::string& when, Evaluation& out)>;

Evaluation evaluate_run(Session& session, const HeldOut& held_out);

}  // namespace temper
