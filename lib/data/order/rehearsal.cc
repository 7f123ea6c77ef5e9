// Orders that keep what was learnt earlier: a share of each batch comes from earlier files.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "data/order/kinds.h"

namespace temper {
namespace {

// mix-cd. Of each batch the share comes from `files`, which an earlier training knew; the rest are epochs of
// the other files. The records of `files` stand in bins: of equal `column`, and within those in `bins` equal
// parts by the loss of the base model, which is the run's at its start. A record is collateral damage when
// the base model got it right and the current one does not; right: each target token is the most likely one.
// The current model is seen in the pass of the update alone. With n_k the records of bin k that were
// rehearsed and d_k those of them that were damaged,
//   alpha_k = d_k / n_k                          both times `memory` before each step's are added
//   p_k     = (1 - explore) alpha_k / sum of alpha + explore |k| / sum of |k|
// is the probability of bin k; where all alpha are 0 it is |k| / sum of |k|. Any record within a bin.
struct MixCdOptions : OrderOptions {
  std::vector<std::string> files;
  double share = 0.1, explore = 0.2, memory = 0.95;
  std::string column;
  int64_t bins = 8;
  void fields(FieldVisitor& v) override {
    v.field("files", files,
            {.help = "those of data.train that are rehearsed", .required = true, .path = true});
    v.field("share", share, {.help = "share of them in each batch", .min = 0, .max = 1});
    v.field("column", column, {.help = "a column that tells bins apart, as a task; left out: none"});
    v.field("bins", bins, {.help = "equal parts by the base model's loss; 1: none", .min = 1, .max = 1000});
    v.field("explore", explore,
            {.help = "share of the rehearsal that is of all bins by their size", .min = 0, .max = 1});
    v.field("memory", memory,
            {.help = "what a bin's counts are multiplied by at each step", .min = 0, .max = 1});
  }
  std::vector<Observes> needs() const override { return {Observes::kExamples}; }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class MixCd : public Order {
 public:
  MixCd(const OrderData& data, const MixCdOptions& o, std::vector<int64_t> fresh, std::vector<int64_t> old)
      : o_(o),
        seed_(data.seed),
        batch_(data.per_step),
        rehearsed_(share_of_batch(o.share, data.per_step, "data.order.share")),
        fresh_(std::move(fresh)),
        old_(std::move(old)),
        fresh_order_(static_cast<int64_t>(fresh_.size()), data.seed, "shuffle") {
    for (const int64_t record : old_)
      labels_.push_back(o.column.empty() ? "" : name_column(data.record(record), o.column, "data.order"));
  }

  int64_t at(int64_t, int64_t position) const override {
    if (bins_.empty()) bug("rehearsal before the base model was observed");
    const Place place = place_of(position, batch_, rehearsed_);
    if (!place.apart) return fresh_[fresh_order_.at(place.rest_before)];
    RandomStream random(seed_, "rehearsal", position);
    return old_[pick(random, bins_[pick_weighted(random, shares())])];
  }

  void observe(int64_t, int64_t, const std::vector<Observation>& seen) override {
    for (size_t k = 0; k < bins_.size(); ++k) {
      seen_[k] *= o_.memory;
      damaged_[k] *= o_.memory;
    }
    for (const Observation& one : seen) {
      const auto at = std::lower_bound(old_.begin(), old_.end(), one.record);
      if (at == old_.end() || *at != one.record) continue;
      const size_t i = at - old_.begin();
      seen_[bin_of_[i]] += 1;
      damaged_[bin_of_[i]] += base_[i].right && !one.right ? 1 : 0;
    }
  }

  std::vector<int64_t> wants_base() const override { return old_; }
  void observe_base(const std::vector<Observation>& seen) override {
    base_ = seen;
    sort_into_bins();
    seen_.assign(bins_.size(), 0);
    damaged_.assign(bins_.size(), 0);
  }

  Json state() const override {
    Json base = Json::array();
    for (const Observation& one : base_) base.push_back({one.loss, one.right});
    return {{"base", std::move(base)}, {"seen", seen_}, {"damaged", damaged_}};
  }
  void restore(const Json& state) override {
    if (state.at("base").size() != old_.size())
      user_error("the state is of {} rehearsed records, the data have {}", state["base"].size(), old_.size());
    base_.clear();
    for (size_t i = 0; i < old_.size(); ++i) {
      const Json& one = state["base"][i];
      base_.push_back({.record = old_[i], .loss = one.at(0).get<double>(), .right = one.at(1).get<bool>()});
    }
    sort_into_bins();
    seen_ = state.at("seen").get<std::vector<double>>();
    damaged_ = state.at("damaged").get<std::vector<double>>();
    if (seen_.size() != bins_.size() || damaged_.size() != bins_.size())
      user_error("the state is of {} bins, the data have {}", seen_.size(), bins_.size());
  }
  std::vector<std::pair<std::string, double>> metrics() const override {
    double seen = 0, damaged = 0;
    for (size_t k = 0; k < bins_.size(); ++k) seen += seen_[k], damaged += damaged_[k];
    if (seen == 0) return {};
    const std::vector<double> p = shares();
    return {{"order/damaged", damaged / seen},
            {"order/largest_share", *std::max_element(p.begin(), p.end())}};
  }

 private:
  void sort_into_bins() {
    std::map<std::string, std::vector<int64_t>> by_label;
    for (size_t i = 0; i < old_.size(); ++i) by_label[labels_[i]].push_back(static_cast<int64_t>(i));
    bins_.clear();
    bin_of_.assign(old_.size(), 0);
    for (auto& [label, members] : by_label) {
      std::stable_sort(members.begin(), members.end(),
                       [&](int64_t a, int64_t b) { return base_[a].loss < base_[b].loss; });
      const auto count = static_cast<int64_t>(members.size()), parts = std::min(o_.bins, count);
      for (int64_t part = 0; part < parts; ++part) {
        const auto from = members.begin() + part * count / parts;
        const auto to = members.begin() + (part + 1) * count / parts;
        for (auto i = from; i != to; ++i) bin_of_[*i] = bins_.size();
        bins_.emplace_back(from, to);
      }
    }
  }

  std::vector<double> shares() const {
    std::vector<double> alpha;
    double sum = 0;
    for (size_t k = 0; k < bins_.size(); ++k) {
      alpha.push_back(seen_[k] > 0 ? damaged_[k] / seen_[k] : 0);
      sum += alpha.back();
    }
    const double explore = sum > 0 ? o_.explore : 1;
    for (size_t k = 0; k < bins_.size(); ++k) {
      const double size = static_cast<double>(bins_[k].size()) / static_cast<double>(old_.size());
      alpha[k] = (sum > 0 ? (1 - explore) * alpha[k] / sum : 0) + explore * size;
    }
    return alpha;
  }

  MixCdOptions o_;
  uint64_t seed_;
  int64_t batch_, rehearsed_;
  std::vector<int64_t> fresh_, old_;  // records, ascending
  RecordOrder fresh_order_;
  std::vector<std::string> labels_;         // of each of old_
  std::vector<Observation> base_;           // of each of old_
  std::vector<size_t> bin_of_;              // of each of old_
  std::vector<std::vector<int64_t>> bins_;  // places in old_
  std::vector<double> seen_, damaged_;      // of each bin
};

std::unique_ptr<Order> MixCdOptions::make(const OrderData& data) const {
  for (const std::string& file : files) {
    if (std::find(data.files.begin(), data.files.end(), file) == data.files.end())
      user_error("data.order.files: {} is not one of data.train", file);
  }
  std::vector<int64_t> fresh, old;
  for (int64_t i = 0; i < data.count; ++i) {
    const bool rehearsed = std::find(files.begin(), files.end(), data.record(i).file) != files.end();
    (rehearsed ? old : fresh).push_back(i);
  }
  if (old.empty()) user_error("data.order.files: no record of theirs is left to rehearse");
  if (fresh.empty())
    user_error("data.order.files: all records of data.train are theirs; there is nothing new to learn");
  return std::make_unique<MixCd>(data, *this, std::move(fresh), std::move(old));
}

// The files of data.train are tasks that are trained one after the other, in equal parts of the run. Of each
// batch the share replays earlier ones: task k with a probability in proportion to a^-exponent, a the steps
// since the last of its own. Exponent 0 is uniform replay. In the first part nothing is replayed.
struct PowerLawOptions : OrderOptions {
  double share = 0.2, exponent = 1;
  void fields(FieldVisitor& v) override {
    v.field("share", share, {.help = "share of replays in a batch", .min = 0, .max = 1});
    v.field("exponent", exponent,
            {.help = "how fast replays of a task become rare; 0: all earlier tasks alike", .min = 0});
  }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class PowerLaw : public Order {
 public:
  PowerLaw(const OrderData& data, const PowerLawOptions& o)
      : o_(o),
        seed_(data.seed),
        steps_(data.steps),
        batch_(data.per_step),
        replayed_(share_of_batch(o.share, data.per_step, "data.order.share")) {
    const auto tasks = static_cast<int64_t>(data.files.size());
    if (tasks < 2 || tasks > data.steps)
      user_error(
          "data.order: power_law trains the files of data.train one after the other; there are {} for {} "
          "steps",
          tasks, data.steps);
    records_.resize(tasks);
    for (int64_t i = 0; i < data.count; ++i) {
      const auto file = std::find(data.files.begin(), data.files.end(), data.record(i).file);
      records_[file - data.files.begin()].push_back(i);
    }
    for (int64_t k = 0; k < tasks; ++k) {
      if (records_[k].empty()) user_error("data.order: no record of {} is left to learn from", data.files[k]);
      orders_.emplace_back(static_cast<int64_t>(records_[k].size()), data.seed, "shuffle");
    }
  }

  int64_t at(int64_t step, int64_t position) const override {
    const auto tasks = static_cast<int64_t>(records_.size());
    int64_t now = 0;
    while (now + 1 < tasks && step >= first_step(now + 1)) ++now;
    const Place place = place_of(position - first_step(now) * batch_, batch_, now == 0 ? 0 : replayed_);
    if (!place.apart) return records_[now][orders_[now].at(place.rest_before)];
    RandomStream random(seed_, "replay", position);
    std::vector<double> weights;
    for (int64_t k = 0; k < now; ++k)
      weights.push_back(std::pow(static_cast<double>(step - (first_step(k + 1) - 1)), -o_.exponent));
    return pick(random, records_[pick_weighted(random, weights)]);
  }

 private:
  int64_t first_step(int64_t task) const { return task * steps_ / static_cast<int64_t>(records_.size()); }
  PowerLawOptions o_;
  uint64_t seed_;
  int64_t steps_, batch_, replayed_;
  std::vector<std::vector<int64_t>> records_;  // of each task
  std::vector<RecordOrder> orders_;
};

std::unique_ptr<Order> PowerLawOptions::make(const OrderData& data) const {
  return std::make_unique<PowerLaw>(data, *this);
}

}  // namespace

std::unique_ptr<OrderOptions> mix_cd_order() {
  return std::make_unique<MixCdOptions>();
}
std::unique_ptr<OrderOptions> power_law_order() {
  return std::make_unique<PowerLawOptions>();
}

}  // namespace temper
