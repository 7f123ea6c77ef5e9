#include <ATen/ATen.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/families.h"
#include "model/load.h"

namespace temper {

Json generation_json(const ModelConfig& config) {
  Json j = Json::object();
  if (config.bos_id) j["bos_token_id"] = *config.bos_id;
  if (config.eos_ids.size() == 1) j["eos_token_id"] = config.eos_ids[0];
  if (config.eos_ids.size() > 1) j["eos_token_id"] = config.eos_ids;
  if (config.pad_id) j["pad_token_id"] = *config.pad_id;
  return j;
}

void save_pretrained(const std::string& folder, const ModelConfig& config, const NamedTensors& tensors,
                     at::ScalarType dtype) {
  std::vector<TensorSpec> specs;
  std::vector<at::Tensor> values;
  for (const auto& [name, tensor] : tensors) {
    for (const auto& [stored, part] : stored_parts(config, name, tensor)) {
      specs.push_back({stored, is_fp32_constant(name) ? at::kFloat : dtype, part.sizes().vec()});
      values.push_back(part);
    }
  }
  Json json = config.to_json();
  json["dtype"] = c10::getDtypeNames(dtype).first;  // "bfloat16"
  json["torch_dtype"] = json["dtype"];              // the same, for transformers 4
  save_pretrained(folder, json, generation_json(config), specs, [&](size_t i) { return values[i]; });
}

void save_pretrained(const std::string& folder, const Json& config_json, const Json& generation_json,
                     const std::vector<TensorSpec>& specs, const std::function<at::Tensor(size_t)>& produce) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) user_error("{}: cannot create the folder: {}", folder, error.message());
  write_safetensors_folder(folder, specs, produce);
  write_file_atomic(folder + "/generation_config.json", generation_json.dump(2) + "\n");
  write_file_atomic(folder + "/config.json", config_json.dump(2) + "\n");
}

}  // namespace temper
