// Objectives without ratio or clip.
//   gpg (arXiv 2504.02546): loss = -A logp per token, mean over the step's tokens.
//   dro: loss = -(logp A - beta/2 d^2), d = logp - logp_old, per token (level token, Tinker's form) or with
//   logp and d
//     summed over the sequence (level sequence: arXiv 2405.19107 with A = R - V, and the policy gradient of
//     Kimi k1.5, 2501.12599, preset kimi).
// Metrics: penalty: mean of beta/2 d^2, over tokens or sequences.
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct Gpg : PolicyObjective {
  Needs needs() const override { return {}; }
  Terms operator()(const PolicyBatch& batch) const override {
    return {-advantage_per_token(batch) * batch.logp, {}};
  }
};

struct GpgOptions : PolicyObjectiveOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<PolicyObjective> make() const override { return std::make_unique<Gpg>(); }
};

struct DroOptions : PolicyObjectiveOptions {
  double beta = 0.1;
  std::string level = "token";
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "weight of the squared log-ratio", .min = 0});
    v.field("level", level,
            {.help = "log-probs and log-ratios of tokens, or summed over the sequence",
             .choices = {"token", "sequence"}});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Dro : public PolicyObjective {
 public:
  explicit Dro(const DroOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }
  Unit unit() const override { return o_.level == "token" ? Unit::kToken : Unit::kSequence; }

  Terms operator()(const PolicyBatch& batch) const override {
    const bool token = o_.level == "token";
    const at::Tensor a = token ? advantage_per_token(batch) : advantage_per_sequence(batch);
    const at::Tensor logp = token ? batch.logp : sequence_sum(batch, batch.logp);
    const at::Tensor d = token ? log_ratio(batch) : sequence_sum(batch, log_ratio(batch));
    const at::Tensor penalty = 0.5 * o_.beta * d.square();
    Terms terms{penalty - logp * a, {}};
    terms.metrics["penalty"] = {penalty.detach(), unit()};
    return terms;
  }

 private:
  DroOptions o_;
};

std::unique_ptr<PolicyObjective> DroOptions::make() const {
  return std::make_unique<Dro>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> gpg() {
  auto algorithm = preset("gpg", std::make_unique<GpgOptions>());
  algorithm->advantage = "group_center";
  algorithm->reduction = "token_mean";
  return algorithm;
}

std::unique_ptr<PolicyAlgorithm> dro() {
  auto algorithm = preset("dro", std::make_unique<DroOptions>());
  algorithm->advantage = "group_center";
  return algorithm;
}

std::unique_ptr<PolicyAlgorithm> kimi() {
  auto algorithm = dro();
  algorithm->name = "kimi";
  static_cast<DroOptions&>(*algorithm->objective).level = "sequence";
  return algorithm;
}

}  // namespace temper::objective
