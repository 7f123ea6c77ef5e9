// LoRA on the routers and experts of a mixture: its product against the formula, its gradients against those
// of the weights themselves, and what is chosen and refused. families_test.cc has PEFT's files.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "adapter/adapter_set.h"
#include "adapter/lora/lora.h"
#include "adapter/lora/product.h"
#include "adapter/outputs.h"
#include "base/error.h"
#include "base/file.h"
#include "model/families.h"
#include "model/golden_families.h"
#include "temp_folder.h"
#include "tensor/compare.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

std::vector<int64_t> ids_of(const std::string& name) {
  return golden_sequences(read_json_file(family_folder(name) + "/golden.json"))[2].ids;
}

// On all of a mixture's weights, by their own names.
LoraOptions on_mixture(const std::string& family) {
  LoraOptions options;
  options.rank = 3;
  options.alpha = 5;
  options.targets = Json::array();
  options.target_parameters = {"experts.gate_up_proj", "experts.down_proj",
                               family == "gpt_oss" ? "router.weight" : "mlp.gate.weight"};
  return options;
}

std::vector<std::string> names_of(Adapter& adapter) {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : adapter.trainable()) out.push_back(name);
  return out;
}

std::string attach_refusal(const std::string& family, const LoraOptions& options) {
  const auto model = Model::load(family_folder(family), Precision{});
  try {
    options.attach(*model, 1);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("grouped_lora_product: values and gradients of y + s x A_e^T B_e^T in PEFT's layout") {
  const int64_t experts = 4, rank = 3, in = 10, out = 7;
  const ExpertRows rows =
      sort_by_expert(at::tensor({2, 0, 0, 3, 2, 3, 0, 2}, at::kLong).view({4, 2}), experts);
  const auto slow = [&](const Tensors& t) {
    // PEFT: einsum("o r e, e r i -> e o i").
    const Tensor delta =
        at::einsum("ore,eri->eoi", {t[3].view({out, rank, experts}), t[2].view({experts, rank, in})});
    return t[1] + reference::grouped_linear(t[0], rows, delta * 1.7);
  };
  const auto fast = [&](const Tensors& t) {
    const Tensor a = expert_a(t[2].detach(), experts).clone(), b = expert_b(t[3].detach(), experts).clone();
    return grouped_lora_product(t[0], rows, t[1].clone(), a, b, t[2], t[3], 1.7);
  };
  compare(fast, slow,
          {random({8, in}), random({8, out}), random({rank * experts, in}), random({out, rank * experts})},
          3e-6);
}

TEST_CASE("lora on routers and experts: gradients are those of the merged weights by the chain rule") {
  for (const std::string& family : kMixtures) {
    CAPTURE(family);
    const auto ids = ids_of(family);
    const auto model = Model::load(family_folder(family), Precision{});
    const auto adapter = attached(*model, on_mixture(family));
    ForwardOptions options;  // the balance loss reaches the router's update too
    options.balance_gradient = random({model->config().experts.count}, 0.01);
    logp_of(*model, ids, options).mean().backward();
    const std::vector<LoraModule> modules = dynamic_cast<LoraAdapter&>(*adapter).modules();
    const Tensor before = logp_of(*model, ids).detach();
    adapter->merge();
    CHECK(worst(logp_of(*model, ids), before) < 2e-5);
    model->set_trainable([&](const std::string& name) {
      return std::any_of(modules.begin(), modules.end(),
                         [&](const LoraModule& m) { return m.parameter->name == name; });
    });
    logp_of(*model, ids, options).mean().backward();
    for (const LoraModule& m : modules) {
      CAPTURE(m.path);
      const Tensor dw = m.parameter->master.grad();
      REQUIRE(dw.abs().max().item<double>() > 0);
      const int64_t experts = std::max<int64_t>(m.experts, 1);
      const Tensor w = dw.view({experts, dw.size(-2), dw.size(-1)}) * m.scale;
      const Tensor a = m.a.detach().view({experts, m.rank, -1}), b = m.b.detach().view({-1, m.rank, experts});
      const Tensor da = at::einsum("ore,eoi->eri", {b, w}).reshape(m.a.sizes()),
                   db = at::einsum("eoi,eri->ore", {w, a}).reshape(m.b.sizes());
      CHECK(worst(m.a.grad(), da) < 1e-5 * std::max(1.0, da.abs().max().item<double>()));
      CHECK(worst(m.b.grad(), db) < 1e-5 * std::max(1.0, db.abs().max().item<double>()));
    }
  }
}

TEST_CASE(
    "lora on routers and experts: fresh changes nothing, off is the base, recomputed blocks are the same") {
  for (const std::string& family : kMixtures) {
    CAPTURE(family);
    const auto ids = ids_of(family);
    const auto model = Model::load(family_folder(family), Precision{});
    const auto base_logp = [&] {
      const at::NoGradGuard no_grad;
      return logp_of(*model, ids);
    };
    const Tensor base = base_logp();
    {
      const auto fresh = on_mixture(family).attach(*model, 1);
      CHECK(at::equal(base_logp(), base));
    }
    const auto adapter = attached(*model, on_mixture(family));
    const auto run = [&](int64_t every) {
      for (const auto& [name, tensor] : adapter->trainable()) tensor.mutable_grad() = Tensor();
      ForwardOptions options;
      options.checkpoint_every = every;
      const Tensor loss = logp_of(*model, ids, options).mean();
      loss.backward();
      Tensors out = {loss.detach()};
      for (const auto& [name, tensor] : adapter->trainable()) out.push_back(tensor.grad());
      return out;
    };
    const Tensors plain = run(0), recomputed = run(1);
    // The first block's input takes gradients where it is recomputed: attention rounds otherwise.
    for (size_t i = 0; i < plain.size(); ++i) CHECK(worst(plain[i], recomputed[i]) < 5e-6);
    CHECK(worst(logp_of(*model, ids).detach(), base) > 1e-3);
    adapter->set_enabled(false);
    CHECK(at::equal(base_logp(), base));
  }
}

TEST_CASE("lora on routers and experts: merged and taken out again; beside another adapter") {
  for (const std::string& family : kMixtures) {
    CAPTURE(family);
    const auto ids = ids_of(family);
    const TempFolder out;
    const auto model = Model::load(family_folder(family), Precision{});
    const auto adapter = attached(*model, on_mixture(family));
    const Tensor changed = logp_of(*model, ids).detach();
    adapter->save(out.text("adapter"), at::kFloat);
    merge_adapter(*model, *adapter, ids);
    model->save(out.text("merged"), at::kFloat);
    const auto merged = Model::load(out.text("merged"), Precision{});
    const at::NoGradGuard no_grad;
    CHECK(worst(logp_of(*merged, ids), changed) < 2e-5);
    const auto loaded = load_adapter(*merged, out.text("adapter"));
    CHECK(unmerge_adapter(*merged, *loaded, ids) < 2e-5);
    loaded->set_enabled(false);
    const auto base = Model::load(family_folder(family), Precision{});
    CHECK(worst(logp_of(*merged, ids), logp_of(*base, ids)) < 2e-5);

    const std::string folder = out.text("adapter");
    const AdapterSet halves(*base, {{"a", folder, 0.5}, {"b", folder, 0.5}});
    CHECK(worst(logp_of(*base, ids), changed) < 2e-5);
    combine_adapters({{"a", folder, 0.25}, {"b", folder, 0.75}}, out.text("sum"));
    const auto other = Model::load(family_folder(family), Precision{});
    const auto sum = load_adapter(*other, out.text("sum"));
    CHECK(worst(logp_of(*other, ids), changed) < 2e-5);
  }
}

TEST_CASE("all-linear is what PEFT makes of it: routers and experts where files have them as linears") {
  const auto names = [](const std::string& family, const Json& targets) {
    const auto model = Model::load(family_folder(family), Precision{});
    LoraOptions options;
    options.rank = 2;
    options.targets = targets;
    const auto adapter = options.attach(*model, 1);
    const TempFolder out;
    adapter->save(out.text("a"), at::kFloat);
    return std::pair(names_of(*adapter), read_json_file(out.text("a/adapter_config.json")));
  };
  const auto has = [](const std::vector<std::string>& list, const std::string& part) {
    return std::any_of(list.begin(), list.end(),
                       [&](const std::string& name) { return name.find(part) != std::string::npos; });
  };
  for (const std::string& family : kMixtures) {
    CAPTURE(family);
    const auto [list, config] = names(family, "all-linear");
    const bool linears = family != "gpt_oss";
    for (const char* part : {".mlp.gate.lora_A", ".mlp.experts.base_layer.lora_A", ".mlp.experts.lora_B"})
      CHECK(has(list, part) == linears);
    CHECK(has(list, ".self_attn.o_proj.lora_A"));
    if (!linears) continue;
    CHECK(config["rank_pattern"] == Json({{R"(.*\.gate_up_proj)", 4}}));
    CHECK(config["alpha_pattern"] == Json({{R"(.*\.gate_up_proj)", 64}}));
    std::set<std::string> parameters = config["target_parameters"].get<std::set<std::string>>();
    std::set<std::string> expected = {"gate.weight", "gate_up_proj", "down_proj"};
    // The linears that PEFT can target by their weights alone.
    if (family != "mixtral") expected.insert({"gate_proj.weight", "up_proj.weight", "down_proj.weight"});
    CHECK(parameters == expected);
  }
  // As the user names them.
  const auto [some, config] = names("mixtral", {"q_proj", "w1", "w3"});
  CHECK(has(some, ".mlp.experts.lora_A"));
  CHECK(!has(some, "base_layer"));
  CHECK(!has(some, ".mlp.gate."));
  CHECK(config["target_modules"] == Json::array({"q_proj"}));
  CHECK(config["target_parameters"] == Json::array({"gate_up_proj"}));
  CHECK(has(names("mixtral", {"w2"}).first, ".mlp.experts.lora_A"));
  CHECK(has(names("qwen3_moe", R"(model\.layers\.\d+\.mlp\..*)").first, ".mlp.experts.base_layer.lora_A"));
}

TEST_CASE("lora on routers and experts: what cannot be is refused in one line") {
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  };
  LoraOptions options;
  options.dora = true;
  has(attach_refusal("qwen3_moe", options),
      "adapter.dora: routers and experts (\"model.layers.0.mlp.gate.weight\")");
  options = on_mixture("gpt_oss");
  options.dropout = 0.1;
  has(attach_refusal("gpt_oss", options), "adapter.dropout: routers and experts");
  options = on_mixture("gpt_oss");
  options.init = "pissa";
  has(attach_refusal("gpt_oss", options), "adapter.init: routers and experts");
  options = on_mixture("qwen3_moe");
  options.target_parameters = {"gate_up_proj_bias"};
  has(attach_refusal("qwen3_moe", options),
      "is called \"gate_up_proj_bias\"; there are down_proj, down_proj.weight, gate.weight, "
      "gate_proj.weight, gate_up_proj");
  options = {};
  options.targets = Json::array({"gate_proj"});
  has(attach_refusal("qwen3_moe", options), "the experts' gate_proj and up_proj are one tensor");
  options = on_mixture("qwen3_moe");
  options.modules_to_save = {"mlp.gate"};
  has(attach_refusal("qwen3_moe", options), "among targets and modules_to_save");
  options = {};
  options.targets = Json::array();
  std::vector<std::string> problems;
  options.check(problems, "adapter");
  REQUIRE(problems.size() == 1);
}
