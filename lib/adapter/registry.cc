#include <ATen/ATen.h>

#include "adapter/adapter.h"
#include "adapter/full.h"
#include "adapter/ia3.h"
#include "adapter/ist.h"
#include "adapter/lisa.h"
#include "adapter/lora/increlora.h"
#include "adapter/lora/lora.h"
#include "adapter/lora/pair.h"
#include "adapter/peft_files.h"
#include "adapter/soft_prompt.h"
#include "adapter/vera.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tensor/safetensors.h"

namespace temper {

void AdapterOptions::train_whole(const std::vector<std::string>&) {
  user_error(
      "model.add_tokens: this adapter.kind trains no embeddings, so new tokens would stay as they begin; use "
      "full, lora or one of its kin with \"modules_to_save\"");
}

const Registry<AdapterOptions>& adapter_registry() {
  static const Registry<AdapterOptions> registry = [] {
    Registry<AdapterOptions> r("adapter");
    r.add({"full", "every weight trains", "", [] { return std::make_unique<FullOptions>(); }});
    r.add({"freeze", "the last blocks or parameters by name train", "",
           [] { return std::make_unique<FreezeOptions>(); }});
    r.add({"lisa", "every weight in turn: a few blocks at a time, drawn at random for each interval",
           "Pan et al. 2024, arXiv:2403.17919", [] { return std::make_unique<LisaOptions>(); }});
    r.add({"lora", "low-rank updates of frozen linears: y = W x + alpha/r B A drop(x)",
           "Hu et al. 2021, arXiv:2106.09685; rslora: Kalajdzievski 2023, arXiv:2312.03732; files: PEFT",
           [] { return std::make_unique<LoraOptions>(); }});
    const auto preset = [](void (*set)(LoraOptions&)) {
      return [set] {
        auto options = std::make_unique<LoraOptions>();
        set(*options);
        return options;
      };
    };
    r.add({"rslora", "lora with rslora true", "Kalajdzievski 2023, arXiv:2312.03732",
           preset([](LoraOptions& o) { o.rslora = true; })});
    r.add({"dora", "lora with dora true: direction by lora, length of each row on its own",
           "Liu et al. 2024, arXiv:2402.09353", preset([](LoraOptions& o) { o.dora = true; })});
    r.add({"pissa", "lora with init pissa: the principal singular vectors train, the rest is frozen",
           "Meng et al. 2024, arXiv:2404.02948", preset([](LoraOptions& o) { o.init = "pissa"; })});
    r.add({"olora", "lora with init olora: starts from W = Q R", "Büyükakyüz 2024, arXiv:2406.01775",
           preset([](LoraOptions& o) { o.init = "olora"; })});
    r.add({"corda", "lora with init corda: components chosen by what a sample of the data makes of them",
           "Yang et al. 2024, arXiv:2406.05223", preset([](LoraOptions& o) { o.init = "corda"; })});
    r.add({"lora_plus", "lora with lr_ratio 16: B learns faster than A",
           "Hayou et al. 2024, arXiv:2402.12354", preset([](LoraOptions& o) { o.lr_ratio = 16; })});
    r.add({"lora_fa", "lora with freeze_a true: only B trains", "Zhang et al. 2023, arXiv:2308.03303",
           preset([](LoraOptions& o) { o.freeze_a = true; })});
    r.add({"increlora", "low-rank updates whose rank grows where it pays",
           "Zhang et al. 2023, arXiv:2308.12043", [] { return std::make_unique<IncreLoraOptions>(); }});
    r.add({"vera", "two trained vectors a linear around one random pair that all share",
           "Kopiczko et al. 2023, arXiv:2310.11454", [] { return std::make_unique<VeraOptions>(); }});
    r.add({"ia3", "a trained factor for each key, value and feed-forward channel",
           "Liu et al. 2022, arXiv:2205.05638", [] { return std::make_unique<Ia3Options>(); }});
    r.add({"prompt", "trained embeddings of virtual tokens in front of every text",
           "Lester et al. 2021, arXiv:2104.08691", [] { return std::make_unique<PromptOptions>(); }});
    r.add({"prefix", "trained keys and values of virtual tokens in every layer",
           "Li & Liang 2021, arXiv:2101.00190", [] { return std::make_unique<PrefixOptions>(); }});
    r.add({"ist", "lora of which each update trains a quarter of the blocks, drawn by their importance",
           "Yao et al. 2024, arXiv:2410.11772", [] { return std::make_unique<IstOptions>(); }});
    r.add({"lora_pair", "two lora on one base, for ofs_dpo: a fast and a slow learner",
           "Qi et al. 2024, arXiv:2406.05534", [] { return std::make_unique<LoraPairOptions>(); }});
    return r;
  }();
  return registry;
}

namespace {

Json read_config(const std::string& folder) {
  const std::string path = folder + "/adapter_config.json";
  if (!fs::exists(path))
    user_error("{}: not an adapter folder: there is no adapter_config.json in it", folder);
  return read_json_file(path);
}

}  // namespace

Heads adapter_heads(const std::string& folder) {
  const Json config = read_config(folder);
  if (!config.is_object() || !config.contains("task_type") || config["task_type"] != "SEQ_CLS") return {};
  const std::string path = folder + "/adapter_model.safetensors", name = "base_model.model.score.weight";
  const SafetensorsFile file(path);
  const TensorInfo* score = file.find(name);
  if (score == nullptr || score->shape.size() != 2 || score->shape[0] < 1) {
    user_error("{}: expected \"{}\" [scores, hidden], found {}", path, name,
               score == nullptr ? "none" : Json(score->shape).dump());
  }
  Heads heads;
  heads.causal = false;
  heads.scores = score->shape[0];
  return heads;
}

std::unique_ptr<Adapter> load_adapter(Model& model, const std::string& folder) {
  const Json config = read_config(folder);
  const std::string path = folder + "/adapter_config.json";
  const Json type = config.is_object() && config.contains("peft_type") ? config["peft_type"] : Json(nullptr);
  using Load = std::unique_ptr<Adapter> (*)(Model&, const std::string&, const Json&);
  static const std::map<std::string, Load> loaders = {{"LORA", load_lora},
                                                      {"VERA", load_vera},
                                                      {"IA3", load_ia3},
                                                      {"PROMPT_TUNING", load_prompt},
                                                      {"PREFIX_TUNING", load_prefix}};
  const auto load = type.is_string() ? loaders.find(type.get<std::string>()) : loaders.end();
  if (load == loaders.end()) {
    user_error(
        "{}: peft_type: expected \"LORA\", \"VERA\", \"IA3\", \"PROMPT_TUNING\" or \"PREFIX_TUNING\", found "
        "{}",
        path, shown_json(type));
  }
  auto adapter = load->second(model, folder, config);
  if (config.contains("base_model_name_or_path") && config["base_model_name_or_path"].is_string())
    adapter->set_base_model(config["base_model_name_or_path"].get<std::string>());
  return adapter;
}

}  // namespace temper
