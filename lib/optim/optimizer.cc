#include "optim/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace temper {

void LrRule::fields(FieldVisitor& v) {
  v.field("match", match, {.help = "part of a parameter's name", .required = true});
  v.field("factor", factor, {.help = "on the learning rate of those parameters", .min = 0, .required = true});
}

void OptimizerOptions::fields(FieldVisitor& v) {
  lr_field(v);
  v.field("weight_decay", weight_decay, {.help = "decay of the weights", .min = 0});
  v.field("clip_norm", clip_norm,
          {.help = "largest l2 norm of the whole gradient; 0: no clipping", .min = 0});
  v.field("no_decay", no_decay, {.help = "parameters whose name holds one of these are not decayed"});
  v.list("lr_rules", lr_rules, "learning-rate factors by name; the first rule that matches counts");
  v.section("lookahead", lookahead, "slow weights around the optimizer (Zhang et al., arXiv 1907.08610)");
}

void OptimizerOptions::lr_field(FieldVisitor& v) {
  v.field("lr", lr, {.help = "learning rate at the schedule's peak", .min = 0});
}

void LookaheadOptions::fields(FieldVisitor& v) {
  v.field("k", k, {.help = "steps between two steps of the slow weights; 0: off", .unit = "steps", .min = 0});
  v.field("alpha", alpha, {.help = "share of the way that the slow weights go", .min = 0, .max = 1});
  v.field("momentum", momentum,
          {.help = "what becomes of the first moments when the weights go back: keep, reset to 0, or "
                   "pull_back by alpha as the weights",
           .choices = {"keep", "reset", "pull_back"}});
}

std::vector<OptimParameter> OptimizerOptions::parameters(
    const std::vector<std::pair<std::string, at::Tensor>>& named) const {
  std::vector<bool> used(lr_rules.size(), false);
  std::vector<OptimParameter> out;
  out.reserve(named.size());
  for (const auto& [name, value] : named) {
    OptimParameter parameter{name, value};
    for (const std::string& part : no_decay) parameter.decays &= name.find(part) == std::string::npos;
    for (size_t i = 0; i < lr_rules.size(); ++i) {
      if (name.find(lr_rules[i].match) == std::string::npos) continue;
      parameter.lr_factor = lr_rules[i].factor;
      used[i] = true;
      break;
    }
    out.push_back(std::move(parameter));
  }
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i] && !named.empty()) {
      user_error(
          "optimizer.lr_rules.{}: no trainable parameter that an earlier rule left over has \"{}\" in its "
          "name; one is called \"{}\"",
          i, lr_rules[i].match, named.front().first);
    }
  }
  return out;
}

// ------------------------------------------------------------------------------------------- norm and
// clipping

namespace {

constexpr int64_t kBlock = 1 << 16;  // fixed, so that the order of the sum does not depend on the threads

double squares(const float* x, int64_t n) {
  constexpr int kLanes = 16;
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      sum[lane] += value * value;
    }
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
  for (double part : sum) total += part;
  return total;
}

}  // namespace

double gradient_norm(const std::vector<OptimParameter>& parameters) {
  struct Block {
    const float* data;
    int64_t size;
  };
  std::vector<Block> blocks;
  std::vector<at::Tensor> held, on_device;
  double total = 0;
  for (const OptimParameter& parameter : parameters) {
    const at::Tensor& gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    if (!gradient.is_cpu()) {
      on_device.push_back(gradient);
      continue;
    }
    if (gradient.scalar_type() != at::kFloat) {
      const double norm = gradient.norm(2, at::kDouble).item<double>();
      total += norm * norm;
      continue;
    }
    held.push_back(gradient.contiguous());
    const float* data = held.back().const_data_ptr<float>();
    for (int64_t at = 0; at < gradient.numel(); at += kBlock) {
      blocks.push_back({data + at, std::min(kBlock, gradient.numel() - at)});
    }
  }
  std::vector<double> sums(blocks.size());
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] = squares(blocks[i].data, blocks[i].size);
  });
  if (!on_device.empty()) {
    const double norm = at::stack(at::_foreach_norm(on_device, 2, at::kDouble)).norm().item<double>();
    total += norm * norm;
  }
  for (double sum : sums) total += sum;
  return std::sqrt(total);
}

void clip_gradients(const std::vector<OptimParameter>& parameters, double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm <= 0 || !(factor < 1.0)) return;
  std::vector<at::Tensor> gradients;
  for (const OptimParameter& parameter : parameters) {
    if (parameter.value.grad().defined()) gradients.push_back(parameter.value.grad().detach());
  }
  if (!gradients.empty()) at::_foreach_mul_(gradients, factor);
}

namespace reference {

double gradient_norm(const std::vector<OptimParameter>& parameters) {
  double total = 0;
  for (const OptimParameter& parameter : parameters) {
    if (parameter.value.grad().defined())
      total += parameter.value.grad().to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(total);
}

}  // namespace reference

}  // namespace temper
