// Orders that know nothing of the records: epochs of all of them, or of random shares.
#include <algorithm>
#include <cmath>

#include "data/order/kinds.h"

namespace temper {
namespace {

class Epochs : public Order {
 public:
  Epochs(const OrderData& data, const std::string& order) : order_(data.count, data.seed, order) {}
  int64_t at(int64_t, int64_t position) const override { return order_.at(position); }

 private:
  RecordOrder order_;
};

struct EpochsOptions : OrderOptions {
  std::string order;  // RecordOrder's
  explicit EpochsOptions(std::string order) : order(std::move(order)) {}
  void fields(FieldVisitor&) override {}
  bool reads_records() const override { return false; }
  std::unique_ptr<Order> make(const OrderData& data) const override {
    return std::make_unique<Epochs>(data, order);
  }
};

// RS2: each epoch is of k = round(share n) records, at least one. With replacement across epochs they are
// drawn anew from all n; without, one epoch after the other takes the next k of a permutation, of which the
// last fills up from its beginning, and then comes another permutation. No record comes twice in an epoch.
struct SubsetOptions : OrderOptions {
  double share = 0.1;
  bool replacement = false;
  void fields(FieldVisitor& v) override {
    v.field("share", share, {.help = "share of the records that an epoch has", .min = 1e-6, .max = 1});
    v.field("replacement", replacement,
            {.help = "each epoch is drawn from all records; false: from those that have not come yet, until "
                     "all have"});
  }
  bool reads_records() const override { return false; }
  std::unique_ptr<Order> make(const OrderData& data) const override;
};

class Subset : public Order {
 public:
  Subset(const OrderData& data, const SubsetOptions& o)
      : count_(data.count),
        size_(std::max<int64_t>(1, std::lround(o.share * static_cast<double>(data.count)))),
        epochs_(o.replacement ? 1 : (count_ + size_ - 1) / size_),
        permutations_(data.count, data.seed, "shuffle") {}
  int64_t at(int64_t, int64_t position) const override {
    const int64_t epoch = position / size_, i = position % size_;
    const int64_t permutation = epoch / epochs_, in_permutation = (epoch % epochs_) * size_ + i;
    return permutations_.at(permutation * count_ + in_permutation % count_);
  }

 private:
  int64_t count_, size_, epochs_;  // epochs of one permutation
  RecordOrder permutations_;
};

std::unique_ptr<Order> SubsetOptions::make(const OrderData& data) const {
  return std::make_unique<Subset>(data, *this);
}

}  // namespace

std::unique_ptr<OrderOptions> shuffle_order() {
  return std::make_unique<EpochsOptions>("shuffle");
}
std::unique_ptr<OrderOptions> sequential_order() {
  return std::make_unique<EpochsOptions>("sequential");
}
std::unique_ptr<OrderOptions> subset_order() {
  return std::make_unique<SubsetOptions>();
}

}  // namespace temper
