// Reward-model losses, r the scores, ls = logsigmoid:
//   bt          -ls(r_w - r_l - m), m the column "margin", 0 without     Bradley & Terry; TRL 1.16
//   margin_bt   -ls(r_w - r_l - m), m the strength              Touvron et al. (Llama 2), arXiv 2307.09288
//   scaled_bt   -m ls(r_w - r_l)                                HelpSteer2-Preference, arXiv 2410.01257
//     center: each plus center (r_w + r_l)^2, which keeps scores near 0
//   listwise    -mean of ls(r_i - r_j) over right i and wrong j of a group, mean over groups that have both
//               Qwen2.5-Math, arXiv 2409.12122
//   regression  squared error of each rated attribute, mean over the ratings     HelpSteer2, arXiv 2406.08673
//   process     cross entropy of sigmoid(r) with the label of each step     Lightman et al., arXiv 2305.20050
#include "objective/reward/reward_model.h"

#include "base/error.h"
#include "objective/math.h"
#include "objective/reward/kinds.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

at::Tensor head_of(const RewardBatch& batch, int64_t head) {
  if (batch.score.dim() != 2 || head >= batch.score.size(1))
    bug("reward loss: no head {} in the scores", head);
  return batch.score.select(1, head);
}

at::Tensor total(const at::Tensor& value) {
  return value.detach().to(at::kDouble).sum();
}

struct OneHead : RewardLossOptions {
  int64_t head = 0;
  void fields(FieldVisitor& v) override {
    v.field("head", head, {.help = "which output of the model is the score", .min = 0});
  }
};

// ---- pairs ----

struct PairOptions : OneHead {
  explicit PairOptions(std::string kind) : kind(std::move(kind)) {}
  const std::string kind;  // not a field
  double center = 0.0;
  void fields(FieldVisitor& v) override {
    OneHead::fields(v);
    v.field("center", center,
            {.help = "weight of the squared sum of a pair's scores; TRL's example: 0.01", .min = 0});
  }
  std::unique_ptr<RewardLoss> make() const override;
};

struct Pair : RewardLoss {
  explicit Pair(const PairOptions& options) : o(options) {}
  RewardNeeds needs() const override { return {RewardRows::kPairs, o.kind != "bt", o.kind == "bt", o.head}; }

  RewardTerms operator()(const RewardBatch& batch) const override {
    const at::Tensor r = head_of(batch, o.head);
    const at::Tensor w = r.slice(0, 0, std::nullopt, 2), l = r.slice(0, 1, std::nullopt, 2), delta = w - l;
    at::Tensor value;
    if (o.kind == "bt")
      value = -at::log_sigmoid(batch.margin.defined() ? delta - batch.margin : delta);
    else if (o.kind == "margin_bt")
      value = -at::log_sigmoid(delta - batch.strength);
    else
      value = -batch.strength * at::log_sigmoid(delta);
    if (o.center > 0) value = value + o.center * (w + l).square();
    return {value.sum(),
            static_cast<double>(w.size(0)),
            {{"accuracy", total(delta.gt(0))}, {"margin", total(delta)}, {"score", total(0.5 * (w + l))}}};
  }
  PairOptions o;
};

// ---- groups ----

struct ListwiseOptions : OneHead {
  std::unique_ptr<RewardLoss> make() const override;
};

struct Listwise : RewardLoss {
  explicit Listwise(const ListwiseOptions& options) : o(options) {}
  RewardNeeds needs() const override { return {.rows = RewardRows::kGroups, .head = o.head}; }

  RewardTerms operator()(const RewardBatch& batch) const override {
    const at::Tensor r = head_of(batch, o.head);
    const GroupIndex groups = index_groups(batch.group);
    RewardTerms out{at::zeros({}, r.options().requires_grad(false)), 0, {}};
    at::Tensor accuracy = at::zeros({}, at::kDouble), margin = accuracy.clone();
    for (int64_t g = 0; g < groups.count; ++g) {
      const at::Tensor member = groups.index.eq(g);
      const at::Tensor right = r.masked_select(member.logical_and(batch.label.eq(1)));
      const at::Tensor wrong = r.masked_select(member.logical_and(batch.label.eq(0)));
      if (right.numel() == 0 || wrong.numel() == 0) continue;
      const at::Tensor delta = right.unsqueeze(1) - wrong.unsqueeze(0);
      out.sum = out.sum - at::log_sigmoid(delta).mean();
      out.count += 1;
      accuracy += delta.detach().gt(0).to(at::kDouble).mean().to(accuracy.device());
      margin += delta.detach().to(at::kDouble).mean().to(margin.device());
    }
    out.metrics = {{"accuracy", accuracy}, {"margin", margin}};
    return out;
  }
  ListwiseOptions o;
};

