#include "data/order/mastering_rate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace temper {

std::vector<int64_t> TaskGraph::predecessors(int64_t node) const {
  std::vector<int64_t> out;
  for (const auto& [before, after] : edges)
    if (after == node) out.push_back(before);
  return out;
}

std::vector<int64_t> TaskGraph::successors(int64_t node) const {
  std::vector<int64_t> out;
  for (const auto& [before, after] : edges)
    if (before == node) out.push_back(after);
  return out;
}

std::vector<int64_t> TaskGraph::ancestors(int64_t node) const {
  std::vector<bool> seen(tasks, false);
  std::vector<int64_t> open = {node}, out;
  while (!open.empty()) {
    const int64_t last = open.back();
    open.pop_back();
    for (const int64_t before : predecessors(last)) {
      if (seen[before]) continue;
      seen[before] = true;
      out.push_back(before);
      open.push_back(before);
    }
  }
  return out;
}

std::optional<std::vector<int64_t>> TaskGraph::topological() const {
  std::vector<int64_t> waits(tasks, 0), out;
  for (const auto& edge : edges) ++waits[edge.second];
  for (int64_t node = 0; node < tasks; ++node)
    if (waits[node] == 0) out.push_back(node);
  for (size_t i = 0; i < out.size(); ++i)
    for (const int64_t after : successors(out[i]))
      if (--waits[after] == 0) out.push_back(after);
  if (static_cast<int64_t>(out.size()) < tasks) return std::nullopt;
  return out;
}

std::vector<int64_t> TaskGraph::cycle() const {
  // Of a graph in which every task that is left has a predecessor that is left, going back comes round.
  std::vector<bool> left(tasks, true);
  for (bool changed = true; changed;) {
    changed = false;
    for (int64_t task = 0; task < tasks; ++task) {
      const auto before = predecessors(task);
      if (!left[task] || std::any_of(before.begin(), before.end(), [&](int64_t b) { return left[b]; }))
        continue;
      left[task] = false;
      changed = true;
    }
  }
  const auto first = std::find(left.begin(), left.end(), true);
  if (first == left.end()) return {};
  std::vector<int64_t> path = {first - left.begin()};
  for (;;) {
    const auto before = predecessors(path.back());
    const int64_t next = *std::find_if(before.begin(), before.end(), [&](int64_t b) { return left[b]; });
    const auto met = std::find(path.begin(), path.end(), next);
    if (met != path.end()) {
      std::vector<int64_t> out(met, path.end());
      std::reverse(out.begin(), out.end());
      return out;
    }
    path.push_back(next);
  }
}

namespace {

// The slope of the line of least squares; at least two points with different steps. From the first point on,
// so that it is exactly 0 of equal values: shares of a largest slope that is rounding would be noise.
double slope(const std::vector<std::pair<int64_t, double>>& points) {
  const auto from_first = [&](const std::pair<int64_t, double>& point) {
    return std::pair(static_cast<double>(point.first - points.front().first),
                     point.second - points.front().second);
  };
  const auto n = static_cast<double>(points.size());
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
  for (const auto& point : points) {
    const auto [x, y] = from_first(point);
    mean_x += x / n;
    mean_y += y / n;
  }
  for (const auto& point : points) {
    const auto [x, y] = from_first(point);
    xy += (x - mean_x) * (y - mean_y);
    xx += (x - mean_x) * (x - mean_x);
  }
  return xy / xx;
}

}  // namespace

MasteringRate::MasteringRate(TaskGraph graph, MasteringRateSettings settings)
    : graph_(std::move(graph)), settings_(std::move(settings)) {
  const auto order = graph_.topological();
  if (!order) bug("a graph of tasks with a cycle");
  topological_ = *order;
  tasks_.assign(graph_.tasks, {{}, settings_.min, settings_.max, settings_.min, 0});
  compute();
}

