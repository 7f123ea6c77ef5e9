// Folders that PEFT writes around the embedding and the head, and with features that few use
// (scripts/oracles/peft_folders.py): each gives PEFT's log-probs, or is refused by the feature's name.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <fstream>
#include <map>
#include <set>

#include "adapter/adapter_set.h"
#include "adapter/lora/lora.h"
#include "adapter/merge.h"
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

// What is refused, and the line's end.
const std::map<std::string, std::string> kRefused = {
    {"lora_bias", "lora_bias: true is not supported; expected false"},
    {"layer_replication", "layer_replication: [[0,2],[1,3]] is not supported; expected null"},
    {"alora", "alora_invocation_tokens: [5,6] is not supported; expected null"},
    {"saved_linear",
     "modules_to_save: \"down_proj\" is a linear that targets should name; whole modules are embed_tokens, "
     "lm_head "
     "and norms"}};

std::string golden_folder(const std::string& name) {
  return test_file("adapter/golden/folders/" + name);
}

std::vector<std::string> golden_names() {
  std::set<std::string> out;
  for (const auto& entry : fs::directory_iterator(test_file("adapter/golden/folders")))
    out.insert(entry.path().filename().string());
  return {out.begin(), out.end()};
}

std::string base_of(const Json& golden) {
  return test_file("model/golden/" + golden["model"].get<std::string>());
}

