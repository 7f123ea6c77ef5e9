// aTLAS: the gradient of its coefficients against finite differences, that it learns, and its partitions.
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "base/file.h"
#include "cases.h"
#include "data/records.h"
#include "merge/recipe.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace temper {
namespace {

// A base with a tokenizer, and two models away from it: one towards what the data say, one anywhere.
struct World {
  TempFolder folder;
  std::string base = folder.text("base"), data;
  World() {
    const at::NoGradGuard no_grad;
    std::vector<std::string> texts;
    for (int i = 0; i < 40; ++i) texts.push_back("one two three four five six " + std::to_string(i));
    fs::create_directories(base);
    train_sentencepiece(texts, 300, base);
    ModelConfig config;
    config.family = "llama";
    config.vocab = Tokenizer::load(base)->vocab_size();
    config.hidden = 16;
    config.intermediate = 24;
    config.layers = 1;
    config.heads = 2;
    config.kv_heads = 1;
    config.head_dim = 8;
    const auto model = Model::initialise(config, Precision{}, 3);
    model->save(base, at::kFloat);
    for (const std::string name : {"a", "b"}) {
      const auto other = Model::initialise(config, Precision{}, name == "a" ? 4 : 5);
      for (Parameter* p : other->parameters()) p->master.mul_(2);
      other->save(folder.text(name), at::kFloat);
    }
    data = folder.write("data.jsonl", "{\"text\": \"one two three\"}\n{\"text\": \"four five six\"}\n");
  }
  Json recipe(Json own) const {
    Json out = {{"method", "atlas"},
                {"base", base},
                {"data", Json::array({data})},
                {"batch_size", 2},
                {"models", {{{"path", folder.text("a")}}, {{"path", folder.text("b")}}}}};
    out.update(own);
    return out;
  }
};

Json merge(const Json& json, const std::string& to) {
  MergeRecipe recipe;
  read_fields(recipe, json, "recipe", ".");
  return merge_models(recipe, to, {});
}

}  // namespace

TEST_CASE(
    "atlas: no step is the base; the loss falls; merge.json has a coefficient for each tensor and model") {
  const World world;
  const Json none = merge(world.recipe({{"steps", 0}}), world.folder.text("none"));
  CHECK(none["change"] == 0.0);
  const Json learnt = merge(world.recipe({{"steps", 30}, {"lr", 0.05}}), world.folder.text("out"));
  const auto losses = learnt["losses"].get<std::vector<double>>();
  CHECK(losses.size() == 30);
  CHECK(losses.back() < losses.front() - 0.05);
  CHECK(learnt["change"].get<double>() > 0);
  for (const auto& [name, row] : learnt["tensors"].items()) {
    CAPTURE(name);
    CHECK(row["coefficients"].size() == 2);
    CHECK(row["coefficients"][0].size() == 1);
  }
  CHECK(learnt["coefficients"] == 2 * learnt["tensors"].size());
  CHECK(read_json_file(world.folder.text("out/merge.json")) == learnt);
  // The same seed, the same bytes.
  merge(world.recipe({{"steps", 30}, {"lr", 0.05}}), world.folder.text("again"));
  CHECK(world.folder.read("out/model.safetensors") == world.folder.read("again/model.safetensors"));
}

TEST_CASE("atlas: by entropy without labels, of prompts too; partitions have coefficients of their own") {
  const World world;
  const std::string prompts = world.folder.write("prompts.jsonl", "{\"prompt\": \"one two three four\"}\n");
  const Json learnt = merge(world.recipe({{"steps", 12},
                                          {"lr", 0.05},
                                          {"objective", "entropy"},
                                          {"partitions", 3},
                                          {"data", Json::array({prompts})}}),
                            world.folder.text("out"));
  const auto losses = learnt["losses"].get<std::vector<double>>();
  CHECK(losses.back() < losses.front());
  CHECK(learnt["coefficients"] == 6 * learnt["tensors"].size());
  CHECK_THROWS_AS(merge(world.recipe({{"data", Json::array({prompts})}}), world.folder.text("no")),
                  UserError);
}

TEST_CASE("atlas: the first step goes down the gradient that differences of the loss give") {
  const World world;
  // AdamW's first step without decay is lr times the sign of the gradient.
  const Json once =
      merge(world.recipe({{"steps", 1}, {"lr", 1e-3}, {"weight_decay", 0}}), world.folder.text("once"));
  const auto loss_at = [&](const std::string& tensor, size_t model, double lambda) {
    const at::NoGradGuard no_grad;
    const auto base = Model::load(world.base, Precision{}),
               other = Model::load(world.folder.text(model == 0 ? "a" : "b"), Precision{});
    at::Tensor& w = base->find(tensor)->master;
    w.add_(other->find(tensor)->master - w, lambda);
    double nll = 0;
    int64_t targets = 0;
    const auto tokenizer = Tokenizer::load(world.base);
    for (const Record& record : read_records({world.data})) {
      const Example example = RecordEncoder(*tokenizer, nullptr, {}).supervised(record);
      Packer packer;
      packer.add_targets(packer.add_segment(example.ids), 0, static_cast<int64_t>(example.ids.size()), 0);
      const at::Tensor logp =
          model_logp(*base, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp;
      nll -= logp.sum(at::kDouble).item<double>();
      targets += logp.size(0);
    }
    return nll / static_cast<double>(targets);
  };
  int compared = 0;
  for (const std::string tensor : {"model.embed_tokens.weight", "model.layers.0.self_attn.v_proj.weight",
                                   "model.layers.0.mlp.down_proj.weight", "model.norm.weight"}) {
    for (const size_t model : {0, 1}) {
      CAPTURE(tensor);
      CAPTURE(model);
      const double slope = (loss_at(tensor, model, 0.02) - loss_at(tensor, model, -0.02)) / 0.04;
      const double step = once["tensors"][tensor]["coefficients"][model][0].get<double>();
      if (std::abs(slope) < 1e-4) continue;
      CHECK(step == doctest::Approx(slope > 0 ? -1e-3 : 1e-3).epsilon(0.02));
      ++compared;
    }
  }
  CHECK(compared >= 4);
}

}  // namespace temper
