// Which task of a graph of tasks is worth learning now: Mastering Rate based Curriculum Learning (Willems,
// Lahlou and Bengio), as its code computes it (lcswillems/automatic-curriculum), in float64.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace temper {

// Tasks 0 .. tasks - 1; an edge (a, b): a is learnt before b.
struct TaskGraph {
  int64_t tasks = 0;
  std::vector<std::pair<int64_t, int64_t>> edges;
  std::vector<int64_t> predecessors(int64_t task) const;  // by edges, in their order
  std::vector<int64_t> successors(int64_t task) const;
  std::vector<int64_t> ancestors(int64_t task) const;  // all from which a path leads here
  // Every task behind its predecessors; nullopt: there is a cycle.
  std::optional<std::vector<int64_t>> topological() const;
  // The tasks of some cycle in their order; empty: there is none.
  std::vector<int64_t> cycle() const;
};

// With perf_c the mean of task c's last K performances, kept within [min_c, max_c], which widen to means of
// K:
//   mr_c  = (perf_c - min_c) / (max_c - min_c)         the mastering rate
//   lp_c  = slope of the last K performances over the steps they were observed at; of fewer than 2: 0
//   nlp_c = |lp_c| / max |lp|                          all 0 where that is 0
//   pre_c = (min over ancestors of mr)^p * ((1 - gamma) nlp_c + gamma (1 - mr_c)) * (1 - min over successors
//           of mr)
// Then, from the last task of the graph to the first, each passes the share to_predecessors of its attention
// on to them, and of what is left the share to_successors to those, in equal parts; a task that has none
// loses it all the same. The tasks' shares of the draws are
//   (1 - explore) (attention + 1e-8) / sum + explore / tasks.
// form "learning_progress", the baseline (Matiisen et al.): the attention is |lp_c|.
struct MasteringRateSettings {
  std::string form = "mastering_rate";
  int64_t window = 10;           // K
  double power = 6;              // p
  double potential = 0.5;        // gamma
  double to_predecessors = 0.2;  // delta_pred
  double to_successors = 0.05;   // delta_succ
  double explore = 0;            // epsilon
  double min = 0, max = 1;       // of every task at first
};

class MasteringRate {
 public:
  MasteringRate(TaskGraph graph, MasteringRateSettings settings);  // a graph without a cycle

  // One observation of some tasks' performances at the next step of the curriculum's own count.
  void observe(const std::vector<std::pair<int64_t, double>>& performances);

  const std::vector<double>& attention() const { return attention_; }
  const std::vector<double>& shares() const { return shares_; }  // they add up to 1
  std::vector<double> mastering_rates() const;

  Json state() const;
  void restore(const Json& state);  // throws Json::exception, UserError for another number of tasks

 private:
  struct Task {
    std::vector<std::pair<int64_t, double>> last;  // K at most: step, performance
    double min = 0, max = 1, performance = 0, progress = 0;
  };
  double rate(const Task& task) const { return (task.performance - task.min) / (task.max - task.min); }
  std::vector<double> pre_attention() const;
  void pass_on(std::vector<double>& attention) const;
  void compute();

  TaskGraph graph_;
  MasteringRateSettings settings_;
  std::vector<int64_t> topological_;
  int64_t step_ = 0;
  std::vector<Task> tasks_;
  std::vector<double> attention_, shares_;
};

}  // namespace temper
