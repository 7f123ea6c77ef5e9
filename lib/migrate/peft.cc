#include "migrate/peft.h"

#include "base/error.h"
#include "migrate/training.h"

namespace temper {
namespace {

constexpr char kFeature[] = "this form of LoRA is not here";
constexpr char kLora[] = "LORA";

// LoraConfig of PEFT 0.21, and what VERA, IA3 and soft prompts have beside it.
constexpr ForeignKey kPeftKeys[] = {
    no_sense_key("task_type", "the task says it"),
    part_key("peft_type", "adapter.kind"),
    no_sense_key("auto_mapping", "how PEFT finds the model's class"),
    no_sense_key("peft_version", "which PEFT wrote the file"),
    part_key("base_model_name_or_path", "model.path"),
    lost_key("revision", "of the hub, which is not read here"),
    no_sense_key("inference_mode", "a run trains"),
    part_key("r", "adapter.rank"),
    part_key("target_modules", "adapter.targets"),
    lost_key("exclude_modules", "name those that are left in adapter.targets"),
    part_key("lora_alpha", "adapter.alpha", kLora),
    part_key("lora_dropout", "adapter.dropout", kLora),
    lost_key("fan_in_fan_out", "linears are [out, in]"),
    lost_key("bias", "biases stay as they are"),
    part_key("use_rslora", "adapter.rslora", kLora),
    part_key("modules_to_save", "adapter.modules_to_save"),
    part_key("init_lora_weights", "adapter.init", kLora),
    lost_key("layers_to_transform",
             "name the blocks in adapter.targets, a regular expression of module paths"),
    lost_key("layers_pattern", "name the blocks in adapter.targets, a regular expression of module paths"),
    field_key("rank_pattern", "adapter.rank_pattern", kLora),
    field_key("alpha_pattern", "adapter.alpha_pattern", kLora),
    lost_key("megatron_config", kFeature),
    no_sense_key("megatron_core", "of megatron_config"),
    lost_key("trainable_token_indices", "adapter.modules_to_save trains whole embeddings"),
    no_sense_key("loftq_config", "of init_lora_weights"),
    no_sense_key("eva_config", "of init_lora_weights"),
    no_sense_key("corda_config", "of init_lora_weights; adapter.corda_data has its samples"),
    no_sense_key("lora_ga_config", "of init_lora_weights"),
    part_key("use_dora", "adapter.dora", kLora),
    lost_key("velora_config", kFeature),
    lost_key("alora_invocation_tokens", kFeature),
    lost_key("use_qalora", kFeature),
    no_sense_key("qalora_group_size", "of use_qalora"),
    lost_key("monteclora_config", kFeature),
    lost_key("layer_replication", "layers are not copied"),
    no_sense_key("runtime_config", "how PEFT computes"),
    lost_key("lora_bias", kFeature),
    lost_key("target_parameters", "a LoRA is on linears, not on parameters by name"),
    lost_key("use_bdlora", kFeature),
    lost_key("arrow_config", kFeature),
    lost_key("kasa_config", kFeature),
    lost_key("ensure_weight_tying", "adapter.modules_to_save says which of the tied matrices trains"),
    part_key("d_initial", "adapter.d_initial", "VERA"),
    part_key("vera_dropout", "adapter.dropout", "VERA"),
    no_sense_key("projection_prng_key", "the random pair is drawn by seed", "VERA"),
    no_sense_key("save_projection", "the random pair is always written", "VERA"),
    lost_key("init_weights", "the start is as in the paper", "VERA", "true"),
    part_key("feedforward_modules", "adapter.feedforward", "IA3"),
    lost_key("init_ia3_weights", "the start is as in the paper", "IA3", "true"),
    part_key("num_virtual_tokens", "adapter.tokens", "PROMPT_TUNING PREFIX_TUNING"),
    part_key("prompt_tuning_init", "adapter.init", "PROMPT_TUNING"),
    part_key("prompt_tuning_init_text", "adapter.text", "PROMPT_TUNING"),
    no_sense_key("tokenizer_name_or_path", "the model's own", "PROMPT_TUNING"),
    no_sense_key("tokenizer_kwargs", "the model's own", "PROMPT_TUNING"),
    no_sense_key("token_dim", "the model's", "PROMPT_TUNING PREFIX_TUNING"),
    no_sense_key("num_transformer_submodules", "the model's", "PROMPT_TUNING PREFIX_TUNING"),
    no_sense_key("num_attention_heads", "the model's", "PROMPT_TUNING PREFIX_TUNING"),
    no_sense_key("num_layers", "the model's", "PROMPT_TUNING PREFIX_TUNING"),
    no_sense_key("encoder_hidden_size", "of prefix_projection", "PREFIX_TUNING"),
    lost_key("prefix_projection", "keys and values of the prefix train themselves", "PREFIX_TUNING"),
};

void carry_targets(Migration& m) {
  const Json targets = lora_targets(m.value("target_modules"));
  if (!targets.is_null()) m.set("adapter.targets", targets);
}

}  // namespace

std::vector<std::span<const ForeignKey>> peft_tables() {
  return {kPeftKeys};
}

Migrated migrate_peft(const Json& source, const std::string& where, const std::string& folder) {
  const Json type = source.value("peft_type", Json("LORA"));
  const std::string kind = type.is_string() ? type.get<std::string>() : kLora;
  Migration m(source, peft_tables(), where, folder, kind);
  m.text("peft_type", kLora);
  m.set("task", "sft");
  m.model_path("model.path", "base_model_name_or_path");
  if (!m.has("model.path")) m.set("model.path", "models/base");
  if (kind == kLora) {
    LoraValues lora;
    lora.rank = m.integer("r", 8);
    lora.alpha = m.number("lora_alpha", 8);
    lora.dropout = m.number("lora_dropout", 0);
    lora.rslora = m.flag("use_rslora", false);
    lora.dora = m.flag("use_dora", false);
    lora.targets = lora_targets(m.value("target_modules"));
    if (m.given("modules_to_save")) lora.modules_to_save = m.texts("modules_to_save");
    set_lora(m, lora);
    set_lora_init(m, "init_lora_weights", m.value("init_lora_weights"));
  } else if (kind == "VERA") {
    m.set("adapter.kind", "vera");
    m.set("adapter.rank", m.integer("r", 256));
    m.set("adapter.d_initial", m.number("d_initial", 0.1));
    m.set("adapter.dropout", m.number("vera_dropout", 0));
    carry_targets(m);
  } else if (kind == "IA3") {
    m.set("adapter.kind", "ia3");
    carry_targets(m);
    if (m.given("feedforward_modules")) m.set("adapter.feedforward", m.texts("feedforward_modules"));
  } else if (kind == "PROMPT_TUNING" || kind == "PREFIX_TUNING") {
    const bool prompt = kind == "PROMPT_TUNING";
    m.set("adapter.kind", prompt ? "prompt" : "prefix");
    m.set("adapter.tokens", m.integer("num_virtual_tokens", 20));
    const std::string init = prompt ? m.text("prompt_tuning_init", "RANDOM") : "RANDOM";
    m.set("adapter.init", init == "TEXT" ? "text" : init == "SAMPLE_VOCAB" ? "vocab" : "normal");
    if (init == "TEXT") m.set("adapter.text", m.text("prompt_tuning_init_text", ""));
  } else {
    user_error("{}: peft_type: expected LORA, VERA, IA3, PROMPT_TUNING or PREFIX_TUNING, found \"{}\"", where,
               kind);
  }
  m.set("data.train", Json::array({"train.jsonl"}));
  m.remark("data.train: an adapter's config names no data; \"train.jsonl\" stands for your own");
  m.remark(
      "the adapter's trained weights are not carried: temper-generate --adapter and temper-convert --adapter "
      "read "
      "the folder as it is");
  return m.finish(fmt::format("PEFT ({})", kind));
}

}  // namespace temper