// ---- ratings ----

struct Regression : RewardLoss {
  RewardNeeds needs() const override { return {RewardRows::kRated}; }
  RewardTerms operator()(const RewardBatch& batch) const override {
    const at::Tensor rated = batch.target.isnan().logical_not();
    const at::Tensor error =
        at::where(rated, batch.score - at::nan_to_num(batch.target, 0.0), at::zeros_like(batch.score));
    return {error.square().sum(), rated.sum().item<double>(), {{"error", total(error.abs())}}};
  }
};

struct RegressionOptions : RewardLossOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<RewardLoss> make() const override { return std::make_unique<Regression>(); }
};

// ---- steps ----

struct ProcessLossOptions : OneHead {
  std::unique_ptr<RewardLoss> make() const override;
};

struct Process : RewardLoss {
  explicit Process(const ProcessLossOptions& options) : o(options) {}
  RewardNeeds needs() const override { return {.rows = RewardRows::kSteps, .head = o.head}; }
  RewardTerms operator()(const RewardBatch& batch) const override {
    const at::Tensor r = head_of(batch, o.head), known = batch.label.isnan().logical_not();
    const at::Tensor label = at::nan_to_num(batch.label, 0.0).to(r.scalar_type());
    const at::Tensor value = -(label * at::log_sigmoid(r) + (1 - label) * at::log_sigmoid(-r));
    const at::Tensor right = r.detach().gt(0).eq(label.gt(0.5)).logical_and(known);
    return {at::where(known, value, at::zeros_like(value)).sum(),
            known.sum().item<double>(),
            {{"accuracy", total(right)}}};
  }
  ProcessLossOptions o;
};

std::unique_ptr<RewardLoss> PairOptions::make() const {
  return std::make_unique<Pair>(*this);
}
std::unique_ptr<RewardLoss> ListwiseOptions::make() const {
  return std::make_unique<Listwise>(*this);
}
std::unique_ptr<RewardLoss> ProcessLossOptions::make() const {
  return std::make_unique<Process>(*this);
}

}  // namespace

std::unique_ptr<RewardLossOptions> bt() {
  return std::make_unique<PairOptions>("bt");
}
std::unique_ptr<RewardLossOptions> margin_bt() {
  return std::make_unique<PairOptions>("margin_bt");
}
std::unique_ptr<RewardLossOptions> scaled_bt() {
  return std::make_unique<PairOptions>("scaled_bt");
}
std::unique_ptr<RewardLossOptions> listwise() {
  return std::make_unique<ListwiseOptions>();
}
std::unique_ptr<RewardLossOptions> regression() {
  return std::make_unique<RegressionOptions>();
}
std::unique_ptr<RewardLossOptions> process() {
  return std::make_unique<ProcessLossOptions>();
}

at::Tensor aggregate_steps(const std::string& how, const at::Tensor& score, const at::Tensor& solution,
                           int64_t solutions) {
  const at::Tensor count = segment_count(solution, solutions);
  const auto where_any = [&](const at::Tensor& value) {
    return at::where(count.gt(0), value, at::zeros_like(value));
  };
  if (how == "mean") return segment_mean(score, solution, solutions);
  if (how == "min") return where_any(-segment_max(-score, solution, solutions));
  if (how == "product") return where_any(segment_sum(at::log_sigmoid(score), solution, solutions).exp());
  if (how == "last") {
    const at::Tensor last = count.to(at::kLong).cumsum(0) - 1;
    if (score.numel() == 0) return at::zeros({solutions}, score.options());
    return where_any(score.index_select(0, last.clamp_min(0)));
  }
  bug("unknown aggregation \"{}\"", how);
}

}  // namespace temper::objective