void MasteringRate::observe(const std::vector<std::pair<int64_t, double>>& performances) {
  ++step_;
  const auto window = static_cast<size_t>(settings_.window);
  for (const auto& [index, performance] : performances) {
    auto& last = tasks_.at(index).last;
    last.emplace_back(step_, performance);
    if (last.size() > window) last.erase(last.begin());
  }
  for (Task& task : tasks_) {
    if (task.last.empty()) continue;
    double mean = 0;
    for (const auto& [step, value] : task.last) mean += value;
    mean /= static_cast<double>(task.last.size());
    if (task.last.size() == window) {
      task.min = std::min(task.min, mean);
      task.max = std::max(task.max, mean);
    }
    task.performance = std::clamp(mean, task.min, task.max);
    if (task.last.size() >= 2) task.progress = slope(task.last);
  }
  compute();
}

std::vector<double> MasteringRate::mastering_rates() const {
  std::vector<double> out;
  for (const Task& task : tasks_) out.push_back(rate(task));
  return out;
}

std::vector<double> MasteringRate::pre_attention() const {
  const std::vector<double> rates = mastering_rates();
  const auto lowest = [&](const std::vector<int64_t>& of, double none) {
    double out = of.empty() ? none : rates[of.front()];
    for (const int64_t task : of) out = std::min(out, rates[task]);
    return out;
  };
  double fastest = 0;
  for (const Task& task : tasks_) fastest = std::max(fastest, std::abs(task.progress));
  std::vector<double> out;
  for (int64_t c = 0; c < graph_.tasks; ++c) {
    const double progress = fastest > 0 ? std::abs(tasks_[c].progress) / fastest : 0;
    const double state = (1 - settings_.potential) * progress + settings_.potential * (1 - rates[c]);
    out.push_back(std::pow(lowest(graph_.ancestors(c), 1), settings_.power) * state *
                  (1 - lowest(graph_.successors(c), 0)));
  }
  return out;
}

void MasteringRate::pass_on(std::vector<double>& attention) const {
  const auto pass = [&](int64_t from, double share, const std::vector<int64_t>& to) {
    const double given = attention[from] * share;
    attention[from] -= given;
    for (const int64_t task : to) attention[task] += given / static_cast<double>(to.size());
  };
  for (auto node = topological_.rbegin(); node != topological_.rend(); ++node) {
    pass(*node, settings_.to_predecessors, graph_.predecessors(*node));
    pass(*node, settings_.to_successors, graph_.successors(*node));
  }
}

void MasteringRate::compute() {
  if (settings_.form == "learning_progress") {
    attention_.clear();
    for (const Task& task : tasks_) attention_.push_back(std::abs(task.progress));
  } else {
    attention_ = pre_attention();
    pass_on(attention_);
  }
  double sum = 0;
  shares_.clear();
  for (const double attention : attention_) {
    shares_.push_back(attention + 1e-8);
    sum += shares_.back();
  }
  for (double& share : shares_)
    share = (1 - settings_.explore) * share / sum + settings_.explore / static_cast<double>(graph_.tasks);
}

Json MasteringRate::state() const {
  Json tasks = Json::array();
  for (const Task& task : tasks_)
    tasks.push_back({{"last", task.last},
                     {"min", task.min},
                     {"max", task.max},
                     {"progress", task.progress},
                     {"performance", task.performance}});
  return {{"step", step_}, {"tasks", std::move(tasks)}};
}

void MasteringRate::restore(const Json& state) {
  if (state.at("tasks").size() != tasks_.size())
    user_error("the state is of {} tasks, the data have {}", state["tasks"].size(), tasks_.size());
  step_ = state.at("step").get<int64_t>();
  for (size_t i = 0; i < tasks_.size(); ++i) {
    const Json& from = state["tasks"][i];
    tasks_[i] = {from.at("last").get<std::vector<std::pair<int64_t, double>>>(), from.at("min").get<double>(),
                 from.at("max").get<double>(), from.at("performance").get<double>(),
                 from.at("progress").get<double>()};
  }
  compute();
}

}  // namespace temper
