#include "model/gguf/import_gguf.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/families.h"
#include "model/gguf/gguf_check.h"
#include "model/gguf/gguf_config.h"
#include "model/gguf/gguf_families.h"
#include "model/gguf/gguf_mixture.h"
#include "model/gguf/gguf_tensors.h"
#include "model/load.h"

namespace temper {
namespace {

using at::Tensor;

std::string first_names(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < items.size() && i < 4; ++i) out += (i > 0 ? ", " : "") + items[i].substr(0, 100);
  return items.size() <= 4 ? out : fmt::format("{} and {} more", out, items.size() - 4);
}

// The floating-point type of all matrices; MXFP4's numbers are bf16's, too.
at::ScalarType own_dtype(const GgufFile& file) {
  std::set<GgmlType> types;
  for (const GgufTensor& t : file.tensors()) {
    if (!always_f32(t.name, t.shape)) types.insert(t.type);
  }
  if (types == std::set<GgmlType>{GgmlType::kF16}) return at::kHalf;
  types.erase(GgmlType::kMXFP4);
  if (types == std::set<GgmlType>{GgmlType::kBF16}) return at::kBFloat16;
  return at::kFloat;
}

// Of a layer behind those that the model computes: it predicts several tokens at once.
bool is_of_further_layer(const std::string& name, int64_t layers) {
  const std::string start = "blk.";
  if (!name.starts_with(start)) return false;
  const size_t dot = name.find_first_not_of("0123456789", start.size());
  return dot > start.size() && dot < start.size() + 7 &&
         std::stoll(name.substr(start.size(), dot - start.size())) >= layers;
}

std::vector<std::string> names_in(const GgufFile& file, const ModelConfig& config,
                                  const std::string& parameter) {
  return gguf_names_in(config, parameter,
                       [&](const std::string& name) { return file.find(name) != nullptr; });
}

// Of a layer that reads another one's keys and values: files made from Gemma 4's have them, without use.
bool is_of_borrower(const std::string& name, const ModelConfig& config) {
  for (int64_t l = config.layers - config.unlike.borrowers; l < config.layers; ++l)
    for (const char* part : {"attn_k", "attn_v", "attn_k_norm"})
      if (name == fmt::format("blk.{}.{}.weight", l, part)) return true;
  return false;
}

// Some files have vectors as matrices of one row.
std::vector<int64_t> without_ones(const std::vector<int64_t>& shape) {
  std::vector<int64_t> out;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(out), [](int64_t size) { return size != 1; });
  return out;
}

// A parameter's tensors in a file, as one.
Tensor parameter_in(const GgufFile& file, const ModelConfig& config, const std::string& parameter) {
  std::vector<Tensor> parts;
  for (const std::string& name : names_in(file, config, parameter))
    parts.push_back(file.tensor(*file.find(name)));
  return from_gguf(config, parameter, parts);
}

}  // namespace

ModelConfig config_from_gguf(const GgufFile& file) {
  const Family& family = family_in(file);
  return config_of(family, contents_of(file, family));
}

