#include "adapter/soft_prompt.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "adapter/peft_files.h"
#include "adapter/saved_modules.h"
#include "base/error.h"
#include "base/random.h"
#include "model/families.h"
#include "tensor/ops.h"
#include "tensor/recurrent/causal_conv.h"

namespace temper {
namespace {

using at::Tensor;

std::vector<int64_t> drawn_ids(const Model& model, int64_t count, uint64_t seed) {
  RandomStream stream(seed, "init.prompt_embeddings");
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(static_cast<int64_t>(stream.uniform() * static_cast<double>(model.config().vocab)));
  return out;
}

Tensor normal(std::vector<int64_t> shape, uint64_t seed) {
  Tensor out = at::empty(shape, at::kFloat);
  RandomStream stream(seed, "init.prompt_embeddings");
  float* values = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(stream.normal());
  return out;
}

// Both kinds: one trained tensor [tokens, width].
class SoftPrompt : public Adapter, public VirtualTokens {
 public:
  SoftPrompt(Model& model, int64_t tokens, int64_t width)
      : model_(model), saved_(model, always_saved(model), "adapter") {
    values_ =
        at::zeros({tokens, width}, at::TensorOptions().dtype(at::kFloat).device(model.precision().device));
    values_.requires_grad_(true);
    model_.set_virtual_tokens(this);
  }
  ~SoftPrompt() override {
    if (model_.virtual_tokens() == this) model_.set_virtual_tokens(nullptr);
  }

  void set_values(const Tensor& values) {
    const at::NoGradGuard no_grad;
    values_.copy_(values);
  }
  NamedTensors tensors() const {
    NamedTensors out = {{"prompt_embeddings", values_.detach()}};
    for (auto& saved : saved_.folder_tensors(model_.config().causal)) out.push_back(std::move(saved));
    return out;
  }

  int64_t count() const override { return values_.size(0); }
  std::vector<std::pair<std::string, Tensor>> trainable() override {
    std::vector<std::pair<std::string, Tensor>> out = {{"prompt_embeddings", values_}};
    for (const Parameter* p : saved_.parameters()) out.emplace_back(p->name, p->master);
    return out;
  }
  void refresh() override { model_.refresh(); }
  bool can_switch_off() const override { return true; }
  void set_enabled(bool enabled) override {
    model_.set_virtual_tokens(enabled ? this : nullptr);
    saved_.set_enabled(enabled);
  }
  void save(const std::string& folder, at::ScalarType) override {
    Json j = config();
    j["auto_mapping"] = nullptr;
    j["num_layers"] = model_.config().layers;
    j["num_transformer_submodules"] = 1;
    j["num_virtual_tokens"] = count();
    save_adapter(folder, tensors(), peft_config(j, base_model_, model_.config().causal));
  }
  void merge() override {
    user_error(
        "a soft prompt is no part of the weights and cannot be merged; keep the adapter's folder beside the "
        "model");
  }

 protected:
  virtual Json config() const = 0;
  Model& model_;
  SavedModules saved_;
  Tensor values_;
};

class PromptAdapter : public SoftPrompt {
 public:
  PromptAdapter(Model& model, const PromptOptions& options, uint64_t seed)
      : SoftPrompt(model, options.tokens, model.config().hidden), options_(options), seed_(seed) {
    if (model.config().unlike.own_embedding_width > 0)
      user_error(
          "adapter.kind: every layer of this model looks up an embedding of the token, which virtual tokens "
          "do not have; expected another adapter, such as \"lora\"");
  }

  Tensor embeddings() override { return values_; }

