#include "task/preference/fast_slow.h"

#include <algorithm>
#include <cmath>

#include "adapter/lora/pair.h"
#include "base/error.h"
#include "train/session.h"

namespace temper {

FastSlow::FastSlow(Session& s, int64_t swap_every)
    : s_(s), pair_(dynamic_cast<LoraPairAdapter*>(s.adapter.get())), swap_every_(swap_every) {
  if (pair_ == nullptr) bug("fast and slow need a lora_pair");
  if (s_.state.loop.empty()) s_.state.loop = {{"fast", 0}, {"losses", {0.0, 0.0}}};
  const Json& loop = s_.state.loop;
  const auto number = [](const Json& value) { return value.is_number(); };
  if (!loop.contains("fast") || (loop["fast"] != 0 && loop["fast"] != 1) || !loop.contains("losses") ||
      loop["losses"].size() != 2 || !std::all_of(loop["losses"].begin(), loop["losses"].end(), number))
    user_error("{}: the run's state does not say which adapter is the fast one", s_.config.run);
  select_fast();
}

int64_t FastSlow::fast() const {
  return s_.state.loop.at("fast").get<int64_t>();
}

void FastSlow::select_slow() {
  pair_->select(static_cast<int>(1 - fast()));
}

void FastSlow::select_fast() {
  pair_->select(static_cast<int>(fast()));
}

void FastSlow::take_turns(const std::map<std::string, double>& losses) {
  const int64_t f = fast();
  Json& sums = s_.state.loop["losses"];
  const double of_fast = losses.at("loss_fast"), of_slow = losses.at("loss_slow");
  if (std::isfinite(of_fast) && std::isfinite(of_slow)) {
    sums[f] = sums[f].get<double>() + of_fast;
    sums[1 - f] = sums[1 - f].get<double>() + of_slow;
  }
  if (swap_every_ == 0 || (s_.state.step + 1) % swap_every_ != 0) return;
  if (sums[1 - f].get<double>() < sums[f].get<double>()) s_.state.loop["fast"] = 1 - f;
  sums = {0.0, 0.0};
  select_fast();
}

}  // namespace temper
