#include "migrate/axolotl.h"

#include <algorithm>

#include "base/error.h"
#include "migrate/training.h"
#include "migrate/trl.h"
#include "migrate/trl_parts.h"

namespace temper {
namespace {

constexpr char kAsync[] = "completions are sampled by the process that trains, step by step";

// Of section "trl", those that TRL's GRPO does not have or has for other trainers too.
constexpr ForeignKey kAxolotlTrl[] = {
    part_key("beta", "algorithm", "grpo"),
    part_key("loss_type", "algorithm", "grpo"),
    part_key("sync_ref_model", "reference.sync_every", "grpo"),
    part_key("ref_model_mixup_alpha", "reference.sync_share", "grpo"),
    part_key("ref_model_sync_steps", "reference.sync_every", "grpo"),
    lost_key("rollout_func", "Python code; section environment holds conversations", "grpo"),
    no_sense_key("use_data_producer", kAsync, "grpo"),
    lost_key("async_prefetch", kAsync, "grpo"),
    no_sense_key("prefetch_depth", kAsync, "grpo"),
    no_sense_key("vllm_sync_interval", kAsync, "grpo"),
    no_sense_key("vllm_lora_sync", kAsync, "grpo"),
    lost_key("streaming_partial_batch", kAsync, "grpo"),
    no_sense_key("streaming_min_groups", kAsync, "grpo"),
    no_sense_key("reward_num_workers", "rewards are scored beside the decoding", "grpo"),
    lost_key("replay_buffer_size", "section replay learns from earlier groups again", "grpo", "0"),
    no_sense_key("replay_recompute_logps", "of replay_buffer_size", "grpo"),
    lost_key("reroll_start_fraction", "algorithm.filter_zero_variance asks other prompts in their place",
             "grpo", "1.0"),
    no_sense_key("reroll_max_groups", "of reroll_start_fraction", "grpo"),
    no_sense_key("skip_zero_advantage_batches", "groups without an advantage have no gradient", "grpo"),
};

// Keys of a data set that ask for nothing here.
const std::vector<std::string>& quiet_keys() {
  static const std::vector<std::string> keys = {"ds_type", "trust_remote_code", "preprocess_shards",
                                                "conversation"};
  return keys;
}

class Datasets {
 public:
  Datasets(Migration& m, bool rl) : m_(m), rl_(rl) {}
  void carry(const Json& entry, const std::string& at, const std::string& field);

