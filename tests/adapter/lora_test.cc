// LoRA against its formula, against PEFT's files and log-probs (scripts/oracles/peft_lora.py), and malformed
// folders.
#include "adapter/lora/lora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <fstream>
#include <set>

#include "adapter/lora/product.h"
#include "adapter/outputs.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "temp_folder.h"
#include "tensor/safetensors.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

const std::string kAdapters[] = {"names", "all_linear", "patterns", "saved_modules", "saved_tied"};

std::string lora_folder(const std::string& name) {
  return test_file("adapter/golden/" + name);
}
Json golden(const std::string& name) {
  return read_json_file(lora_folder(name) + "/golden.json");
}
std::unique_ptr<Model> base_model(const std::string& name, at::ScalarType compute = at::kFloat) {
  return Model::load(test_file("model/golden/" + name), Precision{compute, at::kCPU});
}

struct Batch {
  PackedTokens tokens;
  Targets targets;
};
Batch batch_of(const std::vector<int64_t>& ids) {
  Packer packer;
  packer.add_targets(packer.add_segment(ids), 0, static_cast<int64_t>(ids.size()), 0);
  return {packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)};
}
double distance(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("lora product: values and gradients equal the plain formula's, one part or several, with dropout") {
  at::manual_seed(1);
  for (const double p : {0.0, 0.3}) {
    for (const int64_t count : {1, 2}) {
      const Dropout dropout{p, 5, 6, 7};
      auto leaf = [](std::vector<int64_t> shape) { return at::randn(shape).requires_grad_(true); };
      const Tensor x = leaf({9, 6}), wide = leaf({9, 12}), weight = at::randn({9, 12});
      // Columns 1..5 with rank 3, 8..11 with rank 2; the rest is nobody's.
      std::vector<LoraPart> parts = {{leaf({3, 6}), leaf({5, 3}), {}, 1, 1.5}};
      if (count == 2) parts.push_back({leaf({2, 6}), leaf({4, 2}), {}, 8, 0.5});
      std::vector<Tensor> rows, leaves = {x, wide};
      for (LoraPart& part : parts) {
        part.b_work = part.b.detach() * part.scale;
        rows.push_back(part.a.detach());
        leaves.push_back(part.a);
        leaves.push_back(part.b);
      }
      const Tensor a_work = at::cat(rows);
      auto run = [&](bool fast) {
        for (const Tensor& t : leaves) t.mutable_grad() = Tensor();
        const Tensor y = wide * 1.0;
        const Tensor out =
            fast ? lora_product(x, y, a_work, parts, dropout) : reference::lora_product(x, y, parts, dropout);
        (out * weight).sum().backward();
        std::vector<Tensor> found = {out.detach()};
        for (const Tensor& t : leaves) found.push_back(t.grad());
        return found;
      };
      const auto expected = run(false), found = run(true);
      for (size_t i = 0; i < expected.size(); ++i) CHECK(distance(found[i], expected[i]) < 1e-5);
      const at::NoGradGuard no_grad;
      CHECK(distance(lora_product(x, wide.clone(), a_work, parts, dropout), expected[0]) < 1e-5);
    }
  }
}

TEST_CASE("lora product: bf16 in, fp32 gradients of the masters") {
  at::manual_seed(2);
  const Tensor x = at::randn({40, 32}).to(at::kBFloat16).requires_grad_(true),
               y = at::randn({40, 24}).to(at::kBFloat16);
  const Tensor a = (at::randn({4, 32}) / 8).requires_grad_(true),
               b = (at::randn({24, 4}) / 8).requires_grad_(true);
  const std::vector<LoraPart> parts = {{a, b, (b.detach() * 2).to(at::kBFloat16), 0, 2.0}};
  const Tensor out = lora_product(x, y, a.detach().to(at::kBFloat16), parts);
  CHECK((out.scalar_type() == at::kBFloat16));
  out.sum().backward();
  CHECK((a.grad().scalar_type() == at::kFloat));
  CHECK((x.grad().scalar_type() == at::kBFloat16));
  const Tensor gb = 2 * at::mm(at::ones({24, 40}), at::mm(x.detach().to(at::kFloat), a.detach().t()));
  CHECK(distance(b.grad(), gb) < 0.02 * gb.abs().max().item<double>());
}

TEST_CASE("dropout mask: a function of its numbers, right share, unbiased") {
  const Dropout d{0.25, 1, 2, 3};
  const Tensor mask = dropout_mask(d, 300, 333, at::kFloat);
  CHECK(mask.equal(dropout_mask(d, 300, 333, at::kFloat)));
  CHECK(mask.slice(0, 0, 100).equal(dropout_mask(d, 100, 333, at::kFloat)));
  CHECK_FALSE(mask.equal(dropout_mask({0.25, 1, 2, 4}, 300, 333, at::kFloat)));
  CHECK_FALSE(mask.equal(dropout_mask({0.25, 1, 3, 3}, 300, 333, at::kFloat)));
  CHECK(std::abs((mask == 0).to(at::kFloat).mean().item<double>() - 0.25) < 0.01);
  CHECK(std::abs(mask.mean().item<double>() - 1.0) < 0.01);
}

TEST_CASE("lora: adapters that PEFT saved give PEFT's log-probs; off, the base's; merged, the merged ones") {
  for (const std::string& name : kAdapters) {
    CAPTURE(name);
    const Json expected = golden(name);
    const auto ids = expected["ids"].get<std::vector<int64_t>>();
    const auto model = base_model(expected["model"]);
    const auto adapter = load_adapter(*model, lora_folder(name));
    CHECK(distance(logp(*model, ids), expected["logprobs"]) < 2e-5);
    adapter->set_enabled(false);
    CHECK(distance(logp(*model, ids), expected["base"]) < 2e-5);
    adapter->set_enabled(true);
    CHECK(distance(logp(*model, ids), expected["logprobs"]) < 2e-5);
    CHECK(merge_adapter(*model, *adapter, ids) < 1e-4);
    CHECK(model->delta() == nullptr);
    CHECK(distance(logp(*model, ids), expected["merged"]) < 2e-5);
  }
}

TEST_CASE("lora: files written again are PEFT's, byte for byte and key for key") {
  for (const std::string& name : kAdapters) {
    CAPTURE(name);
    const TempFolder folder;
    const auto model = base_model(golden(name)["model"]);
    load_adapter(*model, lora_folder(name))->save(folder.text() + "/out", at::kFloat);
    const std::string tensors = "/adapter_model.safetensors", config = "/adapter_config.json";
    CHECK(read_file(folder.text() + "/out" + tensors) == read_file(lora_folder(name) + tensors));
    Json ours = read_json_file(folder.text() + "/out" + config),
         theirs = read_json_file(lora_folder(name) + config);
    std::vector<std::string> our_keys, their_keys;
    for (const auto& [key, value] : ours.items()) our_keys.push_back(key);
    for (const auto& [key, value] : theirs.items()) their_keys.push_back(key);
    CHECK(our_keys == their_keys);
    // PEFT writes "all-linear" and lists of names in any order, and whole paths for the former.
    if (theirs["target_modules"].is_array()) {
      ours.erase("target_modules");
      theirs.erase("target_modules");
    }
    CHECK(ours == theirs);
    const auto again = base_model(golden(name)["model"]);
    const auto adapter = load_adapter(*again, folder.text() + "/out");
    CHECK(distance(logp(*again, golden(name)["ids"]), golden(name)["logprobs"]) < 2e-5);
  }
}

TEST_CASE("lora: a fresh adapter changes nothing, and only it and the saved modules get gradients") {
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    const auto model = base_model("mistral", compute);
    const std::vector<int64_t> ids = golden("saved_modules")["ids"];
    const Tensor before = logp(*model, ids);
    LoraOptions options;
    options.rank = 4;
    options.modules_to_save = {"lm_head"};
    const auto adapter = options.attach(*model, 11);
    CHECK(logp(*model, ids).equal(before));
    const auto trainable = adapter->trainable();
    CHECK(trainable.size() == 2 * 14 + 1);
    CHECK(trainable[0].first == "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    CHECK(trainable.back().first == "lm_head.weight");
    const double bound = 1.0 / std::sqrt(32.0);
    CHECK(trainable[0].second.abs().max().item<double>() <= bound);
    CHECK(trainable[0].second.abs().max().item<double>() > 0.9 * bound);

    const Batch batch = batch_of(ids);
    model_logp(*model, batch.tokens, batch.targets).logp.mean().backward();
    for (const auto& [name, tensor] : trainable) {
      CAPTURE(name);
      CHECK((tensor.scalar_type() == at::kFloat));
      REQUIRE(tensor.grad().defined());
      CHECK((tensor.grad().scalar_type() == at::kFloat));
      if (!name.ends_with("lora_A.weight"))
        CHECK(tensor.grad().abs().max().item<double>() > 0);  // A's is 0 while B is
    }
    for (const Parameter* p : model->parameters())
      CHECK(p->master.requires_grad() == (p->name == "lm_head.weight"));

    {
      const at::NoGradGuard no_grad;
      for (const auto& [name, tensor] : trainable) tensor.sub_(tensor.grad(), -2.0);
    }
    adapter->refresh();
    CHECK(distance(logp(*model, ids), before) > 1e-2);
    CHECK(logp(*model, ids).mean().item<double>() > before.mean().item<double>());
    adapter->set_enabled(false);
    CHECK(logp(*model, ids).equal(before));
    adapter->set_enabled(true);
    CHECK(distance(logp(*model, ids), before) > 1e-2);
  }
}

TEST_CASE("lora: recomputed blocks draw the same dropout mask; another micro-batch draws another") {
  const auto model = base_model("qwen3");
  LoraOptions options;
  options.dropout = 0.4;
  const auto adapter = options.attach(*model, 3);
  {
    const at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : adapter->trainable()) {
      if (name.ends_with("lora_B.weight")) tensor.copy_(at::randn_like(tensor) * 0.1);
    }
  }
  adapter->refresh();
  const Batch batch = batch_of(golden("all_linear")["ids"]);
  auto run = [&](int64_t checkpoint_every, uint64_t micro_batch) {
    adapter->set_step(1, 2, micro_batch);
    for (const auto& [name, tensor] : adapter->trainable()) tensor.mutable_grad() = Tensor();
    ForwardOptions forward;
    forward.checkpoint_every = checkpoint_every;
    forward.training = true;
    const Tensor loss = model_logp(*model, batch.tokens, batch.targets, {}, forward).logp.mean();
    loss.backward();
    std::vector<Tensor> out = {loss.detach()};
    for (const auto& [name, tensor] : adapter->trainable()) out.push_back(tensor.grad().clone());
    return out;
  };
  const auto plain = run(0, 0), recomputed = run(1, 0), other = run(0, 1);
  for (size_t i = 0; i < plain.size(); ++i) CHECK(plain[i].equal(recomputed[i]));
  CHECK_FALSE(plain[0].equal(other[0]));
  CHECK(run(0, 0)[0].equal(plain[0]));
}

