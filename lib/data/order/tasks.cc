// The order "mastering_rate": tasks by their shares of the moment, any record within a task.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "data/order/kinds.h"
#include "data/order/mastering_rate.h"

namespace temper {
namespace {

struct MasteringRateOptions : OrderOptions {
  std::string column = "task", measure = "right";
  Json edges = Json::array();
  MasteringRateSettings s;
  void fields(FieldVisitor& v) override {
    v.field("column", column, {.help = "the column with a record's task"});
    v.field("edges", edges,
            {.help = "pairs of tasks of which the first is learnt before the second: [[\"add\", "
                     "\"multiply\"], ...]"});
    v.field("form", s.form,
            {.help = "learning_progress: tasks by how fast they change alone, without the graph",
             .choices = {"mastering_rate", "learning_progress"}});
    v.field("measure", measure,
            {.help = "sft: a task's performance in a step; right: the share of its examples each of whose "
                     "target tokens is the most likely one; probability: the mean over them of exp(mean log "
                     "p). rl: the mean reward",
             .choices = {"right", "probability"}});
    v.field("window", s.window, {.help = "a task's performances that count", .min = 2, .max = 10000});
    v.field("power", s.power, {.help = "how much what comes before must be mastered", .min = 0});
    v.field(
        "potential", s.potential,
        {.help = "weight of what is left to learn; the rest is that of the progress", .min = 0, .max = 1});
    v.field("to_predecessors", s.to_predecessors,
            {.help = "share of a task's attention that goes to those before it", .min = 0, .max = 1});
    v.field("to_successors", s.to_successors,
            {.help = "share of what is left of it that goes to those behind it", .min = 0, .max = 1});
    v.field("explore", s.explore, {.help = "share of the draws of all tasks alike", .min = 0, .max = 1});
    v.field("min", s.min, {.help = "performance of a task that is not mastered at all, at first"});
    v.field("max", s.max, {.help = "performance of a task that is mastered, at first"});
  }
  std::vector<Observes> needs() const override { return {Observes::kRewards, Observes::kExamples}; }
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

bool is_pair(const Json& edge) {
  return edge.is_array() && edge.size() == 2 && edge[0].is_string() && edge[1].is_string();
}

// The graph of edges between names, which are numbered as they come.
TaskGraph graph_of(const Json& edges, std::vector<std::string>& names) {
  TaskGraph graph;
  const auto number = [&](const std::string& name) {
    const int64_t at = std::find(names.begin(), names.end(), name) - names.begin();
    if (at == static_cast<int64_t>(names.size())) names.push_back(name);
    return at;
  };
  for (const Json& edge : edges) {
    const int64_t before = number(edge[0].get<std::string>()), after = number(edge[1].get<std::string>());
    const std::pair<int64_t, int64_t> one = {before, after};
    if (std::find(graph.edges.begin(), graph.edges.end(), one) == graph.edges.end())
      graph.edges.push_back(one);
  }
  graph.tasks = static_cast<int64_t>(names.size());
  return graph;
}

void MasteringRateOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (s.min >= s.max) problems.push_back(fmt::format("{}: min {} must be below max {}", where, s.min, s.max));
  if (!edges.is_array() || !std::all_of(edges.begin(), edges.end(), is_pair)) {
    problems.push_back(where + ".edges: expected pairs of tasks, as [[\"add\", \"multiply\"]]");
    return;
  }
  std::vector<std::string> names;
  const TaskGraph graph = graph_of(edges, names);
  const std::vector<int64_t> cycle = graph.cycle();
  if (cycle.empty()) return;
  std::string round;
  for (const int64_t task : cycle) round += names[task] + " -> ";
  problems.push_back(fmt::format("{}.edges: go in a circle: {}{}", where, round, names[cycle.front()]));
}

class MasteringRateOrder : public Order {
 public:
  MasteringRateOrder(const OrderData& data, const MasteringRateOptions& o, TaskGraph graph,
                     std::vector<std::string> names)
      : seed_(data.seed),
        examples_(data.observes == Observes::kExamples),
        by_right_(o.measure == "right"),
        names_(std::move(names)),
        records_(names_.size()),
        rates_(std::move(graph), o.s) {
    for (int64_t i = 0; i < data.count; ++i) {
      const std::string name = name_column(data.record(i), o.column, "data.order");
      const auto task = std::find(names_.begin(), names_.end(), name) - names_.begin();
      records_[task].push_back(static_cast<int64_t>(task_of_.size()));
      task_of_.push_back(task);
    }
  }

  int64_t at(int64_t, int64_t position) const override {
    RandomStream random(seed_, "mastering rate", position);
    return pick(random, records_[pick_weighted(random, rates_.shares())]);
  }

  void observe(int64_t, int64_t, const std::vector<Observation>& seen) override {
    std::vector<double> sums(names_.size(), 0), counts(names_.size(), 0);
    for (const Observation& one : seen) {
      const int64_t task = task_of_[one.record];
      const auto add = [&](double performance) {
        if (std::isnan(performance)) return;
        sums[task] += performance;
        counts[task] += 1;
      };
      if (!examples_)
        for (const double reward : one.rewards) add(reward);
      else
        add(by_right_ ? (one.right ? 1.0 : 0.0) : std::exp(-one.loss));
    }
    std::vector<std::pair<int64_t, double>> performances;
    for (size_t task = 0; task < names_.size(); ++task)
      if (counts[task] > 0) performances.emplace_back(task, sums[task] / counts[task]);
    rates_.observe(performances);
  }

  Json state() const override { return {{"names", names_}, {"rates", rates_.state()}}; }
  void restore(const Json& state) override {
    if (state.at("names").get<std::vector<std::string>>() != names_)
      user_error("the state is of other tasks than the data have");
    rates_.restore(state.at("rates"));
  }
  std::vector<std::pair<std::string, double>> metrics() const override {
    std::vector<std::pair<std::string, double>> out;
    const std::vector<double> mastered = rates_.mastering_rates();
    for (size_t i = 0; i < names_.size(); ++i) {
      out.emplace_back("order/share/" + names_[i], rates_.shares()[i]);
      out.emplace_back("order/mastered/" + names_[i], mastered[i]);
    }
    return out;
  }

 private:
  uint64_t seed_;
  bool examples_, by_right_;
  std::vector<std::string> names_;
  std::vector<std::vector<int64_t>> records_;  // of each task
  std::vector<int64_t> task_of_;               // of each record
  MasteringRate rates_;
};

std::unique_ptr<Order> MasteringRateOptions::make(const OrderData& data) const {
  std::vector<std::string> names, found;
  TaskGraph graph = graph_of(edges, names);
  const auto listed = [](const std::vector<std::string>& all, const std::string& name) {
    return std::find(all.begin(), all.end(), name) != all.end();
  };
  for (int64_t i = 0; i < data.count; ++i) {
    const std::string name = name_column(data.record(i), column, "data.order");
    if (!listed(found, name)) found.push_back(name);
    if (!listed(names, name)) names.push_back(name);
  }
  for (const std::string& name : names) {
    if (listed(found, name)) continue;
    std::string known;
    for (const std::string& other : found) known += (known.empty() ? "" : ", ") + other;
    user_error("data.order.edges: task \"{}\" has no record; column \"{}\" has {}", name, column, known);
  }
  graph.tasks = static_cast<int64_t>(names.size());
  return std::make_unique<MasteringRateOrder>(data, *this, std::move(graph), std::move(names));
}

}  // namespace

std::unique_ptr<OrderOptions> mastering_rate_order() {
  return std::make_unique<MasteringRateOptions>();
}

}  // namespace temper
