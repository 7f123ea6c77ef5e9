// Adapters and few bits in every family.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <set>

#include "adapter/lora/lora.h"
#include "adapter/merge.h"
#include "adapter/peft_files.h"
#include "base/file.h"
#include "model/golden_families.h"
#include "temp_folder.h"
#include "tensor/safetensors.h"
#include "test.h"

using namespace temper;
using at::Tensor;

namespace {

Tensor golden_logp(Model& model, const GoldenSequence& sequence) {
  Packer packer;
  const int64_t s = packer.add_segment(sequence.ids);
  packer.add_targets(s, 0, static_cast<int64_t>(sequence.ids.size()), 0);
  const at::NoGradGuard no_grad;
  return model_logp(model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp;
}

}  // namespace

TEST_CASE("families: LoRA on all linears changes the model, comes back from PEFT's files, and merges") {
  for (const std::string& folder : golden_folders()) {
    CAPTURE(folder);
    const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
    const auto model = Model::load(folder, Precision{});
    const Tensor base = golden_logp(*model, golden[3]);
    LoraOptions options;
    options.rank = 2;
    options.targets = "all-linear";
    const auto adapter = options.attach(*model, 1);
    const TempFolder out;
    {
      const at::NoGradGuard no_grad;
      at::manual_seed(5);
      for (const auto& [name, tensor] : adapter->trainable()) Tensor(tensor).normal_(0.0, 0.1);
    }
    adapter->refresh();
    const Tensor changed = golden_logp(*model, golden[3]);
    CHECK((changed - base).abs().max().item<double>() > 1e-3);
    adapter->save(out.text("adapter"), at::kFloat);
    const auto again = Model::load(folder, Precision{});
    const auto loaded = load_adapter(*again, out.text("adapter"));
    CHECK(at::equal(golden_logp(*again, golden[3]), changed));
    CHECK(merge_adapter(*again, *loaded, golden[2].ids) < 1e-4);
    CHECK((golden_logp(*again, golden[3]) - changed).abs().max().item<double>() < 1e-4);
  }
}

TEST_CASE("families: linears and experts in 8 and 4 bits stay near the dense model") {
  for (const std::string& folder : golden_folders()) {
    CAPTURE(folder);
    const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
    const auto dense = Model::load(folder, Precision{});
    const Tensor base = golden_logp(*dense, golden[2]);
    for (const auto kind : {QuantFormat::Kind::kInt8, QuantFormat::Kind::kNf4}) {
      Precision precision;
      precision.quantise = {kind};
      const auto model = Model::load(folder, precision);
      const double error = (golden_logp(*model, golden[2]) - base).abs().mean().item<double>();
      CHECK(error > 0);
      CHECK(error < (kind == QuantFormat::Kind::kInt8 ? 0.15 : 1.0));
    }
  }
}

TEST_CASE("families: PEFT's LoRA of every family gives PEFT's log-probs, and is written as PEFT has it") {
  size_t compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test_file("adapter/golden/families"))) {
    const std::string adapter = entry.path().string();
    CAPTURE(adapter);
    ++compared;
    const Json golden = read_json_file(adapter + "/golden.json"),
               config = read_json_file(adapter + "/adapter_config.json");
    const auto base = config["base_model_name_or_path"].get<std::string>();
    const auto model = Model::load(test_file("model/golden/families/" + base), Precision{});
    const auto loaded = load_adapter(*model, adapter);
    const auto expected = golden["logprobs"].get<std::vector<double>>();
    const Tensor found = golden_logp(*model, {golden["ids"].get<std::vector<int64_t>>(), {}});
    CHECK((found.to(at::kDouble) - at::tensor(expected, at::kDouble)).abs().max().item<double>() < 4e-5);
    const TempFolder out;
    loaded->save(out.text("again"), at::kFloat);
    CHECK(read_file(out.text("again/adapter_model.safetensors")) ==
          read_file(adapter + "/adapter_model.safetensors"));
    // Sets in PEFT, without an order; the shortest names here.
    const auto names = [](const Json& list) {
      std::set<std::string> short_ones;
      for (const Json& name : list) {
        const auto text = name.get<std::string>();
        short_ones.insert(text.substr(text.rfind('.') + 1));
      }
      return short_ones;
    };
    const Json again = read_json_file(out.text("again/adapter_config.json"));
    CHECK(names(again["target_parameters"]) == names(config["target_parameters"]));
    for (const char* key : {"r", "lora_alpha", "rank_pattern", "alpha_pattern"})
      CHECK(again[key] == config[key]);
  }
  CHECK(compared >= 29);
}

TEST_CASE("families: a merged folder has its family's names, and is the model with the adapter") {
  const auto merged_is_the_same = [](const std::string& folder, const std::string& adapter) {
    CAPTURE(folder);
    const auto golden = golden_sequences(read_json_file(folder + "/golden.json"));
    const auto model = Model::load(folder, Precision{});
    const auto loaded = load_adapter(*model, adapter);
    const TempFolder out;
    merge_folder(folder, adapter, out.text("merged"), at::kFloat);
    const auto merged = Model::load(out.text("merged"), Precision{});
    CHECK((golden_logp(*merged, golden[2]) - golden_logp(*model, golden[2])).abs().max().item<double>() <
          1e-4);
    return SafetensorsFolder(out.text("merged")).names();
  };
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto of = [&](const std::string& name) {
    return merged_is_the_same(test_file("model/golden/families/" + name),
                              test_file("adapter/golden/families/" + name));
  };
  CHECK(has(of("gemma4_moe"), "model.layers.0.router.per_expert_scale"));
  CHECK(has(of("mixtral"), "model.layers.0.block_sparse_moe.experts.3.w2.weight"));
  CHECK(has(of("gpt_oss"), "model.layers.1.mlp.router.bias"));
  CHECK(has(of("lfm2"), "model.embedding_norm.weight"));
  // The text's part of a model of several.
  const std::string whole = test_file("model/golden/families/gemma4");
  const TempFolder out;
  {
    const auto model = Model::load(whole, Precision{});
    LoraOptions options;
    options.rank = 2;
    const auto adapter = options.attach(*model, 1);
    adapter->save(out.text("adapter"), at::kFloat);
  }
  CHECK(has(merged_is_the_same(whole, out.text("adapter")), "model.layers.2.layer_scalar"));
}