 private:
  void type(const Json& type, const std::string& at, bool messages);
  // A column or tag, which is the same of all files.
  void column(const std::string& field, const Json& name, const std::string& at, const char* own);
  Migration& m_;
  const bool rl_;
};

void Datasets::column(const std::string& field, const Json& name, const std::string& at, const char* own) {
  if (!name.is_string() || name == own) return;
  if (m_.has(field) && m_.get(field) != name)
    m_.lose_part(at, name,
                 fmt::format("{} is {} of another data set, and there is one for all", field,
                             dump_line(m_.get(field))));
  else
    m_.set(field, name);
}

void Datasets::type(const Json& type, const std::string& at, bool messages) {
  if (type.is_object()) {
    for (const auto& [key, value] : type.items()) {
      if (key == "field_system")
        column("data.columns.system", value, at + ".field_system", "system");
      else if (key == "field_instruction" || key == "field_prompt")
        column("data.columns.prompt", value, at + "." + key, "prompt");
      else if (key == "field_output" || key == "field_completion")
        column("data.columns.completion", value, at + "." + key, "completion");
      else if (key == "field_chosen")
        column("data.columns.chosen", value, at + "." + key, "chosen");
      else if (key == "field_rejected")
        column("data.columns.rejected", value, at + "." + key, "rejected");
      else if (key == "field_label")
        column("data.columns.label", value, at + "." + key, "label");
      else
        m_.lose_part(at + "." + key, value, "texts are put together by data.template, or before the run");
    }
    return;
  }
  const std::string name = type.is_string() ? type.get<std::string>() : "";
  if (name.empty() || messages || name.starts_with("chat_template")) return;
  if (name == "completion" || name == "pretrain") return;
  if (name == "sharegpt") {
    m_.set("data.format", "sharegpt");
  } else if (name.starts_with("alpaca") && !rl_) {
    m_.set("data.format", "alpaca");
    m_.lose_part(at, type,
                 "records become chats of data.template; axolotl writes \"Below is an instruction ...\" "
                 "round them");
  } else if (!rl_ || name.find('.') != std::string::npos) {
    m_.lose_part(at, type,
                 "there is no such prompt strategy: see data.format, data.columns and data.template");
  }
}

void Datasets::carry(const Json& entry, const std::string& at, const std::string& field) {
  if (!entry.is_object() || !entry.contains("path") || !entry["path"].is_string())
    user_error("{}: {}: expected a mapping with \"path\", found {}", m_.where(), at, dump_line(entry));
  const Json files = entry.value("data_files", Json());
  if (files.is_null())
    m_.data_file(field, at + ".path", entry["path"].get<std::string>());
  else
    for (const Json& file : files.is_array() ? files : Json::array({files}))
      if (file.is_string()) m_.data_file(field, at + ".data_files", file.get<std::string>());
  for (const auto& [key, value] : entry.items()) {
    const std::string here = at + "." + key;
    const bool quiet = std::find(quiet_keys().begin(), quiet_keys().end(), key) != quiet_keys().end();
    if (key == "path" || key == "data_files" || value.is_null() || value == false || quiet) continue;
    if (key == "type") {
      type(value, here, entry.contains("field_messages"));
    } else if (key == "field_messages") {
      column("data.columns.messages", value, here, "messages");
    } else if (key == "field_tools") {
      column("data.columns.tools", value, here, "tools");
    } else if (key == "field_chosen" || key == "field_rejected") {
      column("data.columns." + key.substr(6), value, here, key.substr(6).c_str());
    } else if (key == "message_field_role") {
      column("data.tags.role", value, here, "role");
    } else if (key == "message_field_content") {
      column("data.tags.content", value, here, "content");
    } else if (key == "message_property_mappings" && value.is_object()) {
      for (const auto& [part, name] : value.items()) {
        if (part == "role" || part == "content")
          column("data.tags." + part, name, here + "." + part, part.c_str());
        else if (name != part)
          m_.lose_part(here + "." + part, name, "messages keep their other keys under their own names");
      }
    } else if (key == "roles" && value.is_object()) {
      for (const auto& [role, names] : value.items()) {
        const Json name = names.is_array() && names.size() == 1 ? names[0] : names;
        const std::string tag = role == "tool" ? "observation" : role;
        const bool known = role == "user" || role == "assistant" || role == "system" || role == "tool";
        if (known && name.is_string())
          column("data.tags." + tag, name, here + "." + role, role.c_str());
        else if (!known || !std::all_of(names.begin(), names.end(), [](const Json& n) {
                   return n == "human" || n == "user" || n == "gpt" || n == "assistant" || n == "system" ||
                          n == "tool";
                 }))
          m_.lose_part(here + "." + role, names,
                       "data.tags has one name for each of user, assistant, system, "
                       "observation and function");
      }
    } else if (key == "roles_to_train") {
      if (value != Json::array({"assistant"}) && value != Json::array({"gpt"}) &&
          value != Json::array({"assistant", "gpt"}))
        m_.lose_part(here, value, "of chats the assistant's turns are learnt (data.targets)");
    } else if ((key == "train_on_eos" || key == "train_on_eot") && value == "turn") {
      continue;
    } else if (key == "chat_template" && value == "tokenizer_default") {
      continue;
    } else if (key == "split") {
      if (value != "train")
        m_.lose_part(here, value, "files are read whole: name those of the split in data.train");
    } else if (key == "name" || key == "shards" || key == "shards_idx" || key == "revision") {
      m_.lose_part(here, value, "a part of a data set: name its files in data.train");
    } else if (key == "field" && (value == "text" || value == "messages")) {
      continue;
    } else {
      m_.lose_part(here, value, "this has no counterpart in section data");
    }
  }
}

void carry_axolotl_data(Migration& m, bool rl) {
  Datasets datasets(m, rl);
  const std::pair<const char*, const char*> lists[] = {{"datasets", "data.train"},
                                                       {"test_datasets", "data.eval"}};
  for (const auto& [key, field] : lists) {
    const Json list = m.value(key);
    if (!list.is_null() && !list.is_array())
      user_error("{}: {}: expected a list, found {}", m.where(), key, dump_line(list));
    for (size_t i = 0; i < list.size(); ++i) datasets.carry(list[i], fmt::format("{}.{}", key, i), field);
  }
  if (!m.has("data.train")) {
    m.set("data.train", Json::array({"train.jsonl"}));
    m.remark("data.train: no data set is named; \"train.jsonl\" stands for your own");
  }
  const double share = m.number("val_set_size", 0);
  if (share >= 1)
    m.lose("val_set_size", "a number of rows: data.eval_share is a share below 1");
  else if (share > 0)
    m.set("data.eval_share", share);
  if (!m.flag("shuffle_merged_datasets", true)) m.set("data.order.kind", "sequential");
  m.set("data.max_tokens", m.integer("sequence_len", 512));
  const std::string excess = m.text("excess_length_strategy", "drop");
  m.set("data.overlong", excess == "raise" ? "error" : excess == "truncate" ? "truncate" : "drop");
  if (m.flag("train_on_inputs", false)) m.set("data.targets", "all");
  if (m.flag("sample_packing", false))
    m.lose("sample_packing",
           "a step of axolotl then learns from rows that are filled up to sequence_len, here of "
           "train.batch_size "
           "examples, none of them padded: set train.batch_size to as many as fill the rows");
  const std::string chat = m.text("chat_template", "tokenizer_default"),
                    jinja = m.text("chat_template_jinja", "");
  if (chat == "jinja" || (chat == "tokenizer_default" && !jinja.empty())) {
    if (jinja.ends_with(".jinja"))
      m.set("data.template", m.path(jinja));
    else
      m.lose("chat_template_jinja", "data.template takes a .jinja file: write it into one");
  } else if (chat == "chatml") {
    m.set("data.template", "chatml");
  } else if (!chat.starts_with("tokenizer_default")) {
    m.lose("chat_template", "data.template is auto (the model's own), chatml or a .jinja file");
  }
}

void carry_axolotl_adapter(Migration& m) {
  const std::string adapter = m.text("adapter", "");
  const bool frozen = adapter == "lora" || adapter == "qlora";
  for (const char* key : {"load_in_4bit", "load_in_8bit"})
    if (!frozen && m.flag(key, false))
      m.lose(key, "weights that train are not quantised, and adapter is not lora");
  if (frozen && (m.flag("load_in_4bit", false) || adapter == "qlora")) {
    m.set("model.quantise", "nf4");
    m.set("model.double_quantisation", true);
    if (m.flag("load_in_8bit", false)) m.no_sense("load_in_8bit", "load_in_4bit stands before it");
  } else if (frozen && m.flag("load_in_8bit", false)) {
    m.set("model.quantise", "int8");
  }
  if (adapter.empty() && m.given("lisa_n_layers")) {
    m.set("adapter.kind", "lisa");
    m.set("adapter.blocks", m.integer("lisa_n_layers", 2));
    m.set("adapter.every", m.integer("lisa_step_interval", 20));
    return;
  }
  if (!frozen) {
    if (!adapter.empty()) m.lose("adapter", "there is no such adapter; every weight trains");
    if (m.given("unfrozen_parameters"))
      m.lose("unfrozen_parameters",
             "adapter {\"kind\": \"freeze\", \"names\": a regular expression of whole names} trains some; "
             "here every "
             "weight does");
    m.set("adapter.kind", "full");
    return;
  }
  LoraValues lora;
  lora.rank = m.integer("lora_r", 8);
  lora.alpha = m.number("lora_alpha", 8);
  lora.dropout = m.number("lora_dropout", 0);
  lora.dora = m.flag("peft_use_dora", false);
  lora.rslora = m.flag("peft_use_rslora", false);
  lora.targets = lora_targets(m.value("lora_target_modules"));
  if (m.flag("lora_target_linear", false)) lora.targets = "all-linear";
  if (m.given("lora_modules_to_save")) lora.modules_to_save = m.texts("lora_modules_to_save");
  set_lora(m, lora);
  set_lora_init(m, "peft_init_lora_weights", m.value("peft_init_lora_weights"));
}

void carry_task(Migration& m, const std::string& rl, const TrainerSpelling& names) {
  const double beta = m.number("rl_beta", m.number("dpo_beta", 0.1));
  if (rl.empty()) {
    const bool reward = m.flag("reward_model", false);
    m.set("task", reward ? "reward_model" : "sft");
    if (m.flag("process_reward_model", false)) {
      m.set("task", "reward_model");
      m.set("algorithm.name", "process");
    } else if (reward) {
      m.set("algorithm.name", "bt");
      if (m.given("center_rewards_coefficient"))
        m.set("algorithm.center", m.number("center_rewards_coefficient", 0));
    } else if (const double alpha = m.number("neftune_noise_alpha", m.number("noisy_embedding_alpha", 0));
               alpha > 0) {
      m.set("inputs", Json::array({{{"kind", "neftune"}, {"alpha", alpha}}}));
    }
    return carry_steps(m, names);
  }
  if (rl == "grpo" || rl == "gdpo") {
    carry_grpo(m, names);
    if (rl == "gdpo") m.set("algorithm.advantage", "gdpo");
    return;
  }
  m.set("task", "preference");
  if (rl == "dpo" || rl == "ipo") {
    DpoValues dpo;
    dpo.beta = beta;
    if (rl == "ipo") dpo.losses = {"ipo"};
    if (rl == "dpo" && m.given("dpo_loss_type")) dpo.losses = m.texts("dpo_loss_type");
    for (const Json& weight : m.value("dpo_loss_weights"))
      if (weight.is_number()) dpo.weights.push_back(weight.get<double>());
    if (rl == "dpo") dpo.label_smoothing = m.number("dpo_label_smoothing", 0);
    set_dpo(m, "dpo_loss_type", dpo);
    if (m.flag("dpo_use_weighting", false)) m.set("algorithm.wpo", true);
    if (const double weight = m.number("rpo_alpha", 0); weight > 0) m.set("algorithm.sft_weight", weight);
  } else if (rl == "kto") {
    m.set("algorithm.name", "kto");
    m.set("algorithm.beta", beta);
    m.set("algorithm.desirable_weight", m.number("kto_desirable_weight", 1));
    m.set("algorithm.undesirable_weight", m.number("kto_undesirable_weight", 1));
  } else if (rl == "orpo") {
    m.set("algorithm.name", "orpo");
    m.set("algorithm.lambda", m.number("orpo_alpha", beta));
  } else if (rl == "simpo") {
    m.set("algorithm.name", "simpo");
    m.set("algorithm.beta", beta);
    m.set("algorithm.gamma", m.number("simpo_gamma", 0.5));
    m.set("algorithm.sft_weight", m.number("cpo_alpha", 1));
  } else {
    m.lose("rl", "expected dpo, ipo, kto, orpo, simpo, grpo or gdpo; dpo stands in its place");
    m.set("algorithm.name", "dpo");
  }
  if (m.flag("precompute_ref_log_probs", false)) m.set("reference.cache", "on");
  carry_steps(m, names);
}

void carry_rates(Migration& m, const TrainerSpelling& names) {
  carry_optimizer(m, names);
  if (const double floor = m.number("cosine_min_lr_ratio", 0); floor > 0) m.set("schedule.floor", floor);
  if (!m.given("warmup_steps") && !m.given("warmup_ratio")) {
    m.set("schedule.warmup", 0.03);
    m.remark("schedule.warmup: axolotl's own, 3% of the steps (there 100 at most)");
  }
  const double lr = m.number("learning_rate", names.lr);
  Json rules = Json::array();
  for (const Json& group : m.value("lr_groups")) {
    if (!group.is_object() || !group.contains("modules") || !group.contains("lr") || !group["lr"].is_number())
      continue;
    for (const Json& module : group["modules"])
      rules.push_back({{"match", module}, {"factor", lr > 0 ? group["lr"].get<double>() / lr : 1}});
  }
  if (!rules.empty()) m.set("optimizer.lr_rules", rules);
}

}  // namespace

Migrated migrate_axolotl(const Json& source, const std::string& where, const std::string& folder) {
  // The keys of section "trl" are TRL's, and stand among the others.
  Json flat = source;
  std::vector<std::string> nested;
  if (const Json trl = source.value("trl", Json()); trl.is_object() && !trl.empty()) {
    flat.erase("trl");
    for (const auto& [key, value] : trl.items()) {
      if (flat.contains(key)) user_error("{}: trl.{}: \"{}\" stands outside of trl too", where, key, key);
      flat[key] = value;
      nested.push_back(key);
    }
  }
  const Json rl = source.value("rl", Json());
  const std::string kind = rl.is_string() ? rl.get<std::string>() : "";
  const bool grpo = kind == "grpo" || kind == "gdpo";
  auto tables = axolotl_tables();
  tables.push_back(kAxolotlTrl);
  tables.push_back(trl_rl_keys());
  Migration m(flat, tables, where, folder, grpo ? "grpo" : kind.empty() ? "sft" : kind);
  m.text("rl", "");

  TrainerSpelling names{.batch = "micro_batch_size",
                        .epochs = "num_epochs",
                        .optimizer = "optimizer",
                        .schedule = "lr_scheduler",
                        .epochs_default = 1,
                        .batch_default = 1,
                        .schedule_default = "cosine"};
  m.model_path("model.path", "base_model");
  const std::string tokenizer = m.text("tokenizer_config", "");
  if (!tokenizer.empty() && tokenizer != source.value("base_model", Json()))
    m.lose("tokenizer_config", "a model's tokenizer is that of its folder");
  else
    m.no_sense("tokenizer_config", "the model's own");
  carry_precision(m);
  if (m.value("bf16") == "full" || (m.value("bfloat16") == true && !m.given("bf16")))
    m.set("model.dtype", "bf16");
  carry_axolotl_adapter(m);
  carry_axolotl_data(m, !kind.empty());
  carry_task(m, kind, names);
  // Its other spelling: micro_batch_size times gradient_accumulation_steps.
  if (m.given("batch_size") && !m.given("gradient_accumulation_steps") && !grpo)
    m.set("train.batch_size", m.integer("batch_size", 1));
  else
    m.no_sense("batch_size", "micro_batch_size times gradient_accumulation_steps stand before it");
  carry_rates(m, names);
  for (const char* key : {"evals_per_epoch", "saves_per_epoch"})
    if (m.given(key) && m.value(key) != 0)
      m.lose(key, fmt::format("{} counts steps: set it to the steps of an epoch, divided by this",
                              key[0] == 'e' ? "eval.every" : "checkpoint.every"));
  carry_saving(m, {.eval_steps_ask = true});
  Migrated out =
      m.finish(fmt::format("axolotl ({})", kind.empty() ? m.get("task").get<std::string>() : kind));
  for (KeyReport& report : out.keys)
    if (std::find(nested.begin(), nested.end(), report.key.substr(0, report.key.find('.'))) != nested.end())
      report.key = "trl." + report.key;
  return out;
}

}  // namespace temper
