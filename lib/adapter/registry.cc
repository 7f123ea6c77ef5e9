#include <ATen/ATen.h>

#include "adapter/adapter.h"
#include "adapter/full.h"
#include "adapter/lora.h"
#include "adapter/lora_pair.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tensor/safetensors.h"

namespace temper {

const Registry<AdapterOptions>& adapter_registry() {
  static const Registry<AdapterOptions> registry = [] {
    Registry<AdapterOptions> r("adapter");
    r.add({"full", "every weight trains", "", [] { return std::make_unique<FullOptions>(); }});
    r.add({"lora", "low-rank updates of frozen linears: y = W x + alpha/r B A drop(x)",
           "Hu et al. 2021, arXiv:2106.09685; rslora: Kalajdzievski 2023, arXiv:2312.03732; files: PEFT",
           [] { return std::make_unique<LoraOptions>(); }});
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
  if (type != "LORA")
    user_error("{}: peft_type: expected \"LORA\", found {}", path, dump_line(type).substr(0, 60));
  return load_lora(model, folder, config);
}

}  // namespace temper