  void start(const AdapterStart& from) override {
    if (options_.init == "normal") return set_values(normal(values_.sizes().vec(), seed_));
    std::vector<int64_t> ids;
    if (options_.init == "vocab") {
      ids = drawn_ids(model_, count(), seed_);
    } else {  // the text's tokens, over and over, as PEFT takes them
      const std::vector<int64_t> text = from.encode(options_.text);
      if (text.empty()) user_error("adapter.text: \"{}\" has no token", options_.text);
      for (int64_t i = 0; i < count(); ++i) ids.push_back(text[static_cast<size_t>(i) % text.size()]);
    }
    const Tensor& table = model_.find("model.embed_tokens.weight")->compute;
    Tensor rows = table.index_select(0, at::tensor(ids, at::kLong).to(table.device()));
    const ModelConfig& config = model_.config();
    if (family_of(config).scales_embeddings)  // what the model's embedding gives, as PEFT takes it
      rows = rows * at::scalar_tensor(config.embedding_scale, rows.options());
    set_values(rows);
  }

 protected:
  Json config() const override {
    Json j;
    j["num_attention_heads"] = model_.config().heads;
    j["peft_type"] = "PROMPT_TUNING";
    j["prompt_tuning_init"] = "RANDOM";  // the values are in the file
    j["prompt_tuning_init_text"] = nullptr;
    j["token_dim"] = model_.config().hidden;
    j["tokenizer_kwargs"] = nullptr;
    j["tokenizer_name_or_path"] = nullptr;
    return j;
  }

 private:
  PromptOptions options_;
  uint64_t seed_;
};

// values [tokens, layers * 2 * kv_heads * head_dim]: of each layer the keys, then the values.
class PrefixAdapter : public SoftPrompt {
 public:
  PrefixAdapter(Model& model, const PrefixOptions& options, uint64_t seed)
      : SoftPrompt(model, options.tokens, model.config().layers * 2 * width(model)),
        options_(options),
        seed_(seed) {
    const ModelConfig& c = model.config();
    for (int64_t l = 0; l < c.layers; ++l) {
      if (c.kv_heads_of(l) == c.kv_heads && c.head_dim_of(l) == c.head_dim) continue;
      user_error(
          "adapter.kind: a prefix is keys and values of the same size in every layer, and layer {} of this "
          "model has {}; expected another adapter, such as \"lora\"",
          l, c.kv_heads_of(l) == 0 ? "none of its own" : "others");
    }
  }

  // Their hidden states reach nobody: attention sees the keys and values below, and rows of them are left
  // out.
  Tensor embeddings() override {
    return at::zeros({count(), model_.config().hidden}, values_.options().requires_grad(false));
  }
  std::pair<Tensor, Tensor> keys_and_values(int64_t layer) override {
    const ModelConfig& c = model_.config();
    const Tensor all = values_.view({count(), 2 * c.layers, c.kv_heads, c.head_dim});
    return {all.select(1, 2 * layer), all.select(1, 2 * layer + 1)};
  }

  void start(const AdapterStart&) override {
    if (options_.init == "normal")
      set_values(normal(values_.sizes().vec(), seed_));
    else
      set_to_tokens(drawn_ids(model_, count(), seed_));
  }

 protected:
  Json config() const override {
    Json j;
    j["encoder_hidden_size"] = width(model_);
    j["init_weights"] = nullptr;
    j["num_attention_heads"] = model_.config().kv_heads;
    j["peft_type"] = "PREFIX_TUNING";
    j["prefix_projection"] = false;
    j["token_dim"] = width(model_);
    return j;
  }

 private:
  static int64_t width(const Model& model) { return model.config().kv_heads * model.config().head_dim; }
  // The keys and values that the model itself computes of these tokens.
  void set_to_tokens(const std::vector<int64_t>& ids);
  PrefixOptions options_;
  uint64_t seed_;
};

// Attention over the tokens of one text, keeping what it is given.
class KeysAndValues : public AttentionContext {
 public:
  explicit KeysAndValues(const PackedTokens& batch) : batch_(batch) {}
  Tensor attend(int64_t, const Tensor& q, const Tensor& k, const Tensor& v,
                const AttentionLaw& law) override {
    kept.push_back(k);
    kept.push_back(v);
    return packed_attention(q, k, v, batch_, law);
  }
  Tensor mix(int64_t, const MixInput& in) override { return mix_packed(in, batch_.segments); }
  Tensor convolve(int64_t, const Tensor& x, const Tensor& weight) override {
    return causal_conv(x, weight, batch_.segments);
  }
  std::vector<Tensor> kept;  // of each layer keys, then values, [N, K, D]

