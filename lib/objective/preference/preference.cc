#include "objective/preference/preference.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/packed.h"

namespace temper::objective {

void PreferenceTerm::fields(FieldVisitor& v) {
  v.field("weight", weight, {.help = "weight in the sum of losses"});
  v.choice_here("name", loss, name, preference_loss_registry());
}

void PreferenceAlgorithm::fields(FieldVisitor& v) {
  if (loss) loss->fields(v);
  v.field("weight", weight, {.help = "weight of this loss in the sum of losses"});
  v.list("also", also, "further losses of the sum: name, weight and the fields of each");
  v.field("sft_weight", sft_weight,
          {.help = "adds this many times the token mean of -logp of the chosen (or desirable) responses",
           .min = 0});
  v.field("ld_alpha", ld_alpha,
          {.help = "LD-DPO (arXiv 2409.06411): weight of the tokens past the length of the pair's shorter "
                   "response; null: off",
           .min = 0,
           .max = 1});
  v.field("wpo", wpo,
          {.help = "WPO (arXiv 2406.11827): weigh each pair by the policy's likelihood of its responses, "
                   "relative to its own sampling"});
}

namespace {

PreferenceNeeds both(PreferenceNeeds a, const PreferenceNeeds& b) {
  a.logp_ref |= b.logp_ref;
  a.log_sum_squares |= b.log_sum_squares;
  a.label |= b.label;
  a.mismatch |= b.mismatch;
  a.other |= b.other;
  a.swap_every = std::max(a.swap_every, b.swap_every);
  a.list |= b.list;
  a.matrix |= b.matrix;
  a.step |= b.step;
  return a;
}

}  // namespace

PreferenceNeeds PreferenceAlgorithm::needs() const {
  PreferenceNeeds out = loss->make()->needs();
  for (const PreferenceTerm& term : also) out = both(out, term.loss->make()->needs());
  if (wpo) out.log_sum_squares = true;
  return out;
}

void PreferenceAlgorithm::check(std::vector<std::string>& problems, const std::string& where) const {
  const std::string at = where.empty() ? "" : where + ".";
  if (!loss) return;
  loss->check(problems, where);
  const auto takes = [](const PreferenceLossOptions& of) {
    const PreferenceNeeds needs = of.make()->needs();
    return needs.label    ? "single responses"
           : needs.matrix ? "prompts by responses"
           : needs.list   ? "lists"
                          : "pairs";
  };
  const std::string what = takes(*loss);
  for (size_t i = 0; i < also.size(); ++i) {
    if (!also[i].loss || takes(*also[i].loss) == what) continue;
    problems.push_back(
        fmt::format("{}also.{}: \"{}\" and \"{}\" cannot be summed: one takes {}, the other {}", at, i,
                    also[i].name, name, takes(*also[i].loss), what));
  }
  const auto only_pairs = [&](bool given, const char* field) {
    if (given && what != "pairs")
      problems.push_back(fmt::format("{}{}: \"{}\" takes {}, this needs pairs", at, field, name, what));
  };
  only_pairs(ld_alpha.has_value(), "ld_alpha");
  only_pairs(wpo, "wpo");
  if (sft_weight > 0 && what == "prompts by responses")
    problems.push_back(at + "sft_weight: \"" + name + "\" has no response that is better than the others");
  const auto sorts = [](const std::string& loss_name) {
    return loss_name == "aot" || loss_name == "aot_unpaired";
  };
  if (wpo && (sorts(name) ||
              std::any_of(also.begin(), also.end(), [&](const auto& term) { return sorts(term.name); }))) {
    problems.push_back(at + "wpo: aot sorts the step's pairs, so the weight of one pair has no meaning");
  }
}

PreferenceObjective::PreferenceObjective(const PreferenceAlgorithm& algorithm)
    : needs_(algorithm.needs()),
      sft_weight_(algorithm.sft_weight),
      ld_alpha_(algorithm.ld_alpha),
      wpo_(algorithm.wpo) {
  losses_.emplace_back(algorithm.weight, algorithm.loss->make());
  for (const PreferenceTerm& term : algorithm.also) losses_.emplace_back(term.weight, term.loss->make());
}

namespace {

// Of the even (chosen) or odd (rejected) responses of a [S] tensor: [P].
at::Tensor every_second(const at::Tensor& value, int64_t first) {
  return value.slice(0, first, std::nullopt, 2);
}

at::Tensor unit_include(const PreferenceBatch& batch, int64_t unit) {
  if (batch.include.defined()) return batch.include.to(batch.logp.scalar_type());
  return at::ones({batch.sequences / unit}, batch.logp.options().requires_grad(false));
}

// 1 for the responses whose tokens the sft term learns: a unit's first (chosen, best) or the desirable ones,
// and included. [S]
at::Tensor learned(const PreferenceBatch& batch, int64_t unit) {
  const at::Tensor include = unit_include(batch, unit);
  if (unit == 1) return include * batch.label.to(include.scalar_type());
  std::vector<at::Tensor> columns(static_cast<size_t>(unit), at::zeros_like(include));
  columns[0] = include;
  return at::stack(columns, 1).flatten();
}

}  // namespace

int64_t PreferenceObjective::unit_of(const PreferenceBatch& batch) const {
  if (needs_.list) return batch.unit;
  return needs_.label ? 1 : 2;
}

PreferenceNumbers PreferenceObjective::numbers(const PreferenceBatch& batch) const {
  const int64_t unit = unit_of(batch);
  const at::Tensor count = segment_count(batch.sequence, batch.sequences).to(batch.logp.scalar_type());
  at::Tensor weight;  // [M], LD-DPO's
  if (ld_alpha_) {
    const at::Tensor shared = at::min(every_second(count, 0), every_second(count, 1)).repeat_interleave(2);
    const at::Tensor begin = count.cumsum(0) - count;
    const at::Tensor position =
        at::arange(batch.logp.size(0), count.options()) - gather_sequence(begin, batch.sequence);
    const at::Tensor inside = position.lt(gather_sequence(shared, batch.sequence));
    weight = at::where(inside, at::ones_like(position), at::full_like(position, *ld_alpha_));
  }
  const auto total = [&](const at::Tensor& per_token) {
    return segment_sum(weight.defined() ? per_token * weight : per_token, batch.sequence, batch.sequences);
  };
  const at::Tensor logp = total(batch.logp), length = count.clamp_min(1);
  if (needs_.logp_ref && !batch.logp_ref.defined()) bug("the preference batch has no logp_ref");
  // Losses without a reference never read it; zeros keep the arithmetic uniform.
  const at::Tensor ref = batch.logp_ref.defined() ? total(batch.logp_ref) : at::zeros_like(logp).detach();

  const at::Tensor other = batch.logp_other.defined() ? total(batch.logp_other) : at::Tensor();

  PreferenceNumbers out;
  if (needs_.list) {
    const auto listed = [&](const at::Tensor& x) { return x.reshape({-1, unit}); };
    out.candidates = {listed(logp), listed(ref), listed(length)};
  } else if (unit == 2) {
    const auto side = [&](int64_t i) {
      return Responses{every_second(logp, i), every_second(ref, i), every_second(length, i),
                       other.defined() ? every_second(other, i) : other};
    };
    out.chosen = side(0);
    out.rejected = side(1);
  } else {
    out.response = {logp, ref, length};
    out.label = batch.label;
    out.mismatch = batch.mismatch;
  }
  out.include = unit_include(batch, unit);
  out.index = batch.index.defined() ? batch.index : at::arange(out.include.size(0), batch.sequence.options());
  return out;
}

// exp of the mean over tokens of logp - log_sum_squares, multiplied over the pair's two responses: [P].
at::Tensor PreferenceObjective::likelihood_weight(const PreferenceBatch& batch) const {
  const at::Tensor aligned =
      segment_mean(batch.logp.detach() - batch.log_sum_squares, batch.sequence, batch.sequences);
  return (every_second(aligned, 0) + every_second(aligned, 1)).exp();
}

PreferenceTotals PreferenceObjective::totals(const PreferenceBatch& step) const {
  const int64_t unit = unit_of(step);
  PreferenceTotals out;
  const at::Tensor include = unit_include(step, unit).to(at::kDouble);
  out.units = include.sum().item<double>();
  out.tokens = gather_sequence(learned(step, unit).to(at::kDouble), step.sequence).sum().item<double>();
  if (unit == 1) {
    out.desirable = (include * step.label).sum().item<double>();
    out.undesirable = out.units - out.desirable;
  }
  return out;
}

void PreferenceObjective::prepare(const PreferenceBatch& step) {
  const PreferenceNumbers n = numbers(step);
  for (auto& [weight, loss] : losses_) loss->prepare(n);
}

PreferenceObjective::Result PreferenceObjective::operator()(const PreferenceBatch& batch,
                                                            const PreferenceTotals& step) const {
  if (needs_.other && !batch.logp_other.defined()) bug("the preference batch has no logp_other");
  const int64_t unit = unit_of(batch);
  const PreferenceNumbers n = numbers(batch);
  // A step without anything included has loss 0.
  const auto mean = [&](const at::Tensor& value, double count) {
    return (value * n.include).sum() / std::max(count, 1.0);
  };

  at::Tensor value;
  for (const auto& [weight, loss] : losses_) {
    const at::Tensor term = weight * (*loss)(n);
    value = value.defined() ? value + term : term;
  }
  Result out;
  if (wpo_) {
    const at::Tensor weight = likelihood_weight(batch);
    value = value * weight;
    out.metrics["weight"] = mean(weight, step.units);
  }
  out.loss = mean(value, step.units);
  if (sft_weight_ > 0) {
    const at::Tensor per_token = gather_sequence(learned(batch, unit), batch.sequence);
    const at::Tensor nll = -(batch.logp * per_token).sum() / std::max(step.tokens, 1.0);
    out.loss = out.loss + sft_weight_ * nll;
    out.metrics["sft_loss"] = nll.detach();
  }
  out.metrics["loss"] = out.loss.detach();

  const PreferenceLoss& first = *losses_.front().second;
  for (const auto& [name, per_unit] : first.metrics(n)) out.metrics[name] = mean(per_unit, step.units);
  if (needs_.list) return out;
  if (unit == 2) {
    const at::Tensor chosen = first.reward(n.chosen).detach(), rejected = first.reward(n.rejected).detach();
    out.metrics["reward_chosen"] = mean(chosen, step.units);
    out.metrics["reward_rejected"] = mean(rejected, step.units);
    out.metrics["reward_margin"] = mean(chosen - rejected, step.units);
    out.metrics["reward_accuracy"] = mean(chosen.gt(rejected).to(chosen.scalar_type()), step.units);
    out.metrics["logp_chosen"] = mean(n.chosen.logp.detach(), step.units);
    out.metrics["logp_rejected"] = mean(n.rejected.logp.detach(), step.units);
  } else {
    const at::Tensor reward = first.reward(n.response).detach(), logp = n.response.logp.detach();
    const at::Tensor good = n.label.to(logp.scalar_type()), bad = 1 - good;
    out.metrics["reward_desirable"] = mean(reward * good, step.desirable);
    out.metrics["logp_desirable"] = mean(logp * good, step.desirable);
    out.metrics["reward_undesirable"] = mean(reward * bad, step.undesirable);
    out.metrics["logp_undesirable"] = mean(logp * bad, step.undesirable);
    if (n.mismatch.defined()) out.metrics["kl"] = mean(n.mismatch.to(logp.scalar_type()), step.units);
  }
  return out;
}

}  // namespace temper::objective