TEST_CASE("lora: the seed alone decides the initial weights") {
  LoraOptions options;
  auto first_a = [&](uint64_t seed) {
    const auto model = base_model("llama3");
    return options.attach(*model, seed)->trainable()[0].second.detach().clone();
  };
  CHECK(first_a(1).equal(first_a(1)));
  CHECK_FALSE(first_a(1).equal(first_a(2)));
}

TEST_CASE("full: everything trains, by the model's names, and saves as a model folder") {
  const TempFolder folder;
  const auto model = base_model("qwen2", at::kBFloat16);
  const auto adapter = adapter_registry().find("full")->make()->attach(*model, 0);
  CHECK(adapter->trainable().size() == model->parameters().size());
  CHECK_FALSE(adapter->can_switch_off());
  CHECK_THROWS_AS(adapter->set_enabled(false), std::logic_error);
  for (const auto& [name, tensor] : adapter->trainable())
    CHECK((tensor.requires_grad() && tensor.scalar_type() == at::kFloat));
  adapter->save(folder.text(), at::kFloat);
  const auto ids = golden("patterns")["ids"].get<std::vector<int64_t>>();
  const auto again = Model::load(folder.text(), Precision{});
  CHECK(distance(logp(*again, ids), golden("patterns")["base"]) < 2e-5);
}

