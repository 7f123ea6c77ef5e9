#include "model/load.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/expert_files.h"

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

constexpr const char* kHead = "lm_head.weight";
constexpr const char* kEmbedding = "model.embed_tokens.weight";

// The name in a causal model of a tensor that was stored without its base's prefix, with one too many, or as
// the text part of a model of several parts.
std::string causal_name(std::string name) {
  const std::string prefix = "model.", part = "language_model.";
  while (name.starts_with(prefix) || name.starts_with(part))
    name.erase(0, name.starts_with(prefix) ? prefix.size() : part.size());
  return name.starts_with("lm_head.") || name.starts_with("score.") ? name : prefix + name;
}

// What other parts of a model hold: towers that see or hear, and heads that predict several tokens at once.
bool is_of_another_part(const std::string& name) {
  for (const char* part :
       {"model.vision_tower.", "model.vision_model.", "model.visual.", "model.audio_tower.",
        "model.multi_modal_projector.", "model.embed_vision.", "model.embed_audio.", "model.mtp."})
    if (name.starts_with(part)) return true;
  return false;
}

// Keys and values of a layer that reads another's: some files have them all the same.
bool is_of_borrowed(const std::string& name, const std::set<std::string>& known) {
  for (const char* part : {"k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias", "k_norm.weight"}) {
    const std::string end = std::string("self_attn.") + part;
    if (!name.ends_with(end)) continue;
    const std::string attention = name.substr(0, name.size() - std::string(part).size());
    return known.count(attention + "q_proj.weight") && !known.count(attention + "k_proj.weight");
  }
  return false;
}

// N of "model.layers.N."; -1: of no layer.
int64_t layer_number(const std::string& name) {
  const std::string start = "model.layers.";
  if (!name.starts_with(start)) return -1;
  const size_t end = name.find_first_not_of("0123456789", start.size());
  if (end == std::string::npos || end == start.size() || end - start.size() > 6) return -1;
  return std::stoll(name.substr(start.size(), end - start.size()));
}

bool wants(const NamedShapes& wanted, const char* name) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.first == name; });
}

bool same_bytes(const ModelFiles& files, const char* a, const char* b) {
  return files.find(a)->shape == files.find(b)->shape && files.find(a)->dtype == files.find(b)->dtype &&
         files.tensor(a).equal(files.tensor(b));
}

WeightReport compare(const ModelFiles& files, const NamedShapes& wanted) {
  WeightReport report;
  std::set<std::string> known;
  for (const auto& [name, shape] : wanted) {
    known.insert(name);
    const TensorInfo* info = files.find(name);
    if (info == nullptr) {
      const std::string lacking = files.lacking(name);
      report.missing.push_back(lacking.empty() ? name : name + " (" + lacking + ")");
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
  const bool tied = !known.count(kHead);
  int64_t last_layer = -1;  // further ones predict several tokens at once
  for (const auto& [name, shape] : wanted) last_layer = std::max(last_layer, layer_number(name));
  for (const std::string& name : files.names()) {
    if (known.count(name) || is_rotary_buffer(name) || (tied && name == kHead)) continue;
    if (is_of_another_part(name) || is_of_borrowed(name, known) || layer_number(name) > last_layer) {
      report.passed_over.push_back(name);
      continue;
    }
    report.unexpected.push_back(name);
  }
  return report;
}

}  // namespace

ModelFiles::ModelFiles(const std::string& folder, bool tied) : files_(folder) {
  for (const std::string& name : files_.names()) {
    const std::string usual = usual_mlp_name(causal_name(name));
    const bool taken = usual != name && (files_.find(usual) != nullptr || stored_.count(usual) > 0);
    names_.push_back(taken ? name : usual);
    stored_[names_.back()] = name;
  }
  join_experts();
  if (tied && find(kEmbedding) == nullptr && find(kHead) != nullptr) stored_[kEmbedding] = stored_.at(kHead);
}

const std::string& ModelFiles::stored(const std::string& name) const {
  const auto it = stored_.find(name);
  return it == stored_.end() ? name : it->second;
}

namespace {

// Reads no file but where there are weights, and both of two.
bool has_head_of_its_own(const std::string& folder) {
  if (!fs::exists(folder + "/model.safetensors") && !fs::exists(folder + "/model.safetensors.index.json"))
    return false;
  const ModelFiles files(folder);
  if (files.find(kHead) == nullptr || files.find(kEmbedding) == nullptr) return false;
  const bool own = !same_bytes(files, kHead, kEmbedding);
  files.release(kHead);
  files.release(kEmbedding);
  return own;
}

}  // namespace

ModelConfig read_model_config(const std::string& folder) {
  if (!fs::is_directory(folder)) {
    user_error("{}: expected a model folder, found {}", folder, fs::exists(folder) ? "a file" : "nothing");
  }
  const std::string path = folder + "/config.json";
  if (!fs::exists(path)) user_error("{}: not a model folder: there is no config.json in it", folder);
  ModelConfig config = ModelConfig::from_json(read_json_file(path), path);
  if (config.tied && config.causal && has_head_of_its_own(folder)) {
    log_warning("{}: config.json ties the head to the embedding, but {} differs from it; the model has both",
                folder, kHead);
    config.tied = false;
  }
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
  return compare(ModelFiles(folder, !wants(wanted, kHead)), wanted);
}

WeightReport read_weights(const std::string& folder, const NamedShapes& wanted,
                          const std::function<void(const std::string& name, const at::Tensor& mapped)>& fill,
                          bool head_unused) {
  const ModelFiles files(folder, !head_unused && !wants(wanted, kHead));
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
  if (!report.passed_over.empty())
    log_info("{}: {} tensors that the text's part does not use are passed over: {}", folder,
             report.passed_over.size(), first_few(report.passed_over));
  // A model that computes with another head than its file's would be wrong without a word.
  if (!head_unused && !wants(wanted, kHead) && files.find(kHead) != nullptr &&
      files.find(kEmbedding) != nullptr) {
    if (!same_bytes(files, kHead, kEmbedding))
      user_error("{}: the head is tied to the embedding here, but {} differs from it", folder, kHead);
    files.release(kHead);
  }
  for (const auto& [name, shape] : wanted) {
    fill(name, files.tensor(name));
    files.release(name);
  }
  return report;
}

}  // namespace temper
