#include "merge/statistics.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "adapter/input_covariance.h"
#include "base/error.h"
#include "base/random.h"

namespace temper {
namespace {

constexpr const char* kKey = "merge_statistics";

struct Batch {
  PackedTokens tokens;
  Targets targets;
};

Batch batch_of(const Example& example, at::Device device) {
  Packer packer;
  const int64_t segment = packer.add_segment(example.ids);
  for (size_t i = 0; i < example.target.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (example.target[i]) packer.add_targets(segment, at, at + 1, 0);
  }
  return {packer.tokens_on(device), packer.targets_on(device, 1)};
}

// Each target drawn from the model's distribution, by the inverse of its CDF.
at::Tensor drawn_targets(Model& model, const Batch& batch, uint64_t seed, size_t example) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = model.hidden(batch.tokens).index_select(0, batch.targets.source);
  const at::Tensor cdf = model.logits(rows).to(at::kDouble).softmax(-1).cumsum(-1);
  RandomStream random(seed, "merge.labels", example);
  at::Tensor u = at::empty({rows.size(0), 1}, at::kDouble);
  for (int64_t i = 0; i < u.size(0); ++i) u[i][0] = random.uniform();
  return at::searchsorted(cdf.cpu(), u, /*out_int32=*/false, /*right=*/true)
      .squeeze(1)
      .clamp_max(model.config().vocab - 1)
      .to(batch.targets.token.device());
}

// log p of the example's targets, differentiable.
at::Tensor log_likelihood(Model& model, Batch& batch, const StatisticsOptions& options, size_t example) {
  if (options.sampled_labels) batch.targets.token = drawn_targets(model, batch, options.seed, example);
  return model_logp(model, batch.tokens, batch.targets).logp.sum();
}

NamedTensors fisher(Model& model, const std::vector<Example>& examples, const StatisticsOptions& options,
                    const std::function<void(size_t)>& done, int64_t& used) {
  model.set_trainable([](const std::string&) { return true; });
  NamedTensors sums;
  for (const Parameter* p : model.parameters())
    sums.emplace_back(p->name + ".fisher", at::zeros_like(p->master));
  const auto parameters = model.parameters();
  for (size_t e = 0; e < examples.size(); ++e) {
    Batch batch = batch_of(examples[e], model.precision().device);
    if (batch.targets.token.numel() > 0) {
      log_likelihood(model, batch, options, e).backward();
      const at::NoGradGuard no_grad;
      for (size_t i = 0; i < parameters.size(); ++i) {
        at::Tensor& gradient = parameters[i]->master.mutable_grad();
        if (gradient.defined()) sums[i].second.addcmul_(gradient, gradient);
        gradient.reset();
      }
      ++used;
    }
    if (done) done(e + 1);
  }
  const at::NoGradGuard no_grad;
  for (auto& [name, sum] : sums) sum = sum.detach().div_(static_cast<double>(std::max<int64_t>(1, used)));
  return sums;
}

NamedTensors moments(Model& model, const std::vector<Example>& examples, const StatisticsOptions& options,
                     const std::function<void(size_t)>& done, int64_t& used) {
  const bool gradients = options.kind == "kfac";
  // Gradients flow from the embedding on; no weight of a linear needs its own.
  model.set_trainable(
      [&](const std::string& name) { return gradients && name == "model.embed_tokens.weight"; });
  const std::vector<std::string>& modules = model.linear_modules();
  LinearMoments sums(model, std::vector<bool>(modules.size(), true), {.gradients = gradients});
  for (size_t e = 0; e < examples.size(); ++e) {
    Batch batch = batch_of(examples[e], model.precision().device);
    if (gradients && batch.targets.token.numel() > 0) {
      if (options.sampled_labels) {
        const LinearMoments::Pause pause(sums);
        batch.targets.token = drawn_targets(model, batch, options.seed, e);
      }
      model_logp(model, batch.tokens, batch.targets).logp.sum().backward();
      model.find("model.embed_tokens.weight")->master.mutable_grad().reset();
      ++used;
    } else if (!gradients && batch.tokens.tokens() > 0) {
      const at::NoGradGuard no_grad;
      model.hidden(batch.tokens);
      ++used;
    }
    if (done) done(e + 1);
  }
  NamedTensors out;
  const double tokens = static_cast<double>(std::max<int64_t>(1, sums.rows));
  for (size_t m = 0; m < modules.size() && used > 0; ++m) {
    out.emplace_back(modules[m] + ".gram", sums.input[m] / tokens);
    if (gradients) out.emplace_back(modules[m] + ".gradient_gram", sums.gradient[m] / tokens);
  }
  return out;
}

}  // namespace

const std::vector<std::string>& statistics_kinds() {
  static const std::vector<std::string> kinds = {"gram", "fisher", "kfac"};
  return kinds;
}

void write_statistics(Model& model, const std::vector<Example>& examples, const StatisticsOptions& options,
                      const std::string& path, const std::function<void(size_t)>& done) {
  if (model.precision().compute != at::kFloat) bug("statistics are taken in fp32");
  if (!model.config().causal) user_error("statistics: expected a model with a language-model head");
  int64_t used = 0;
  const auto collect = options.kind == "fisher" ? fisher : moments;
  const NamedTensors tensors = collect(model, examples, options, done, used);
  if (used == 0)
    user_error("statistics: none of the {} examples has a target to take them on", examples.size());
  write_safetensors(path, tensors,
                    {{"format", "pt"}, {kKey, options.kind}, {"examples", std::to_string(used)}});
}

std::unique_ptr<SafetensorsFile> open_statistics(const std::string& path, const std::string& kind) {
  auto file = std::make_unique<SafetensorsFile>(path);
  const auto found = file->metadata().find(kKey);
  if (found == file->metadata().end())
    user_error("{}: expected statistics that temper-convert --statistics {} made, found other tensors", path,
               kind);
  if (found->second != kind && !(found->second == "kfac" && kind == "gram"))
    user_error("{}: expected statistics of kind {}, found {}; make them by temper-convert --statistics {}",
               path, kind, found->second, kind);
  return file;
}

}  // namespace temper