std::string load_refusal(Model& model, const std::string& folder) {
  try {
    load_adapter(model, folder);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE(
    "folders: PEFT's log-probs; off, the base's; merged into a folder, the same; or the feature's name") {
  const std::vector<std::string> all = golden_names();
  CHECK(all.size() > 40);
  for (const std::string& name : all) {
    CAPTURE(name);
    const std::string folder = golden_folder(name);
    const Json golden = read_json_file(folder + "/golden.json");
    const auto ids = golden["ids"].get<std::vector<int64_t>>();
    const auto model = Model::load(base_of(golden), Precision{at::kFloat, at::kCPU});
    const bool resized = golden["rows"].get<int64_t>() > 0;
    const Tensor before = resized ? Tensor() : logp(*model, ids);
    if (kRefused.count(name)) {
      CHECK(load_refusal(*model, folder) ==
            folder + "/adapter_config.json" + (name == "saved_linear" ? "." : ": ") + kRefused.at(name));
      continue;
    }
    const auto adapter = load_adapter(*model, folder);
    CHECK(distance(logp(*model, ids), golden["logprobs"]) < 2e-5);
    adapter->set_enabled(false);
    if (!resized) CHECK(logp(*model, ids).equal(before));
    adapter->set_enabled(true);
    CHECK(distance(logp(*model, ids), golden["logprobs"]) < 2e-5);

    // The model as transformers would read it afterwards.
    const TempFolder work;
    CHECK(merge_folder(base_of(golden), folder, work.text() + "/merged", at::kFloat) < 1e-4);
    const auto merged = Model::load(work.text() + "/merged", Precision{at::kFloat, at::kCPU});
    CHECK(distance(logp(*merged, ids), golden["logprobs"]) < 2e-5);
    if (resized) CHECK(merged->config().vocab == golden["rows"].get<int64_t>());

    // Written and read again: the same, or refused where the folder has values for the base itself.
    try {
      adapter->save(work.text() + "/again", at::kFloat);
    } catch (const UserError& e) {
      CHECK(std::string(e.what()).find("merge it instead") != std::string::npos);
      const bool of_base = resized || name.starts_with("tokens") || name.starts_with("bias");
      CHECK(of_base);
      continue;
    }
    const auto base = Model::load(base_of(golden), Precision{at::kFloat, at::kCPU});
    const auto again = load_adapter(*base, work.text() + "/again");
    CHECK(distance(logp(*base, ids), golden["logprobs"]) < 2e-5);
  }
}

TEST_CASE("folders: bf16 weights compute close to fp32 ones") {
  for (const std::string name :
       {"both", "tied_both", "tied_both_ensured", "tokens_tied", "grown_saved_tied"}) {
    CAPTURE(name);
    const Json golden = read_json_file(golden_folder(name) + "/golden.json");
    const auto model = Model::load(base_of(golden), Precision{at::kBFloat16, at::kCPU});
    const auto adapter = load_adapter(*model, golden_folder(name));
    CHECK(distance(logp(*model, golden["ids"]), golden["logprobs"]) < 0.15);
  }
}

TEST_CASE("folders: an adapter of the head is taken out of merged weights again") {
  for (const std::string name : {"head", "head_alone", "both", "tied_head", "tied_both_ensured"}) {
    CAPTURE(name);
    const TempFolder work;
    const Json golden = read_json_file(golden_folder(name) + "/golden.json");
    const auto ids = golden["ids"].get<std::vector<int64_t>>();
    merge_folder(base_of(golden), golden_folder(name), work.text() + "/merged", at::kFloat);
    unmerge_folder(work.text() + "/merged", golden_folder(name), work.text() + "/base", at::kFloat);
    const auto base = Model::load(base_of(golden), Precision{at::kFloat, at::kCPU}),
               model = Model::load(work.text() + "/base", Precision{at::kFloat, at::kCPU});
    CHECK((logp(*base, ids) - logp(*model, ids)).abs().max().item<double>() < 2e-5);
  }
}

TEST_CASE("folders: the tokenizer of the adapter's folder is the merged model's and the programs'") {
  const TempFolder work;
  const std::string base = test_file("model/golden/llama3"), adapter = work.text() + "/adapter",
                    merged = work.text() + "/merged";
  fs::create_directories(adapter);
  for (const char* file : {"/adapter_config.json", "/adapter_model.safetensors"})
    fs::copy_file(golden_folder("grown") + file, adapter + file);
  CHECK(tokenizer_folder(base, {}) == base);
  CHECK(tokenizer_folder(base, {adapter}) == base);
  std::ofstream(adapter + "/tokenizer.json") << "{}";
  CHECK(tokenizer_folder(base, {"x=" + adapter + "@0.5"}) == adapter);
  CHECK(tokenizer_folder(base, {adapter, golden_folder("head")}) == base);
  merge_folder(base, adapter, merged, std::nullopt);
  CHECK(read_file(merged + "/tokenizer.json") == "{}");
  CHECK_FALSE(fs::exists(merged + "/adapter_config.json"));
}

TEST_CASE("folders: several on one base, each by its name, whatever they do to embedding and head") {
  const Json golden = read_json_file(golden_folder("tied_head") + "/golden.json");
  const auto ids = golden["ids"].get<std::vector<int64_t>>();
  const auto model = Model::load(base_of(golden), Precision{at::kFloat, at::kCPU});
  const Tensor base = logp(*model, ids);
  const std::vector<std::string> together = {"tied_head", "tied_embedding", "saved_head_tied",
                                             "tokens_head_tied", "layers"};
  std::vector<std::string> folders;
  for (const std::string& name : together) folders.push_back(golden_folder(name));
  AdapterSet set(*model, adapter_entries({folders[0]}));
  {
    const auto other = Model::load(base_of(golden), Precision{at::kFloat, at::kCPU});
    std::vector<AdapterEntry> entries = adapter_entries(folders);
    CHECK_THROWS_WITH_AS(AdapterSet(*other, entries), doctest::Contains("can be weighted"), UserError);
  }
  CHECK(distance(logp(*model, ids), golden["logprobs"]) < 2e-5);
  std::vector<std::unique_ptr<Adapter>> adapters;
  set.use("");
  for (const std::string& folder : folders) {
    adapters.push_back(load_adapter(*model, folder));
    adapters.back()->set_enabled(false);
    CHECK(logp(*model, ids).equal(base));
  }
  for (size_t i = 0; i < together.size(); ++i) {
    CAPTURE(together[i]);
    adapters[i]->set_enabled(true);
    CHECK(distance(logp(*model, ids), read_json_file(folders[i] + "/golden.json")["logprobs"]) < 2e-5);
    adapters[i]->set_enabled(false);
  }
  CHECK(logp(*model, ids).equal(base));

  // One that unties or resizes behind one that holds the embedding as it was.
  const auto other = Model::load(base_of(golden), Precision{at::kFloat, at::kCPU});
  CHECK_THROWS_WITH_AS(
      AdapterSet(*other, adapter_entries({golden_folder("tied_embedding"), golden_folder("grown_tied")})),
      doctest::Contains("name it first"), UserError);
}

TEST_CASE("folders: PEFT's other tuners are refused by peft_type, those that are there are read") {
  const Json tuners = read_json_file(test_file("adapter/golden/tuners.json"));
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  const std::set<std::string> there = {"LORA", "VERA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING"};
  const TempFolder folder;
  size_t refused = 0;
  for (const Json& config : tuners["configs"]) {
    const std::string type = config["peft_type"].get<std::string>();
    CAPTURE(type);
    std::ofstream(folder.text() + "/adapter_config.json") << config.dump();
    const std::string text = load_refusal(*model, folder.text());
    if (there.count(type)) {
      CHECK(text.find("peft_type") == std::string::npos);
      continue;
    }
    ++refused;
    CHECK(text ==
          folder.text() +
              "/adapter_config.json: peft_type: expected \"LORA\", \"VERA\", \"IA3\", \"PROMPT_TUNING\" or "
              "\"PREFIX_TUNING\", found \"" +
              type + "\"");
  }
  CHECK(refused == 40);
}

TEST_CASE("folders: what a config says that is not there is refused by its name") {
  const TempFolder folder;
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  const auto with = [&](const std::string& good, const Json& changes) {
    fs::copy_file(good + "/adapter_model.safetensors", folder.text() + "/adapter_model.safetensors",
                  fs::copy_options::overwrite_existing);
    Json config = read_json_file(good + "/adapter_config.json");
    for (const auto& [key, value] : changes.items()) config[key] = value;
    std::ofstream(folder.text() + "/adapter_config.json") << config.dump();
    const std::string text = load_refusal(*model, folder.text());
    const std::string where = folder.text() + "/adapter_config.json: ";
    return text.starts_with(where) ? text.substr(where.size()) : text;
  };
  const std::string lora = golden_folder("head_alone");
  CHECK(with(lora, Json::object()) == "");
  const Json some = {{"a", 1}};
  for (const char* key : {"use_bdlora", "kasa_config", "monteclora_config", "velora_config", "arrow_config",
                          "megatron_config"}) {
    CHECK(with(lora, {{key, some}}) == std::string(key) + ": {\"a\":1} is not supported; expected null");
  }
  CHECK(with(lora, {{"use_qalora", true}}) == "use_qalora: true is not supported; expected false");
  CHECK(with(lora, {{"fan_in_fan_out", true}}) == "fan_in_fan_out: true is not supported; expected false");
  CHECK(with(lora, {{"bias", "some"}}) ==
        "bias: expected \"none\", \"all\" or \"lora_only\", found \"some\"");
  CHECK(with(lora, {{"task_type", "TOKEN_CLS"}}) ==
        "task_type: \"TOKEN_CLS\" is not supported; expected \"CAUSAL_LM\" or \"SEQ_CLS\"");
  CHECK(with(lora, {{"init_lora_weights", "loftq"}}).starts_with("init_lora_weights: \"loftq\" changed"));
  // Unknown keys are told in a warning.
  CHECK(with(lora, {{"of_tomorrow", 3}}) == "");
  CHECK(with(lora, {{"of_tomorrow", nullptr}, {"layer_replication", Json::array()}}) == "");
  const std::string tokens = golden_folder("tokens");
  CHECK(with(tokens, {{"trainable_token_indices", {2, 5, 120}}}) ==
        "trainable_token_indices: id 120 is outside the vocabulary of 120");
  CHECK(with(tokens, {{"trainable_token_indices", {{"score", {2, 5, 6}}}}}) ==
        "trainable_token_indices: expected embed_tokens or lm_head, found \"score\"");
  CHECK(with(tokens, {{"trainable_token_indices", {2, -1, 5}}})
            .starts_with("trainable_token_indices: expected arrays of token ids"));
  CHECK(with(golden_folder("both"), {{"trainable_token_indices", {2}}})
            .starts_with("trainable_token_indices: rows of tokens beside LoRA"));

  const std::string kinds = test_file("adapter/golden/kinds/");
  const std::string vera = kinds + "vera/trained", ia3 = kinds + "ia3/trained",
                    prompt = kinds + "prompt/trained";
  CHECK(with(vera, Json::object()) == "");
  CHECK(with(vera, {{"bias", "all"}}) == "bias: \"all\" is not supported; expected \"none\"");
  CHECK(with(vera, {{"layers_to_transform", {0}}}) ==
        "layers_to_transform: [0] is not supported; expected null");
  CHECK(with(vera, {{"modules_to_save", {"lm_head"}}}) ==
        "modules_to_save: \"lm_head\" beside \"VERA\" is not supported; expected none");
  CHECK(with(vera, {{"target_modules", {"q_proj", "lm_head"}}}) ==
        "target_modules: \"VERA\" on \"lm_head\" is not supported; expected linears of the blocks");
  CHECK(with(ia3, {{"exclude_modules", {"q_proj"}}}) ==
        "exclude_modules: [\"q_proj\"] is not supported; expected null");
  CHECK(with(prompt, {{"modules_to_save", {"embed_tokens"}}}) ==
        "modules_to_save: \"embed_tokens\" beside \"PROMPT_TUNING\" is not supported; expected none");
  CHECK(with(kinds + "prefix_gqa/trained", {{"prefix_projection", true}}) ==
        "prefix_projection: true is not supported; expected false");
}

TEST_CASE("folders: a vocabulary that only a part of the folder has") {
  const TempFolder folder;
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  const std::string good = golden_folder("grown");
  fs::copy_file(good + "/adapter_config.json", folder.text() + "/adapter_config.json");
  const SafetensorsFile file(good + "/adapter_model.safetensors");
  NamedTensors list;
  for (const TensorInfo& info : file.tensors()) {
    if (info.name != "base_model.model.lm_head.weight") list.emplace_back(info.name, file.tensor(info));
  }
  write_safetensors(folder.text() + "/adapter_model.safetensors", list);
  const std::string text = load_refusal(*model, folder.text());
  CAPTURE(text);
  CHECK(text.find("has 124 rows, the base model 120 tokens, and there is no lm_head.weight of 124 rows") !=
        std::string::npos);
  CHECK(model->config().vocab == 120);
}

TEST_CASE("folders: a fresh LoRA on embedding and head changes nothing, and untied each trains alone") {
  for (const auto compute : {at::kFloat, at::kBFloat16}) {
    const auto model = Model::load(test_file("model/golden/smollm"), Precision{compute, at::kCPU});
    const std::vector<int64_t> ids = {5, 9, 3, 80, 7, 7, 2};
    const Tensor before = logp(*model, ids);
    LoraOptions options;
    options.rank = 2;
    options.targets = {"lm_head", "embed_tokens"};
    const auto adapter = options.attach(*model, 3);
    CHECK(logp(*model, ids).equal(before));
    CHECK_FALSE(model->config().tied);
    std::vector<std::string> trained;
    for (const auto& [name, tensor] : adapter->trainable()) trained.push_back(name);
    CHECK(trained == std::vector<std::string>{"base_model.model.model.embed_tokens.lora_embedding_B",
                                              "base_model.model.model.embed_tokens.lora_embedding_A",
                                              "base_model.model.lm_head.lora_A.weight",
                                              "base_model.model.lm_head.lora_B.weight"});
    options.modules_to_save = {"lm_head"};
    CHECK_THROWS_WITH_AS(options.attach(*model, 3), doctest::Contains("choose one"), UserError);
  }
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  LoraOptions options;
  options.targets = {"lm_head"};
  options.init = "corda";
  CHECK_THROWS_WITH_AS(options.attach(*model, 3), doctest::Contains("corda"), UserError);
  options.init = "kaiming";
  options.targets = "all-linear";
  const auto adapter = options.attach(*model, 3);
  CHECK(adapter->trainable().size() == 2 * 14);
}

TEST_CASE("folders: DoRA keeps rows of zeros, of padding tokens, and stays finite") {
  const auto model = Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
  const std::vector<int64_t> ids = {5, 9, 3, 80, 7, 7, 2};
  for (const char* name : {"lm_head.weight", "model.layers.0.self_attn.q_proj.weight"})
    model->find(name)->compute[5].zero_();
  const Tensor before = logp(*model, ids);
  LoraOptions options;
  options.dora = true;
  options.targets = {"lm_head", "q_proj"};
  const auto adapter = options.attach(*model, 3);
  CHECK((logp(*model, ids) - before).abs().max().item<double>() < 2e-5);
  for (int step = 0; step < 2; ++step) {
    Packer packer;
    packer.add_targets(packer.add_segment(ids), 0, static_cast<int64_t>(ids.size()), 0);
    model_logp(*model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1)).logp.mean().backward();
    adapter->end_backward();
    const at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : adapter->trainable()) {
      CAPTURE(name);
      CHECK(tensor.grad().isfinite().all().item<bool>());
      tensor.add_(tensor.grad(), 0.1);
      tensor.mutable_grad() = Tensor();
    }
    adapter->refresh();
    CHECK(logp(*model, ids).isfinite().all().item<bool>());
  }
}
