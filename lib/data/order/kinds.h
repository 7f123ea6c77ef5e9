// The kinds of orders, and what several of them are made of.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "data/order/order.h"

namespace temper {

std::unique_ptr<OrderOptions> shuffle_order();         // plain.cc
std::unique_ptr<OrderOptions> sequential_order();      //
std::unique_ptr<OrderOptions> subset_order();          //
std::unique_ptr<OrderOptions> pacing_order();          // difficulty.cc
std::unique_ptr<OrderOptions> levels_order();          //
std::unique_ptr<OrderOptions> pass_rate_order();       // rewards.cc
std::unique_ptr<OrderOptions> rcs_order();             //
std::unique_ptr<OrderOptions> mastering_rate_order();  // tasks.cc
std::unique_ptr<OrderOptions> mix_cd_order();          // rehearsal.cc
std::unique_ptr<OrderOptions> power_law_order();       //

// One of the items at random; not empty.
int64_t pick(RandomStream& random, const std::vector<int64_t>& items);
// An index with the probability of its weight; weights >= 0, not all 0.
size_t pick_weighted(RandomStream& random, const std::vector<double>& weights);

// A column's value as the name of a task or bin: a text, a number or true or false. Throws UserError at the
// record's place.
std::string name_column(const Record& record, const std::string& column, const std::string& who);

// In a batch of `batch` draws, `of` are of another sort and stand evenly among the rest. Whether draw
// `position` of the run is of it, and how many of the other sort stand before it.
struct Place {
  bool apart = false;
  int64_t rest_before = 0;
};
Place place_of(int64_t position, int64_t batch, int64_t of);
// So many of a batch that a share stands for. Throws UserError for none and for all.
int64_t share_of_batch(double share, int64_t batch, const std::string& field);

}  // namespace temper
