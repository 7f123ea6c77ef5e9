// Orders by a column that says how difficult a record is.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "data/order/kinds.h"

namespace temper {
namespace {

std::vector<double> difficulties(const OrderData& data, const std::string& column) {
  std::vector<double> out;
  for (int64_t i = 0; i < data.count; ++i) out.push_back(number_column(data.record(i), column, "data.order"));
  return out;
}

// Easy records first, those of equal difficulty as they stand.
//   sorted       epochs from the easiest to the hardest
//   interleaved  each epoch goes through the difficulties `rounds` times: round j has every rounds-th record,
//                from the j-th easiest on
//   window       each draw is any of the easiest g(x) n records, x the share of the paced steps that has
//                passed:
//                  linear  g = start + (1 - start) x
//                  root    g = sqrt(start^2 + (1 - start^2) x)
//                  step    g = start + (1 - start) floor(stages x) / stages
// The paced steps are the first `until` of the run; from then on all records are shuffled.
struct PacingOptions : OrderOptions {
  std::string column = "difficulty", form = "window", pace = "linear";
  bool largest_first = false;
  double start = 0.2, until = 0.5;
  int64_t stages = 4, rounds = 4;
  void fields(FieldVisitor& v) override {
    v.field("column", column, {.help = "the column of the difficulty, a number"});
    v.field("largest_first", largest_first,
            {.help = "large numbers are easy, as of a readability, and come first"});
    v.field("form", form,
            {.help = "sorted: from easy to hard in each epoch; interleaved: several times in each; window: "
                     "any of the easiest, of which there are more and more",
             .choices = {"sorted", "interleaved", "window"}});
    if (form == "interleaved")
      v.field("rounds", rounds, {.help = "times that an epoch goes from easy to hard", .min = 1});
    if (form == "window") {
      v.field("pace", pace, {.help = "how the window grows", .choices = {"linear", "root", "step"}});
      v.field("start", start, {.help = "share of the records in the first window", .min = 0, .max = 1});
      if (pace == "step")
        v.field("stages", stages, {.help = "equal parts of the paced steps with a window each", .min = 1});
    }
    v.field("until", until,
            {.help = "share of the run's steps that are paced; then all records are shuffled. 1: to the end",
             .min = 0,
             .max = 1});
  }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class Pacing : public Order {
 public:
  Pacing(const OrderData& data, const PacingOptions& o)
      : o_(o),
        seed_(data.seed),
        paced_steps_(o.until * static_cast<double>(data.steps)),
        all_(data.count, data.seed, "shuffle") {
    std::vector<double> difficulty = difficulties(data, o.column);
    if (o.largest_first)
      for (double& d : difficulty) d = -d;
    std::vector<int64_t> sorted(difficulty.size());
    std::iota(sorted.begin(), sorted.end(), 0);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](int64_t a, int64_t b) { return difficulty[a] < difficulty[b]; });
    const auto rounds = static_cast<size_t>(o.form == "interleaved" ? o.rounds : 1);
    for (size_t round = 0; round < rounds; ++round)
      for (size_t i = round; i < sorted.size(); i += rounds) easy_first_.push_back(sorted[i]);
  }

  int64_t at(int64_t step, int64_t position) const override {
    if (static_cast<double>(step) >= paced_steps_) return all_.at(position);
    const auto count = static_cast<int64_t>(easy_first_.size());
    if (o_.form != "window") return easy_first_[position % count];
    const double wanted = std::round(grown(static_cast<double>(step) / paced_steps_) * count);
    const int64_t window = std::clamp<int64_t>(static_cast<int64_t>(wanted), 1, count);
    return easy_first_[RandomStream(seed_, "pacing", position).below(window)];
  }

 private:
  double grown(double x) const {
    if (o_.pace == "linear") return o_.start + (1 - o_.start) * x;
    if (o_.pace == "root") return std::sqrt(o_.start * o_.start + (1 - o_.start * o_.start) * x);
    const auto stages = static_cast<double>(o_.stages);
    return o_.start + (1 - o_.start) * std::floor(stages * x) / stages;
  }
  PacingOptions o_;
  uint64_t seed_;
  double paced_steps_;
  RecordOrder all_;
  std::vector<int64_t> easy_first_;
};

std::unique_ptr<Order> PacingOptions::make(const OrderData& data) const {
  return std::make_unique<Pacing>(data, *this);
}

struct LevelsOptions : OrderOptions {
  std::string column = "level";
  std::optional<double> at_least, at_most;
  void fields(FieldVisitor& v) override {
    v.field("column", column, {.help = "the column of the level, a number"});
    v.field("at_least", at_least, {.help = "the lowest level that is drawn; left out: any"});
    v.field("at_most", at_most, {.help = "the highest level that is drawn; left out: any"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (at_least && at_most && *at_least > *at_most)
      problems.push_back(fmt::format("{}: at_least {} is above at_most {}, so no record is within", where,
                                     *at_least, *at_most));
  }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class Levels : public Order {
 public:
  Levels(std::vector<int64_t> within, uint64_t seed)
      : within_(std::move(within)), order_(static_cast<int64_t>(within_.size()), seed, "shuffle") {}
  int64_t at(int64_t, int64_t position) const override { return within_[order_.at(position)]; }

 private:
  std::vector<int64_t> within_;
  RecordOrder order_;
};

std::unique_ptr<Order> LevelsOptions::make(const OrderData& data) const {
  const std::vector<double> level = difficulties(data, column);
  std::vector<int64_t> within;
  for (size_t i = 0; i < level.size(); ++i)
    if (level[i] >= at_least.value_or(level[i]) && level[i] <= at_most.value_or(level[i]))
      within.push_back(static_cast<int64_t>(i));
  if (within.empty()) {
    const auto [low, high] = std::minmax_element(level.begin(), level.end());
    user_error("data.order: no record has a \"{}\" within at_least and at_most; they go from {} to {}",
               column, *low, *high);
  }
  return std::make_unique<Levels>(std::move(within), data.seed);
}

}  // namespace

std::unique_ptr<OrderOptions> pacing_order() {
  return std::make_unique<PacingOptions>();
}
std::unique_ptr<OrderOptions> levels_order() {
  return std::make_unique<LevelsOptions>();
}

}  // namespace temper
