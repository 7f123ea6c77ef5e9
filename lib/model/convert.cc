#include "model/convert.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/load.h"

namespace temper {

at::ScalarType weight_dtype(const std::string& name) {
  if (name == "f32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "f16") return at::kHalf;
  user_error("dtype: expected f32, bf16 or f16, found \"{}\"", name);
}

ModelConfig complete_model_config(const std::string& folder) {
  const ModelConfig config = read_model_config(folder);
  const WeightReport report = inspect_weights(folder, parameter_shapes(config));
  if (!report.complete()) {
    user_error("{}: not a complete model: {}", folder,
               report.missing.empty() ? report.misshapen[0] : report.missing[0] + " is missing");
  }
  return config;
}

void cast_folder(const std::string& from, const std::string& to, std::optional<at::ScalarType> dtype) {
  complete_model_config(from);
  const SafetensorsFolder files(from);
  std::vector<TensorSpec> specs;
  for (const std::string& name : files.names()) {
    const TensorInfo& info = *files.find(name);
    specs.push_back({name, dtype && c10::isFloatingType(info.dtype) ? *dtype : info.dtype, info.shape});
  }
  fs::create_directories(to);
  write_safetensors_folder(to, specs, [&](size_t i) { return files.tensor(specs[i].name); });
  write_file_atomic(to + "/config.json", config_with_dtype(from, dtype).dump(2) + "\n");
  copy_side_files(from, to);
}

Json config_with_dtype(const std::string& folder, std::optional<at::ScalarType> dtype) {
  Json json = read_json_file(folder + "/config.json");
  // A config that ties what is not tied would go wrong with the next reader.
  if (json.value("tie_word_embeddings", Json()) == true && !read_model_config(folder).tied)
    json["tie_word_embeddings"] = false;
  if (!dtype) return json;
  // transformers 4 and 5 spell the key differently; the old one is read by both.
  const std::string name(c10::getDtypeNames(*dtype).first);
  if (json.contains("dtype")) json["dtype"] = name;
  json["torch_dtype"] = name;
  return json;
}

void copy_side_files(const std::string& from, const std::string& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string(), extension = entry.path().extension().string();
    // DONE speaks of the folder it is in.
    if (!entry.is_regular_file() || name == "config.json" || name == "DONE" ||
        name.ends_with(".index.json") || name.starts_with("adapter_"))
      continue;
    bool weights = false;
    for (const char* kind :
         {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".tmp"})
      weights |= extension == kind;
    if (weights) continue;
    std::error_code error;
    fs::copy_file(entry.path(), fs::path(to) / name, fs::copy_options::overwrite_existing, error);
    if (error) user_error("{}: cannot copy to {}: {}", entry.path().string(), to, error.message());
  }
}

}  // namespace temper
