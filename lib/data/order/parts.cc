#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/order/kinds.h"

namespace temper {

int64_t pick(RandomStream& random, const std::vector<int64_t>& items) {
  return items[random.below(items.size())];
}

size_t pick_weighted(RandomStream& random, const std::vector<double>& weights) {
  double total = 0;
  for (const double weight : weights) total += weight;
  double target = total * random.uniform();
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = i;
    if (target < weights[i]) break;
    target -= weights[i];
  }
  return last;
}

std::string name_column(const Record& record, const std::string& column, const std::string& who) {
  const auto it = record.json.find(column);
  if (it != record.json.end() && (it->is_number() || it->is_boolean())) return dump_line(*it);
  return text_column(record, column, who);
}

Place place_of(int64_t position, int64_t batch, int64_t of) {
  const int64_t whole = position / batch, i = position % batch;
  const auto apart_before = [&](int64_t n) { return n * of / batch; };  // of the first n of a batch
  return {apart_before(i + 1) > apart_before(i), whole * (batch - of) + i - apart_before(i)};
}

int64_t share_of_batch(double share, int64_t batch, const std::string& field) {
  const auto of = static_cast<int64_t>(std::lround(share * static_cast<double>(batch)));
  if (of < 1 || of >= batch) {
    user_error("{}: {} of the {} draws of a step is {} of them; give a share between, or larger batches",
               field, share, batch, of < 1 ? "none" : "all");
  }
  return of;
}

}  // namespace temper
