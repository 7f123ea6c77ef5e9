#include "objective/credit/turns.h"

#include <ATen/ATen.h>

#include <map>
#include <utility>

#include "base/error.h"
#include "objective/policy/advantages.h"
#include "tensor/packed.h"

namespace temper::objective {

void TurnOptions::fields(FieldVisitor& v) {
  v.field("omega", omega,
          {.help = "weight of the advantage of a turn among those that began in the same state; 0: none",
           .min = 0});
  if (!on()) return;
  v.field("gamma", gamma, {.help = "discount a turn of the rewards of later ones", .min = 0, .max = 1});
  v.field("normalise", normalise,
          {.help = "what a turn's centred return is divided by: the deviation among those turns, or nothing",
           .choices = {"std", "none"}});
}

namespace {

// The step-level group of each turn: of the same group of sequences, and begun in the same state.
at::Tensor anchor_groups(const at::Tensor& group_of_turn, const std::vector<std::string>& state) {
  const at::Tensor groups = group_of_turn.to(at::kCPU).contiguous();
  const int64_t* group = groups.const_data_ptr<int64_t>();
  std::map<std::pair<int64_t, std::string>, int64_t> known;
  std::vector<int64_t> out;
  for (size_t t = 0; t < state.size(); ++t) {
    const auto next = static_cast<int64_t>(known.size());
    // One without a state has a group of its own, below those of the others.
    if (state[t].empty())
      out.push_back(-1 - static_cast<int64_t>(t));
    else
      out.push_back(known.try_emplace({group[t], state[t]}, next).first->second);
  }
  return at::tensor(out, at::kLong);
}

}  // namespace

at::Tensor turn_returns(const at::Tensor& reward, const at::Tensor& sequence, double gamma) {
  at::Tensor out = reward.detach().to(at::kCPU, at::kDouble).contiguous().clone();
  const at::Tensor rows = sequence.to(at::kCPU).contiguous();
  double* sum = out.mutable_data_ptr<double>();
  const int64_t* row = rows.const_data_ptr<int64_t>();
  for (int64_t t = out.size(0) - 2; t >= 0; --t) {
    if (row[t + 1] == row[t]) sum[t] += gamma * sum[t + 1];
  }
  return out;
}

at::Tensor turn_advantages(const TurnOptions& o, double eps, const at::Tensor& advantage,
                           const at::Tensor& group, const at::Tensor& sequence, const Turns& turns) {
  if (static_cast<int64_t>(turns.state.size()) != turns.reward.size(0))
    bug("turns: {} states of {} turns", turns.state.size(), turns.reward.size(0));
  at::Tensor out = gather_sequence(advantage, sequence).to(at::kDouble);
  if (!o.on() || turns.state.empty()) return out.to(advantage.scalar_type());
  const at::Tensor anchors = anchor_groups(group.index_select(0, turns.sequence), turns.state);
  const at::Tensor returns = turn_returns(turns.reward, turns.sequence, o.gamma);
  const at::Tensor among =
      o.normalise == "std" ? group_zscores(returns, anchors, eps) : group_centred(returns, anchors);
  const at::Tensor of_turn = among.index_select(0, turns.turn.clamp_min(0));
  out = out + o.omega * at::where(turns.turn.ge(0), of_turn, at::zeros_like(of_turn));
  return out.to(advantage.scalar_type());
}

}  // namespace temper::objective
