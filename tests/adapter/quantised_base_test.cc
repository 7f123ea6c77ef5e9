// Adapters on a model whose linears are quantised.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "adapter/lora/lora.h"
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