void gguf_to_folder(const std::string& path, const std::string& folder, std::optional<at::ScalarType> dtype) {
  const GgufFile file(path);
  ModelConfig config = config_from_gguf(file);
  const std::string arch = file.text("general.architecture");
  const GgufVocabulary vocabulary = read_gguf_vocabulary(file);
  if (static_cast<int64_t>(vocabulary.tokens.size()) > config.vocab) {
    user_error("{}: {} tokens, but the embedding has {} rows", path, vocabulary.tokens.size(), config.vocab);
  }
  config.bos_id = vocabulary.bos;
  config.pad_id = vocabulary.pad;
  for (const auto& id : {vocabulary.eos, vocabulary.eot, vocabulary.eom}) {
    if (id && std::find(config.eos_ids.begin(), config.eos_ids.end(), *id) == config.eos_ids.end())
      config.eos_ids.push_back(*id);
  }

  std::set<std::string> used;
  for (const auto& [name, factors] : gguf_rope_tensors(config)) used.insert(name);
  const NamedShapes shapes = parameter_shapes(config);
  for (const auto& [parameter, shape] : shapes) {
    const std::vector<std::string> names = names_in(file, config, parameter);
    for (size_t k = 0; k < names.size(); ++k) {
      const std::string& name = names[k];
      const GgufTensor* info = file.find(name);
      if (info == nullptr) user_error("{}: the tensor {} is missing", path, name);
      if (const auto expected = gguf_shape(config, parameter, shape, k, names.size());
          without_ones(info->shape) != without_ones(expected))
        user_error("{}: the tensor {}: expected shape {}, found {}", path, name, Json(expected).dump(),
                   Json(info->shape).dump());
      used.insert(name);
    }
  }
  const bool further = file.has(arch + ".nextn_predict_layers");
  std::vector<std::string> unexpected;
  for (const GgufTensor& t : file.tensors()) {
    if (!used.count(t.name) && !t.name.ends_with("attn_rot_embd.weight") &&
        !(further && is_of_further_layer(t.name, config.layers)) && !is_of_borrower(t.name, config))
      unexpected.push_back(t.name);
  }
  if (!unexpected.empty())
    user_error("{}: tensors that a {} model does not have: {}", path, arch, first_names(unexpected));

  // What is stored, and which part of which parameter it is.
  const at::ScalarType type = dtype.value_or(own_dtype(file));
  std::vector<TensorSpec> specs;
  std::vector<std::pair<std::string, size_t>> sources;
  for (const auto& [parameter, shape] : shapes) {
    const NamedTensors parts = stored_parts(config, parameter, at::zeros({}).expand(shape));
    for (size_t k = 0; k < parts.size(); ++k) {
      specs.push_back(
          {parts[k].first, is_fp32_constant(parameter) ? at::kFloat : type, parts[k].second.sizes().vec()});
      sources.emplace_back(parameter, k);
    }
  }

  const std::string tokenizer = tokenizer_json(vocabulary, path);
  const Json tokenizer_config = tokenizer_config_json(vocabulary, config.max_positions);
  Json json = config.to_json();
  json["dtype"] = c10::getDtypeNames(type).first;
  json["torch_dtype"] = json["dtype"];
  std::string held;
  NamedTensors parts;
  save_pretrained(folder, json, generation_json(config), specs, [&](size_t i) {
    const auto& [parameter, part] = sources[i];
    if (held != parameter) parts = stored_parts(config, parameter, parameter_in(file, config, parameter));
    held = parameter;
    return parts[part].second;
  });
  write_file_atomic(folder + "/tokenizer.json", tokenizer);
  write_file_atomic(folder + "/tokenizer_config.json",
                    tokenizer_config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void folder_to_gguf(const std::string& folder, const std::string& path, std::optional<at::ScalarType> dtype,
                    const GgufVocabulary& vocabulary, const std::string& mixture) {
  const ModelConfig config = read_model_config(folder);
  if (!config.causal)
    user_error("{}: a model for sequence classification; GGUF files hold causal ones", folder);
  if (family_of(config).gguf == nullptr)
    user_error("{}: models of the family {} are not written as GGUF yet", folder, config.family);
  const std::string arch = family_of(config).gguf;
  const NamedShapes shapes = parameter_shapes(config);
  const WeightReport report = inspect_weights(folder, shapes);
  if (!report.complete())
    user_error("{}: not a complete model: {}", folder,
               first_names(report.missing.empty() ? report.misshapen : report.missing));
  const ModelFiles files(folder, config.tied);
  if (static_cast<int64_t>(vocabulary.tokens.size()) > config.vocab) {
    user_error("{}: the tokenizer has {} tokens, but the embedding {} rows", folder, vocabulary.tokens.size(),
               config.vocab);
  }
  GgufVocabulary padded = vocabulary;  // llama.cpp wants a token for every row
  if (arch == "gemma4" && padded.model == "llama" && !padded.merges.empty() && !padded.add_space_prefix)
    padded.model = "gemma4";
  for (auto i = static_cast<int64_t>(padded.tokens.size()); i < config.vocab; ++i) {
    padded.tokens.push_back(fmt::format("[PAD{}]", i));
    padded.types.push_back(GgufVocabulary::kUnused);
    if (padded.model != "gpt2") padded.scores.push_back(0.0f);
  }
  // What ends a completion, the tokenizer's own end token first, as llama.cpp's converter has it.
  std::vector<int64_t> ends;
  for (const int64_t id : config.eos_ids) {
    if (id < config.vocab && id != vocabulary.eos) ends.push_back(id);
  }
  if (vocabulary.eos) ends.insert(ends.begin(), *vocabulary.eos);
  const auto end = [&](size_t i) { return i < ends.size() ? std::optional<int64_t>(ends[i]) : std::nullopt; };
  padded.eos = end(0);
  padded.eot = end(1);
  padded.eom = end(2);

  at::ScalarType type = dtype.value_or(files.find("model.embed_tokens.weight")->dtype);
  if (type == at::kDouble) type = at::kFloat;
  GgmlType ggml = type == at::kBFloat16 ? GgmlType::kBF16
                  : type == at::kHalf   ? GgmlType::kF16
                                        : GgmlType::kF32;
  if (!mixture.empty()) ggml = GgmlType::kF16;  // not kept in fp32: choose_types() says more
  Json metadata = gguf_metadata(config);
  if (const auto windows = gguf_family(family_of(config)).windows;
      config.sliding_window > 0 && windows != GgufFamily::kComputed) {
    std::string then = "the file's context_length is beyond its window";
    if (windows == GgufFamily::kNoWindow) {
      metadata["context_length"] = std::min(config.max_positions, config.sliding_window);
      then = "the file's context_length is the window";
    }
    log_warning(
        "{}: GGUF's \"{}\" has no sliding window, llama.cpp lets every token see all before it; {} of {}, up "
        "to "
        "which both compute the same",
        folder, arch, then, config.sliding_window);
  }

  // The tensors, and which part of which parameter each is; behind them, the rotary factors.
  GgufWriter writer;
  struct Source {
    std::string parameter;
    size_t part, parts;
  };
  std::vector<Source> sources;
  std::vector<GgufTensor> tensors;
  std::set<std::string> names;
  for (const auto& [parameter, shape] : shapes) {
    const std::vector<std::string> parts = gguf_names(config, parameter);
    if (parts.empty()) bug("{} has no name in GGUF's {}", parameter, arch);
    for (size_t k = 0; k < parts.size(); ++k) {
      const std::vector<int64_t> size = gguf_shape(config, parameter, shape, k, parts.size());
      tensors.push_back({parts[k], always_f32(parts[k], size) ? GgmlType::kF32 : ggml, size});
      sources.push_back({parameter, k, parts.size()});
      names.insert(parts[k]);
    }
  }
  const NamedTensors factors = gguf_rope_tensors(config);
  for (const auto& [name, values] : factors) {
    tensors.push_back({name, GgmlType::kF32, values.sizes().vec()});
    names.insert(name);
  }
  GgufContents contents{folder, metadata, config.vocab, {}, {}};
  contents.has = [&](const std::string& name) { return names.count(name) > 0; };
  contents.read = [&](const std::string& name) {
    return std::find_if(factors.begin(), factors.end(), [&](const auto& f) { return f.first == name; })
        ->second;
  };
  check_expressible(config, contents, folder);
  if (!mixture.empty()) choose_types(mixture, config, arch, tensors);

  writer.text("general.architecture", arch);
  writer.text("general.name", fs::path(folder).lexically_normal().filename().string());
  writer.u32("general.file_type", !mixture.empty()          ? gguf_file_type(mixture)
                                  : ggml == GgmlType::kBF16 ? 32
                                  : ggml == GgmlType::kF16  ? 1
                                                            : 0);
  if (!mixture.empty()) writer.u32("general.quantization_version", 2);
  write_gguf_keys(family_of(config), metadata, writer);
  write_gguf_vocabulary(padded, writer);
  for (const GgufTensor& t : tensors) writer.tensor(t.name, t.type, t.shape);
  writer.write(path, [&](size_t i) {
    if (i >= sources.size()) return factors[i - sources.size()].second;
    return to_gguf(config, sources[i].parameter, files.tensor(sources[i].parameter), sources[i].part,
                   sources[i].parts);
  });
}

}  // namespace temper
