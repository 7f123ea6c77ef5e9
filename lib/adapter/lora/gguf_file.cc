#include "adapter/lora/gguf_file.h"

#include <ATen/ATen.h>

#include <vector>

#include "adapter/lora/lora.h"
#include "adapter/peft_files.h"
#include "base/error.h"
#include "base/file.h"
#include "model/families.h"
#include "model/gguf/gguf_tensors.h"
#include "model/load.h"
#include "tensor/gguf.h"

namespace temper {

void adapter_to_gguf(const std::string& adapter, const std::string& base, const std::string& path) {
  const ModelConfig config = read_model_config(base);
  const Family& family = family_of(config);
  if (family.gguf == nullptr)
    user_error("{}: models of the family {} are not written as GGUF yet", base, config.family);
  const std::string where = adapter + "/adapter_config.json";
  const LoraOptions options = lora_options_from(read_json_file(where), where);
  if (!options.target_parameters.empty())
    user_error(
        "{}: an update of \"{}\": a mixture's routers and experts have no place in an adapter's GGUF file; "
        "merge it instead (without --adapter-only)",
        base, options.target_parameters.front());
  const SafetensorsFile file = open_adapter_tensors(adapter);
  GgufWriter writer;
  writer.text("general.architecture", family.gguf);
  writer.text("general.type", "adapter");
  writer.text("general.name", fs::path(path).stem().string());
  writer.text("adapter.type", "lora");
  writer.f32("adapter.lora.alpha", static_cast<float>(options.alpha));
  std::vector<at::Tensor> values;
  const std::string ending = ".lora_A.weight", prefix = kPeftPrefix;
  for (const TensorInfo& info : file.tensors()) {
    if (!info.name.ends_with(ending)) continue;
    const std::string module =
        info.name.substr(prefix.size(), info.name.size() - prefix.size() - ending.size());
    const std::string parameter = module + ".weight";
    const std::vector<std::string> names = gguf_names(config, parameter);
    if (names.size() != 1 || module == kEmbedding || module == kHead)
      user_error(
          "{}: an update of \"{}\" has no place in an adapter's GGUF file; merge it instead (without "
          "--adapter-only)",
          base, module);
    const at::Tensor a = file.tensor(info).to(at::kFloat);
    const at::Tensor b = file.tensor(*file.find(prefix + module + ".lora_B.weight")).to(at::kFloat);
    // llama.cpp scales by alpha / rank, one alpha for all.
    const double scale = static_cast<double>(a.size(0)) / options.alpha;
    const LowRank update = to_gguf(config, parameter, LowRank{a, b * scale});
    values.push_back(update.a.contiguous());
    values.push_back(update.b.contiguous());
    writer.tensor(names[0] + ".lora_a", GgmlType::kF32, values[values.size() - 2].sizes().vec());
    writer.tensor(names[0] + ".lora_b", GgmlType::kF32, values.back().sizes().vec());
  }
  if (values.empty()) user_error("{}: holds no update", adapter);
  writer.write(path, [&](size_t i) { return values[i]; });
}

}  // namespace temper