 private:
  const PackedTokens& batch_;
};

void PrefixAdapter::set_to_tokens(const std::vector<int64_t>& ids) {
  const at::NoGradGuard no_grad;
  Packer packer;
  packer.add_segment(ids);
  const PackedTokens tokens = packer.tokens_on(model_.precision().device);
  KeysAndValues context(tokens);
  model_.set_virtual_tokens(nullptr);
  model_.hidden(tokens.ids, tokens.positions, context);
  model_.set_virtual_tokens(this);
  set_values(at::stack(context.kept, 1).flatten(1));
}

template <class AdapterKind>
std::unique_ptr<Adapter> filled(std::unique_ptr<AdapterKind> adapter, const std::string& folder) {
  fill_adapter_tensors(open_adapter_tensors(folder), folder + "/adapter_model.safetensors",
                       adapter->tensors());
  adapter->refresh();
  return adapter;
}

// Also checks the rest of the config, of which nothing more is read.
int64_t tokens_of(const Json& config, const std::string& where) {
  check_config_keys(config,
                    {"num_virtual_tokens", "num_layers", "num_attention_heads", "num_transformer_submodules",
                     "token_dim", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path",
                     "tokenizer_kwargs", "encoder_hidden_size", "init_weights", "modules_to_save"},
                    {{"prefix_projection", false}}, where);
  check_plain_linears(config, where);
  const double count = config_number(config, "num_virtual_tokens", 0, 1, 1 << 16, where);
  if (count < 1) user_error("{}: num_virtual_tokens is missing", where);
  return static_cast<int64_t>(count);
}

}  // namespace

void PromptOptions::fields(FieldVisitor& v) {
  v.field("tokens", tokens, {.help = "virtual tokens in front of every text", .min = 1, .max = 1 << 16});
  v.field("init", init,
          {.help = "how their embeddings begin: those of random tokens, of a text's tokens, or normal(0, 1)",
           .choices = {"vocab", "text", "normal"}});
  v.field("text", text, {.help = "init text: the text, repeated to the number of tokens"});
}

void PromptOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if ((init == "text") != !text.empty())
    problems.push_back(where + ".text: init \"text\" and a text belong together; give both or neither");
}

std::unique_ptr<Adapter> PromptOptions::attach(Model& model, uint64_t seed) const {
  return std::make_unique<PromptAdapter>(model, *this, seed);
}

void PrefixOptions::fields(FieldVisitor& v) {
  v.field("tokens", tokens, {.help = "virtual tokens in front of every text", .min = 1, .max = 1 << 16});
  v.field("init", init,
          {.help = "how their keys and values begin: those of random tokens, or normal(0, 1)",
           .choices = {"vocab", "normal"}});
}

std::unique_ptr<Adapter> PrefixOptions::attach(Model& model, uint64_t seed) const {
  return std::make_unique<PrefixAdapter>(model, *this, seed);
}

std::unique_ptr<Adapter> load_prompt(Model& model, const std::string& folder, const Json& config) {
  PromptOptions options;
  options.tokens = tokens_of(config, folder + "/adapter_config.json");
  return filled(std::make_unique<PromptAdapter>(model, options, 0), folder);
}

std::unique_ptr<Adapter> load_prefix(Model& model, const std::string& folder, const Json& config) {
  const std::string where = folder + "/adapter_config.json";
  PrefixOptions options;
  options.tokens = tokens_of(config, where);
  return filled(std::make_unique<PrefixAdapter>(model, options, 0), folder);
}

}  // namespace temper
