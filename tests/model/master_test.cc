#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "model/model.h"
#include "test.h"

using namespace temper;

TEST_CASE("a master that is elsewhere takes gradients, and compute is left alone") {
  ModelConfig config;
  config.family = "llama";
  config.vocab = 20;
  config.hidden = config.intermediate = 16;
  config.layers = 1;
  config.heads = config.kv_heads = 2;
  config.head_dim = 8;
  config.max_positions = 32;
  for (const bool tied : {false, true}) {
    config.tied = tied;
    Precision precision;
    precision.compute = at::kBFloat16;
    Packer packer;
    packer.add_targets(packer.add_segment({1, 5, 3, 7}), 0, 4, 0);
    const PackedTokens tokens = packer.tokens_on(at::kCPU);
    const Targets targets = packer.targets_on(at::kCPU, 1);
    const auto gradients = [&](Model& model) {
      torch::autograd::backward({model_logp(model, tokens, targets).logp.sum()}, {});
      std::map<std::string, at::Tensor> out;
      for (const Parameter* p : model.parameters()) out[p->name] = p->master.grad();
      return out;
    };
    const auto whole = Model::initialise(config, precision, 3),
               left = Model::initialise(config, precision, 3);
    int64_t gone = 0;
    for (Model* model : {whole.get(), left.get()})
      model->set_trainable([](const std::string&) { return true; });
    for (Parameter* p : left->parameters()) {
      const bool norm = p->name.find("norm") != std::string::npos;
      CHECK(p->master_may_leave() == !norm);
      if (norm) continue;
      p->leave_master();
      ++gone;
      CHECK(p->master.sizes() == p->compute.sizes());
      CHECK(p->master.storage().nbytes() == 4);
    }
    CHECK(gone == (tied ? 8 : 9));
    const auto expected = gradients(*whole), found = gradients(*left);
    for (const auto& [name, gradient] : expected) {
      CAPTURE(name);
      REQUIRE(found.at(name).defined());
      CHECK(found.at(name).is_contiguous());
      CHECK((found.at(name).scalar_type() == at::kFloat));
      CHECK(at::equal(found.at(name), gradient));
    }
    left->refresh();
    for (const Parameter* p : left->parameters()) CHECK(at::equal(p->compute, whole->find(p->name)->compute));
    Parameter* p = left->find("model.embed_tokens.weight");
    p->train();
    CHECK_FALSE(p->master_elsewhere);
    CHECK(at::equal(p->master.detach(), p->compute.to(at::kFloat)));
  }
}
