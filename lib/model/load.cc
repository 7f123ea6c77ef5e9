#include "model/load.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace temper {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string first_few(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < items.size() && i < 4; ++i) out += (i > 0 ? "; " : "") + items[i].substr(0, 200);
  return items.size() <= 4 ? out : fmt::format("{} and {} more", out, items.size() - 4);
}

bool is_rotary_buffer(const std::string& name) {
  return name.ends_with("rotary_emb.inv_freq");
}

WeightReport compare(const SafetensorsFolder& files, const NamedShapes& wanted) {
  WeightReport report;
  std::set<std::string> known;
  for (const auto& [name, shape] : wanted) {
    known.insert(name);
    const TensorInfo* info = files.find(name);
    if (info == nullptr) {
      report.missing.push_back(name);
      continue;
    }
    if (info->shape != shape) {
      report.misshapen.push_back(
          fmt::format("{}: expected {}, found {}", name, shape_text(shape), shape_text(info->shape)));
      continue;
    }
    const std::string dtype = safetensors_dtype(info->dtype);
    report.dtype = report.dtype.empty() || report.dtype == dtype ? dtype : "mixed";
    int64_t count = 1;
    for (const int64_t dim : shape) count *= dim;
    report.parameters += count;
  }
  const bool tied = !known.count("lm_head.weight");
  for (const std::string& name : files.names()) {
    if (known.count(name) || is_rotary_buffer(name) || (tied && name == "lm_head.weight")) continue;
    report.unexpected.push_back(name);
  }
  return report;
}

}  // namespace

ModelConfig read_model_config(const std::string& folder) {
  if (!fs::is_directory(folder)) {
    user_error("{}: expected a model folder, found {}", folder, fs::exists(folder) ? "a file" : "nothing");
  }
  const std::string path = folder + "/config.json";
  if (!fs::exists(path)) user_error("{}: not a model folder: there is no config.json in it", folder);
  ModelConfig config = ModelConfig::from_json(read_json_file(path), path);
  const std::string generation = folder + "/generation_config.json";
  // A model that generates nothing goes by config.json alone.
  if (!config.causal || !fs::exists(generation)) return config;
  const Json json = read_json_file(generation);
  if (!json.is_object()) user_error("{}: expected an object", generation);
  // Read by the rules of config.json: its ids stand in for the config's where they are given.
  Json merged = config.to_json();
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (json.contains(key) && !json[key].is_null()) merged[key] = json[key];
  }
  const ModelConfig ids = ModelConfig::from_json(merged, generation);
  config.bos_id = ids.bos_id;
  config.eos_ids = ids.eos_ids;
  config.pad_id = ids.pad_id;
  return config;
}

WeightReport inspect_weights(const std::string& folder, const NamedShapes& wanted) {
  return compare(SafetensorsFolder(folder), wanted);
}

WeightReport read_weights(const std::string& folder, const NamedShapes& wanted,
                          const std::function<void(const std::string& name, const at::Tensor& mapped)>& fill,
                          bool head_unused) {
  const SafetensorsFolder files(folder);
  const WeightReport report = compare(files, wanted);
  const std::string hint =
      report.unexpected.empty() ? "" : fmt::format("; unexpected: {}", first_few(report.unexpected));
  if (!report.missing.empty()) {
    user_error("{}: {} of {} parameters are missing: {}{}", folder, report.missing.size(), wanted.size(),
               first_few(report.missing), hint);
  }
  if (!report.misshapen.empty()) {
    user_error("{}: {} of {} parameters do not fit config.json: {}", folder, report.misshapen.size(),
               wanted.size(), first_few(report.misshapen));
  }
  for (const auto& [name, shape] : wanted) {
    if (!c10::isFloatingType(files.find(name)->dtype)) {
      user_error("{}: \"{}\" is {}; expected a floating-point type", folder, name,
                 safetensors_dtype(files.find(name)->dtype));
    }
  }
  // transformers unties a head that has weights of its own; a model that computes with another head than its
  // file's would be wrong without a word.
  const TensorInfo* head = files.find("lm_head.weight");
  const TensorInfo* embedding = files.find("model.embed_tokens.weight");
  const bool tied = !head_unused && std::none_of(wanted.begin(), wanted.end(),
                                                 [](const auto& w) { return w.first == "lm_head.weight"; });
  if (tied && head != nullptr && embedding != nullptr) {
    if (head->shape != embedding->shape || head->dtype != embedding->dtype ||
        !files.tensor("lm_head.weight").equal(files.tensor("model.embed_tokens.weight"))) {
      user_error(
          "{}: config.json ties the head to the embedding, but lm_head.weight differs from it; set "
          "tie_word_embeddings to false",
          folder);
    }
    files.release("lm_head.weight");
  }
  for (const auto& [name, shape] : wanted) {
    fill(name, files.tensor(name));
    files.release(name);
  }
  return report;
}

}  // namespace temper
