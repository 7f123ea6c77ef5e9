// Adapters on a model whose linears are quantised.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "adapter/lora/lora.h"
#include "adapter/outputs.h"
#include "base/error.h"
#include "model/golden_families.h"
#include "tensor/compare.h"
#include "test.h"

using namespace temper;
using at::Tensor;

TEST_CASE("merging into a quantised base adds in fp32 and quantises once more") {
  for (const auto kind : {QuantFormat::Kind::kInt8, QuantFormat::Kind::kNf4}) {
    Precision precision;
    precision.quantise = {kind};
    const auto model = Model::load(test_file("model/golden/llama3"), precision);
    LoraOptions options;
    options.rank = 4;
    options.targets = Json::array({"q_proj", "down_proj"});
    const auto adapter = options.attach(*model, 1);
    const at::NoGradGuard no_grad;
    at::manual_seed(5);
    for (const auto& [name, tensor] : adapter->trainable()) at::Tensor(tensor).normal_(0.0, 0.1);
    adapter->refresh();
    std::map<std::string, Tensor> expected;
    for (const LoraModule& m : dynamic_cast<LoraAdapter&>(*adapter).modules()) {
      const Parameter* p = model->find(m.path + ".weight");
      const Tensor sum = at::addmm(p->values(), m.b, m.a, 1.0, m.scale);
      expected[p->name] = reference::dequantise(quantise(sum, precision.quantise), at::kFloat);
    }
    CHECK(expected.size() == static_cast<size_t>(2 * model->config().layers));
    const Parameter* untouched = model->find("model.layers.0.self_attn.k_proj.weight");
    const Tensor before = untouched->values();
    const double change = merge_adapter(*model, *adapter, {1, 2, 3, 4, 5, 6});
    CHECK(change > 0);
    CHECK(model->delta() == nullptr);
    for (const auto& [name, values] : expected) CHECK(at::equal(model->find(name)->values(), values));
    CHECK(at::equal(untouched->values(), before));
  }
}

namespace {

LoraOptions on_attention() {
  LoraOptions options;
  options.rank = 3;
  options.targets = R"(.*\.self_attn\..*)";
  return options;
}

LoraOptions on_experts() {
  LoraOptions options = on_attention();
  options.target_parameters = {"experts.gate_up_proj", "experts.down_proj"};
  return options;
}

}  // namespace

TEST_CASE("experts in few bits: log-probs and LoRA's gradients are those of the dequantised weights") {
  for (const std::string& mixture : kMixtures) {
    const auto ids = golden_sequences(read_json_file(family_folder(mixture) + "/golden.json"))[2].ids;
    for (const auto kind : {QuantFormat::Kind::kInt8, QuantFormat::Kind::kNf4}) {
      for (const LoraOptions& options : {on_attention(), on_experts()}) {
        CAPTURE(mixture);
        Precision precision;
        precision.quantise = {kind};
        const auto model = Model::load(family_folder(mixture), precision),
                   dense = Model::load(family_folder(mixture), {});
        int64_t experts = 0;
        for (Parameter* p : model->parameters()) {
          if (!p->quantised) continue;
          experts += p->compute.dim() == 3 ? 1 : 0;
          CHECK(p->quantised->bytes() < p->compute.numel() * (kind == QuantFormat::Kind::kInt8 ? 2 : 1));
          Parameter* twin = dense->find(p->name);
          CHECK(worst(p->values(), twin->values()) > 0);
          twin->assign(p->values());
        }
        CHECK(experts >= 2);
        const auto adapter = attached(*model, options), other = attached(*dense, options);
        const Tensor y = logp_of(*model, ids), expected = logp_of(*dense, ids);
        CHECK(worst(y.detach(), expected.detach()) < 1e-5);
        y.mean().backward();
        expected.mean().backward();
        const auto ours = adapter->trainable(), theirs = other->trainable();
        for (size_t i = 0; i < ours.size(); ++i) {
          CAPTURE(ours[i].first);
          CHECK(worst(ours[i].second.grad(), theirs[i].second.grad()) < 1e-4);
        }
      }
    }
  }
}

TEST_CASE("experts in few bits: merging quantises once more, and neither they nor their biases train") {
  Precision precision;
  precision.quantise = {QuantFormat::Kind::kNf4};
  const auto model = Model::load(family_folder("gpt_oss"), precision);
  for (const char* name :
       {"model.layers.1.mlp.experts.gate_up_proj", "model.layers.1.mlp.experts.down_proj_bias",
        "model.layers.1.self_attn.q_proj.bias"}) {
    CAPTURE(std::string(name));
    CHECK_THROWS_AS(model->set_trainable([&](const std::string& other) { return other == name; }), UserError);
  }
  CHECK_NOTHROW(
      model->set_trainable([](const std::string& name) { return name.ends_with("mlp.gate.weight"); }));
  const auto adapter = attached(*model, on_experts());
  Parameter* p = model->find("model.layers.1.mlp.experts.down_proj");
  const LoraModule* module = nullptr;
  for (const LoraModule& m : dynamic_cast<LoraAdapter&>(*adapter).modules())
    if (m.parameter == p) module = &m;
  REQUIRE(module != nullptr);
  const Tensor sum = dynamic_cast<LoraAdapter&>(*adapter).merged_weight(*module);
  CHECK(worst(sum, p->values()) > 0.01);
  const Tensor expected =
      reference::dequantise(quantise(sum.view({-1, sum.size(2)}), precision.quantise), at::kFloat);
  merge_adapter(*model, *adapter, {1, 2, 3, 4, 5, 6});
  CHECK(at::equal(p->values(), expected.view(sum.sizes())));
}
