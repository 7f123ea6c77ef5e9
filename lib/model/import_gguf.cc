#include "model/import_gguf.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/families.h"
#include "model/load.h"
#include "model/rope.h"

namespace temper {
namespace {

using at::Tensor;

// llama.cpp's llama rotates neighbouring pairs (2i, 2i+1) where Hugging Face's rotates (i, i + D/2), so its
// converter reorders the rows of each head of q and k. Other architectures keep them.
bool reorders_rows(const std::string& architecture, const std::string& parameter) {
  return architecture == "llama" &&
         (parameter.find(".q_proj.") != std::string::npos || parameter.find(".k_proj.") != std::string::npos);
}
Tensor to_halves(const Tensor& t, int64_t heads) {  // undoes what the converter did
  return t.view({heads, t.size(0) / heads / 2, 2, -1}).transpose(1, 2).reshape(t.sizes());
}
Tensor to_pairs(const Tensor& t, int64_t heads) {
  return t.reshape({heads, 2, t.size(0) / heads / 2, -1}).transpose(1, 2).reshape(t.sizes());
}
int64_t heads_of(const ModelConfig& c, const std::string& parameter) {
  return parameter.find(".q_proj.") != std::string::npos ? c.heads : c.kv_heads;
}

// [D/2]: what llama3's scaling divides each frequency by. Llama 3's GGUF files hold it as a tensor.
Tensor llama3_factors(const ModelConfig& config) {
  Rope plain;
  plain.theta = config.rope.theta;
  return rope_frequencies(plain, config.head_dim, 0) / rope_frequencies(config.rope, config.head_dim, 0);
}

// The scaling of a model that was read without one, as config.json has it; null: none. The file holds Llama
// 3's factors, not the numbers they were made from. Its low and high factors are always 1 and 4; of the
// original lengths, the first that gives these factors serves, as others that do would serve equally.
Json rope_scaling(const GgufFile& file, const std::string& arch, ModelConfig config) {
  Json linear;
  const std::string key = arch + ".rope.scaling.type";
  if (file.has(key) && file.text(key) != "none") {
    if (file.text(key) != "linear")
      user_error("{}: {}: expected \"none\" or \"linear\", found \"{}\"", file.path(), key,
                 file.text(key).substr(0, 40));
    linear = {{"rope_type", "linear"}, {"factor", file.number(arch + ".rope.scaling.factor")}};
  }
  const GgufTensor* factors = file.find("rope_freqs.weight");
  if (factors == nullptr) return linear;
  const Tensor found = file.tensor(*factors).flatten();
  const double factor = std::round(found.max().item<double>() * 1000) / 1000;
  std::vector<int64_t> originals = {8192};
  for (int64_t power = 32; power <= 1 << 20; power *= 2) originals.push_back(power);
  config.rope.type = "llama3";
  config.rope.factor = factor;
  for (const int64_t original : originals) {
    if (!(factor >= 1.0) || found.numel() != config.head_dim / 2) break;
    config.rope.original_max_positions = original;
    if (llama3_factors(config).allclose(found, 1e-3))
      return {{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", 1.0},
              {"high_freq_factor", 4.0},
              {"original_max_position_embeddings", original}};
  }
  user_error("{}: rope_freqs.weight does not hold the factors of Llama 3's scaling; no other is known",
             file.path());
}

std::string first_few(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < items.size() && i < 4; ++i) out += (i > 0 ? ", " : "") + items[i].substr(0, 100);
  return items.size() <= 4 ? out : fmt::format("{} and {} more", out, items.size() - 4);
}

at::ScalarType own_dtype(const GgufFile& file) {
  std::set<GgmlType> types;
  for (const GgufTensor& t : file.tensors()) {
    if (t.shape.size() > 1) types.insert(t.type);
  }
  if (types == std::set<GgmlType>{GgmlType::kF16}) return at::kHalf;
  if (types == std::set<GgmlType>{GgmlType::kBF16}) return at::kBFloat16;
  return at::kFloat;
}

}  // namespace

std::string gguf_name(const std::string& parameter) {
  static const std::pair<const char*, const char*> whole[] = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"}};
  static const std::pair<const char*, const char*> parts[] = {
      {"self_attn.q_proj", "attn_q"},          {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},          {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},     {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},           {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},           {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", "ffn_norm"}};
  for (const auto& [hf, gguf] : whole) {
    if (parameter == hf) return gguf;
  }
  const std::string start = "model.layers.";
  const size_t dot = parameter.find('.', start.size()), last = parameter.rfind('.');
  if (!parameter.starts_with(start) || dot == std::string::npos || dot >= last) return "";
  const std::string layer = parameter.substr(start.size(), dot - start.size()),
                    middle = parameter.substr(dot + 1, last - dot - 1);
  for (const auto& [hf, gguf] : parts) {
    if (middle == hf) return "blk." + layer + "." + gguf + parameter.substr(last);
  }
  return "";
}

ModelConfig config_from_gguf(const GgufFile& file) {
  const std::string arch = file.text("general.architecture");
  const Family* family = nullptr;
  std::string known;
  for (const Family& f : families()) {
    if (f.gguf == nullptr) continue;
    if (arch == f.gguf && family == nullptr) family = &f;
    if (known.find(f.gguf) == std::string::npos) known += (known.empty() ? "" : ", ") + std::string(f.gguf);
  }
  if (family == nullptr) {
    user_error("{}: general.architecture: expected one of {}, found \"{}\"", file.path(), known,
               arch.substr(0, 60));
  }
  auto key = [&](const char* name) { return arch + "." + name; };
  if (file.has(key("expert_count")) && file.integer(key("expert_count")) > 0)
    user_error("{}: mixtures of experts are not supported", file.path());
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    user_error("{}: token_embd.weight: expected a matrix", file.path());

  Json j;
  j["model_type"] = family->name;
  j["vocab_size"] = embedding->shape[0];
  j["hidden_size"] = file.integer(key("embedding_length"));
  j["intermediate_size"] = file.integer(key("feed_forward_length"));
  j["num_hidden_layers"] = file.integer(key("block_count"));
  j["num_attention_heads"] = file.integer(key("attention.head_count"));
  j["num_key_value_heads"] = file.has(key("attention.head_count_kv"))
                                 ? Json(file.integer(key("attention.head_count_kv")))
                                 : j["num_attention_heads"];
  if (file.has(key("attention.key_length"))) {
    j["head_dim"] = file.integer(key("attention.key_length"));
    if (file.has(key("attention.value_length")) &&
        file.integer(key("attention.value_length")) != j["head_dim"]) {
      user_error("{}: {}: keys and values of different sizes are not supported", file.path(),
                 key("attention.value_length"));
    }
  } else if (j["num_attention_heads"] > 0) {
    j["head_dim"] = j["hidden_size"].get<int64_t>() / j["num_attention_heads"].get<int64_t>();
  }
  if (file.has(key("context_length"))) j["max_position_embeddings"] = file.integer(key("context_length"));
  j["rms_norm_eps"] = file.number(key("attention.layer_norm_rms_epsilon"));
  if (file.has(key("rope.freq_base"))) j["rope_theta"] = file.number(key("rope.freq_base"));
  j["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  if (reads_key(*family, "attention_bias")) j["attention_bias"] = file.find("blk.0.attn_q.bias") != nullptr;
  if (reads_key(*family, "mlp_bias")) j["mlp_bias"] = file.find("blk.0.ffn_up.bias") != nullptr;
  if (reads_key(*family, "sliding_window")) j["sliding_window"] = nullptr;
  const std::string where = file.path() + ": metadata";
  ModelConfig config = ModelConfig::from_json(j, where);
  j["rope_scaling"] = rope_scaling(file, arch, config);
  config = ModelConfig::from_json(j, where);
  if (file.has(key("rope.dimension_count")) && file.integer(key("rope.dimension_count")) != config.head_dim) {
    user_error("{}: {}: expected the head size {}, found {}", file.path(), key("rope.dimension_count"),
               config.head_dim, file.integer(key("rope.dimension_count")));
  }
  config.bos_id.reset();
  config.eos_ids.clear();
  return config;
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

  std::set<std::string> used = {"rope_freqs.weight"};
  std::vector<TensorSpec> specs;
  const at::ScalarType type = dtype.value_or(own_dtype(file));
  for (const auto& [name, shape] : parameter_shapes(config)) {
    const GgufTensor* info = file.find(gguf_name(name));
    if (info == nullptr) user_error("{}: the tensor {} is missing", path, gguf_name(name));
    if (info->shape != shape) {
      user_error("{}: the tensor {}: expected shape {}, found {}", path, info->name, Json(shape).dump(),
                 Json(info->shape).dump());
    }
    used.insert(info->name);
    specs.push_back({name, type, shape});
  }
  std::vector<std::string> unexpected;
  for (const GgufTensor& t : file.tensors()) {
    if (!used.count(t.name) && !t.name.ends_with("attn_rot_embd.weight")) unexpected.push_back(t.name);
  }
  if (!unexpected.empty())
    user_error("{}: tensors that a {} model does not have: {}", path, arch, first_few(unexpected));

  const std::string tokenizer = tokenizer_json(vocabulary, path);
  const Json tokenizer_config = tokenizer_config_json(vocabulary, config.max_positions);
  Json json = config.to_json();
  json["dtype"] = c10::getDtypeNames(type).first;
  json["torch_dtype"] = json["dtype"];
  save_pretrained(folder, json, generation_json(config), specs, [&](size_t i) {
    const Tensor t = file.tensor(*file.find(gguf_name(specs[i].name)));
    return reorders_rows(arch, specs[i].name) ? to_halves(t, heads_of(config, specs[i].name)) : t;
  });
  write_file_atomic(folder + "/tokenizer.json", tokenizer);
  write_file_atomic(folder + "/tokenizer_config.json",
                    tokenizer_config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void folder_to_gguf(const std::string& folder, const std::string& path, std::optional<at::ScalarType> dtype,
                    const GgufVocabulary& vocabulary) {
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
               first_few(report.missing.empty() ? report.misshapen : report.missing));
  const ModelFiles files(folder, config.tied);
  if (static_cast<int64_t>(vocabulary.tokens.size()) > config.vocab) {
    user_error("{}: the tokenizer has {} tokens, but the embedding {} rows", folder, vocabulary.tokens.size(),
               config.vocab);
  }
  GgufVocabulary padded = vocabulary;  // llama.cpp wants a token for every row
  for (auto i = static_cast<int64_t>(padded.tokens.size()); i < config.vocab; ++i) {
    padded.tokens.push_back(fmt::format("[PAD{}]", i));
    padded.types.push_back(GgufVocabulary::kUnused);
    if (padded.model == "llama") padded.scores.push_back(0.0f);
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
  const GgmlType ggml = type == at::kBFloat16 ? GgmlType::kBF16
                        : type == at::kHalf   ? GgmlType::kF16
                                              : GgmlType::kF32;
  int64_t context = config.max_positions;
  for (int64_t i = 0; i < config.layers; ++i)
    context = config.window(i) > 0 ? std::min(context, config.window(i)) : context;
  if (config.sliding_window > 0) {
    log_warning(
        "{}: GGUF's \"{}\" has no sliding window, llama.cpp lets every token see all before it; the file's "
        "context_length is the window of {}, up to which both compute the same",
        folder, arch, config.sliding_window);
  }

  GgufWriter writer;
  auto u32 = [&](const char* name, int64_t value) {
    writer.u32(arch + "." + name, static_cast<uint32_t>(value));
  };
  writer.text("general.architecture", arch);
  writer.text("general.name", fs::path(folder).lexically_normal().filename().string());
  writer.u32("general.file_type", ggml == GgmlType::kBF16 ? 32 : ggml == GgmlType::kF16 ? 1 : 0);
  u32("block_count", config.layers);
  u32("context_length", context);
  u32("embedding_length", config.hidden);
  u32("feed_forward_length", config.intermediate);
  u32("attention.head_count", config.heads);
  u32("attention.head_count_kv", config.kv_heads);
  u32("attention.key_length", config.head_dim);
  u32("attention.value_length", config.head_dim);
  u32("rope.dimension_count", config.head_dim);
  u32("vocab_size", config.vocab);
  writer.f32(arch + ".attention.layer_norm_rms_epsilon", static_cast<float>(config.norm_eps));
  writer.f32(arch + ".rope.freq_base", static_cast<float>(config.rope.theta));
  if (config.rope.type == "linear") {
    writer.text(arch + ".rope.scaling.type", "linear");
    writer.f32(arch + ".rope.scaling.factor", static_cast<float>(config.rope.factor));
  }
  write_gguf_vocabulary(padded, writer);

  std::vector<std::string> names;
  auto announce = [&](const std::string& hf, const std::string& name, const std::vector<int64_t>& shape) {
    names.push_back(hf);
    writer.tensor(name, shape.size() > 1 ? ggml : GgmlType::kF32, shape);
  };
  if (config.rope.type == "llama3") announce("", "rope_freqs.weight", {config.head_dim / 2});
  for (const auto& [name, shape] : shapes) announce(name, gguf_name(name), shape);
  writer.write(path, [&](size_t i) {
    if (names[i].empty()) return llama3_factors(config);
    const Tensor t = files.tensor(names[i]);
    return reorders_rows(arch, names[i]) ? to_pairs(t, heads_of(config, names[i])) : t;
  });
}

}  // namespace temper
