// Models with quantised linears beside the same models with the dequantised weights.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "model/golden_models.h"
#include "model/model.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;
using at::Tensor;
using Kind = QuantFormat::Kind;

namespace {

const QuantFormat kFormats[] = {{Kind::kInt8}, {Kind::kNf4, false}, {Kind::kNf4, true}};

std::unique_ptr<Model> load(const std::string& folder, const QuantFormat& format, at::ScalarType compute) {
  Precision precision{compute, at::kCPU};
  precision.quantise = format;
  return Model::load(folder, precision);
}

bool is_linear(const Model& model, const std::string& name) {
  for (const std::string& module : model.linear_modules()) {
    if (name == module + ".weight") return true;
  }
  return false;
}

// A prompt with two answers.
PackedTokens tokens_of(const Model& model, Targets* targets) {
  const int64_t vocab = model.config().vocab;
  Packer packer;
  const auto root = packer.add_segment({1, 5 % vocab, 9 % vocab, 3, 2});
  for (int64_t i = 0; i < 2; ++i) {
    const auto answer = packer.add_segment({4, 2, 7 + i, 1, 6}, root);
    packer.add_targets(answer, 0, 5, i);
  }
  *targets = packer.targets_on(at::kCPU, 2);
  return packer.tokens_on(at::kCPU);
}

// Log-probs, and the gradient of their sum to what is added to the embeddings.
std::pair<Tensor, Tensor> logp_and_gradient(Model& model, int64_t checkpoint_every) {
  Targets targets;
  const PackedTokens tokens = tokens_of(model, &targets);
  ForwardOptions options;
  options.checkpoint_every = checkpoint_every;
  options.embedding_noise = at::zeros({tokens.ids.numel(), model.config().hidden}).requires_grad_(true);
  const Tensor logp = model_logp(model, tokens, targets, {}, options).logp;
  torch::autograd::backward({logp.sum()}, {});
  return {logp.detach(), options.embedding_noise.grad()};
}

double largest_difference(const Tensor& a, const Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace

TEST_CASE("a quantised model computes what the dequantised weights compute") {
  for (const std::string family : {"llama3", "mistral", "qwen2", "qwen3"}) {
    for (const QuantFormat& format : kFormats) {
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        CAPTURE(family);
        CAPTURE(std::string(quant_name(format.kind)));
        const auto model = load(golden(family), format, dtype), twin = load(golden(family), {}, dtype);
        size_t linears = 0;
        double changed = 0;
        for (Parameter* p : model->parameters()) {
          Parameter* dense = twin->find(p->name);
          REQUIRE(dense != nullptr);
          CHECK((p->quantised != nullptr) == is_linear(*model, p->name));
          CHECK(p->compute.sizes() == dense->compute.sizes());
          CHECK(p->compute.is_meta() == (p->quantised != nullptr));
          if (!p->quantised) continue;
          ++linears;
          changed = std::max(changed, largest_difference(p->values(), dense->values()));
          dense->assign(p->values());
        }
        CHECK(linears == model->linear_modules().size());
        CHECK(changed > 0);
        const auto [logp, gradient] = logp_and_gradient(*model, 0);
        const auto [expected, expected_gradient] = logp_and_gradient(*twin, 0);
        const double scale = expected_gradient.abs().max().item<double>();
        CHECK(scale > 0);
        CHECK(largest_difference(logp, expected) < (dtype == at::kFloat ? 1e-5 : 0.05));
        CHECK(largest_difference(gradient, expected_gradient) < scale * (dtype == at::kFloat ? 1e-5 : 0.1));
        const auto [again, recomputed] = logp_and_gradient(*model, 1);
        CHECK(largest_difference(again, logp) == 0);
        CHECK(largest_difference(recomputed, gradient) < scale * 1e-6);
      }
    }
  }
}

TEST_CASE("a quantised model is saved with the values it computes with") {
  const TempFolder folder;
  const auto model = load(golden("qwen2"), {Kind::kNf4}, at::kFloat);
  model->save(folder.text(), at::kFloat);
  const auto saved = load(folder.text(), {}, at::kFloat);
  for (Parameter* p : model->parameters()) {
    CAPTURE(p->name);
    CHECK(largest_difference(p->values(), saved->find(p->name)->values()) == 0);
  }
}

TEST_CASE("what is assigned to a quantised weight is quantised") {
  const auto model = load(golden("llama3"), {Kind::kInt8}, at::kFloat);
  Parameter* p = model->find("model.layers.0.self_attn.q_proj.weight");
  const Tensor values = p->values() * 2 + 0.01;
  p->assign(values);
  CHECK(at::equal(p->values(), reference::dequantise(quantise(values, {Kind::kInt8}), at::kFloat)));
}

TEST_CASE("quantised linears cannot train, the rest can") {
  for (const std::string name :
       {"model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.bias"}) {
    const auto model = load(golden("qwen2"), {Kind::kNf4}, at::kFloat);
    try {
      model->set_trainable([&](const std::string& n) { return n == name; });
      FAIL("expected a UserError");
    } catch (const UserError& e) {
      CHECK(std::string(e.what()).find(name) != std::string::npos);
    }
  }
  const auto model = load(golden("qwen2"), {Kind::kNf4}, at::kFloat);
  model->set_trainable([](const std::string& n) { return n == "model.norm.weight"; });
  logp_and_gradient(*model, 0);
  CHECK(model->find("model.norm.weight")->master.grad().abs().max().item<double>() > 0);
}

TEST_CASE("a model of shapes alone has the bytes of the loaded one; what was lost is told") {
  for (const QuantFormat& format : kFormats) {
    const auto model = load(golden("qwen3"), format, at::kFloat);
    const auto shapes = Model::shapes_only(model->config(), model->precision());
    for (Parameter* p : model->parameters()) {
      Parameter* shape = shapes->find(p->name);
      REQUIRE((p->quantised != nullptr) == (shape->quantised != nullptr));
      if (p->quantised) CHECK(p->quantised->bytes() == shape->quantised->bytes());
    }
    const std::string line = quantisation_summary(*model);
    CAPTURE(line);
    for (const char* kind : {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
      CHECK(line.find(kind) != std::string::npos);
    CHECK(line.find('\n') == std::string::npos);
  }
  CHECK(quantisation_summary(*load(golden("qwen3"), {}, at::kFloat)) == "");
}

TEST_CASE("fresh weights are quantised too") {
  const ModelConfig config = load(golden("llama3"), {}, at::kFloat)->config();
  Precision precision;
  const auto dense = Model::initialise(config, precision, 3);
  precision.quantise = {Kind::kInt8};
  const auto model = Model::initialise(config, precision, 3);
  for (Parameter* p : model->parameters()) {
    const Tensor values = dense->find(p->name)->values();
    CHECK(largest_difference(p->values(), values) <=
          (p->quantised ? 0.01 : 0.0) * values.abs().max().item<double>());
  }
}