TEST_CASE("lora: options that make no sense, all named") {
  auto problems = [](const std::string& json) {
    LoraOptions options;
    try {
      read_fields(options, parse_json(json, "text"), "adapter", "");
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(problems("{}") == "");
  CHECK(problems(R"({"targets": ["q_proj"], "rank_pattern": {"q_proj": 4}})") == "");
  for (const char* bad : {R"({"rank": 0})", R"({"alpha": -1})", R"({"dropout": 1.0})", R"({"targets": 3})",
                          R"({"targets": []})", R"({"rank_pattern": [1]})", R"({"alpha_pattern": {"(": 1}})",
                          R"({"ranks": 4})"}) {
    CAPTURE(std::string(bad));
    CHECK(problems(bad) != "");
  }
  const auto model = base_model("llama3");
  LoraOptions options;
  options.rank_pattern = {{"q_proj", 1.5}};
  CHECK_THROWS_AS(options.attach(*model, 0), UserError);
  options.rank_pattern = Json::object();
  options.modules_to_save = {"o_proj"};
  CHECK_THROWS_AS(options.attach(*model, 0), UserError);
  options.modules_to_save = {"nothing"};
  CHECK_THROWS_AS(options.attach(*model, 0), UserError);
}

TEST_CASE("lora: malformed adapter folders are refused in one line") {
  const auto model = base_model("llama3");
  const std::string good = lora_folder("names");
  const TempFolder folder;
  auto refusal = [&] {
    try {
      load_adapter(*model, folder.text());
    } catch (const UserError& e) {
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
      return std::string(e.what());
    }
    return std::string();
  };
  auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  const std::string config = folder.text() + "/adapter_config.json",
                    tensors = folder.text() + "/adapter_model.safetensors";
  has(refusal(), "adapter_config.json");
  fs::copy_file(good + "/adapter_config.json", config);
  has(refusal(), "adapter_model.safetensors");
  fs::copy_file(good + "/adapter_model.safetensors", tensors);
  CHECK(refusal() == "");
  const Json json = read_json_file(config);
  auto with = [&](const char* key, const Json& value) {
    Json changed = json;
    changed[key] = value;
    std::ofstream(config) << changed.dump();
    return refusal();
  };
  has(with("peft_type", "LOHA"), "LOHA");
  has(with("use_qalora", true), "use_qalora");
  has(with("use_dora", true), "lora_magnitude_vector\" is missing");
  has(with("bias", "some"), "bias");
  has(with("init_lora_weights", "pissa"), "pissa");
  has(with("r", 5), "rank for it is 5");
  has(with("r", 1e9), "r: expected");
  has(with("r", "4"), "r: expected");
  has(with("lora_alpha", -8), "lora_alpha");
  has(with("target_modules", {"q_proj", "v_proj", "down_proj", "up_proj"}),
      "up_proj.lora_A.weight\" is missing");
  has(with("target_modules", {"zz"}), "no linear is called");
  has(with("target_modules", nullptr), "expected");
  has(with("modules_to_save", {"lm_head"}), "lm_head.weight\" is missing");
  has(with("modules_to_save", 1), "modules_to_save");
  has(with("rank_pattern", {{"q_proj", 8}}), "rank for it is 8");
  CHECK(with("lora_dropout", 0.5) == "");
  CHECK(with("layers_to_transform", {0, 1}) == "");

  const SafetensorsFile file(good + "/adapter_model.safetensors");
  auto with_tensors = [&](const std::function<void(NamedTensors&)>& change) {
    NamedTensors list;
    for (const TensorInfo& info : file.tensors()) list.emplace_back(info.name, file.tensor(info));
    change(list);
    write_safetensors(tensors, list);
    return refusal();
  };
  CHECK(with_tensors([](NamedTensors&) {}) == "");
  has(with_tensors(
          [](NamedTensors& l) { l.emplace_back("base_model.model.other.lora_A.weight", at::ones({1})); }),
      "belongs to nothing");
  has(with_tensors([](NamedTensors& l) { l.erase(l.begin() + 1); }), "is missing");
  has(with_tensors([](NamedTensors& l) { l[1].second = at::ones({3, 3}); }), "expected shape");
  has(with_tensors([](NamedTensors& l) { l[0].second = l[0].second.to(at::kInt); }), "floating-point");
  has(with_tensors([](NamedTensors& l) { l.clear(); }), "holds no LoRA tensor");
  CHECK(with_tensors([](NamedTensors& l) {
          for (auto& [n, t] : l) t = t.to(at::kBFloat16);
        }) == "");
}
