#include "migrate/llamafactory.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "migrate/training.h"
#include "migrate/trl.h"

namespace temper {
namespace {

// "a, b" or a list.
std::vector<std::string> names_of(Migration& m, const std::string& key) {
  std::vector<std::string> out;
  for (const std::string& text : m.texts(key)) {
    size_t begin = 0;
    while (begin <= text.size()) {
      const size_t end = std::min(text.find(',', begin), text.size());
      std::string name = text.substr(begin, end - begin);
      name.erase(0, name.find_first_not_of(' '));
      name.erase(name.find_last_not_of(' ') + 1);
      if (!name.empty()) out.push_back(name);
      begin = end + 1;
    }
  }
  return out;
}

// The file of a data set by dataset_dir/dataset_info.json; what is not there is told.
void carry_llamafactory_dataset(Migration& m, const Json& info, const std::string& info_path,
                                const std::string& folder, const std::string& name, const std::string& key,
                                const std::string& field) {
  const std::string at = key + "." + name;
  if (!info.is_object()) {
    m.data_file(field, key, name + ".json");
    m.lose_part(at, name,
                fmt::format("a name in {}, which is not there: name its file in {}", info_path, field));
    return;
  }
  const Json entry = info.value(name, Json());
  if (!entry.is_object()) {
    m.data_file(field, key, folder + "/" + name + ".json");
    m.lose_part(at, name, fmt::format("{} has no such entry: name its file in {}", info_path, field));
    return;
  }
  if (entry.value("file_name", Json()).is_string())
    return m.data_file(field, at, folder + "/" + entry["file_name"].get<std::string>());
  for (const char* where : {"hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"})
    if (entry.value(where, Json()).is_string())
      return m.data_file(field, at, entry[where].get<std::string>());
  m.lose_part(at, name, fmt::format("its entry in {} has no \"file_name\"", info_path));
}

void carry_llamafactory_data(Migration& m, const std::string& stage) {
  const Json dir = m.value("dataset_dir");
  Json info = dir.is_object() ? dir : Json();
  const std::string folder = dir.is_string() ? dir.get<std::string>() : "data";
  const std::string info_path = folder + "/dataset_info.json";
  std::error_code error;
  if (!info.is_object() && folder != "ONLINE" && fs::exists(info_path, error))
    info = read_json_file(info_path);
  const std::pair<const char*, const char*> lists[] = {{"dataset", "data.train"},
                                                       {"eval_dataset", "data.eval"}};
  for (const auto& [key, field] : lists)
    for (const std::string& name : names_of(m, key)) {
      if (folder == "ONLINE")
        m.data_file(field, std::string(key) + "." + name, name);
      else
        carry_llamafactory_dataset(m, info, info_path, folder, name, key, field);
    }
  if (m.has("data.train") && info.is_object())
    m.remark("data.format: auto reads dataset_info.json beside the files, as LLaMA-Factory does");
  if (!m.has("data.train")) {
    m.set("data.train", Json::array({"train.jsonl"}));
    m.remark("data.train: no data set is named; \"train.jsonl\" stands for your own");
  }
  const double share = m.number("val_size", 0);
  if (share >= 1)
    m.lose("val_size", "a number of rows: data.eval_share is a share below 1");
  else if (share > 0)
    m.set("data.eval_share", share);
  m.set("data.max_tokens", m.integer("cutoff_len", 2048));
  m.set("data.overlong", "truncate");
  if (stage == "sft" && m.flag("train_on_prompt", false)) m.set("data.targets", "all");
  if (m.flag("disable_shuffling", false)) m.set("data.order.kind", "sequential");
  const bool packs = m.flag("packing", stage == "pt");
  if (m.flag("neat_packing", false) || packs)
    m.lose(
        m.given("packing") ? "packing" : "neat_packing",
        "a step of LLaMA-Factory then learns from rows that are filled up to cutoff_len, here of "
        "train.batch_size examples, none of them padded: set train.batch_size to as many as fill the rows");
  const std::string chat = m.text("template", "");
  if (chat == "chatml" || chat == "qwen") {
    m.set("data.template", chat == "chatml" ? "chatml" : "auto");
  } else if (chat == "default" || chat == "empty" || chat == "alpaca" || chat == "vicuna" ||
             chat == "fewshot") {
    m.lose("template", "data.template is auto (the model's own), chatml or a .jinja file");
  } else if (!chat.empty()) {
    m.set("data.template", "auto");
    m.remark(
        fmt::format("data.template: the model folder's own stands for LLaMA-Factory's \"{}\"; temper-inspect "
                    "template shows it",
                    chat));
  }
  const std::string mix = m.text("mix_strategy", "concat");
  const Json shares = m.value("interleave_probs");
  if (mix == "concat") return;
  std::vector<double> weights;
  std::string text = shares.is_string() ? shares.get<std::string>() : "";
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    weights.push_back(std::strtod(text.substr(begin, end - begin).c_str(), nullptr));
    begin = end + 1;
  }
  if (stage == "sft" && weights.size() == names_of(m, "dataset").size() && weights.size() > 1)
    m.set("data.weights", weights);
  else
    m.lose("mix_strategy", "files are drawn from as if they were one, or by data.weights (task sft)");
}

void carry_llamafactory_adapter(Migration& m) {
  const std::string kind = m.text("finetuning_type", "lora");
  const Json bits = m.value("quantization_bit");
  if (kind == "full" || kind == "freeze") {
    if (!bits.is_null())
      m.lose("quantization_bit", "weights that train are not quantised, and this is no LoRA");
  } else if (bits == 4) {
    m.set("model.quantise", "nf4");
    m.set("model.double_quantisation", m.flag("double_quantization", true));
    if (m.text("quantization_type", "nf4") != "nf4")
      m.lose("quantization_type", "of 4 bits there is nf4 alone");
  } else if (bits == 8) {
    m.set("model.quantise", "int8");
  } else if (!bits.is_null()) {
    m.lose("quantization_bit", "model.quantise is int8 or nf4");
  }
  if (const std::string method = m.text("quantization_method", "bnb");
      method != "bnb" && method != "bitsandbytes")
    m.lose("quantization_method", "model.quantise is int8 or nf4, as bitsandbytes has them");
  if (kind == "full") {
    m.set("adapter.kind", "full");
  } else if (kind == "freeze") {
    m.set("adapter.kind", "freeze");
    const int64_t blocks = m.integer("freeze_trainable_layers", 2);
    if (blocks < 0) m.lose("freeze_trainable_layers", "adapter.blocks counts the last blocks");
    m.set("adapter.blocks", std::abs(blocks));
    if (const Json modules = m.value("freeze_trainable_modules"); !modules.is_null() && modules != "all")
      m.lose("freeze_trainable_modules",
             "whole blocks train; adapter.names is a regular expression of further names");
    if (m.given("freeze_extra_modules"))
      m.lose("freeze_extra_modules", "adapter.names is a regular expression of further names");
  } else {
    if (kind != "lora") m.lose("finetuning_type", "expected lora, full or freeze; lora stands in its place");
    LoraValues lora;
    lora.rank = m.integer("lora_rank", 8);
    lora.alpha = m.number("lora_alpha", 2 * lora.rank.get<double>());
    lora.dropout = m.number("lora_dropout", 0);
    lora.rslora = m.flag("use_rslora", false);
    lora.dora = m.flag("use_dora", false);
    const std::vector<std::string> targets =
        m.given("lora_target") ? names_of(m, "lora_target") : std::vector<std::string>{"all"};
    lora.targets = lora_targets(targets);
    if (m.given("additional_target")) lora.modules_to_save = names_of(m, "additional_target");
    set_lora(m, lora);
    if (const double ratio = m.number("loraplus_lr_ratio", 0); ratio > 0) m.set("adapter.lr_ratio", ratio);
    if (m.flag("pissa_init", false)) {
      m.set("adapter.init", "pissa");
      const int64_t iterations = m.integer("pissa_iter", 16);
      m.set("adapter.svd_iterations", std::max<int64_t>(iterations, 0));
    }
  }
}

void carry_preference(Migration& m, const std::string& stage) {
  m.set("task", "preference");
  const double beta = m.number("pref_beta", 0.1);
  if (stage == "kto") {
    m.set("algorithm.name", "kto");
    m.set("algorithm.beta", beta);
    m.set("algorithm.desirable_weight", m.number("kto_chosen_weight", 1));
    m.set("algorithm.undesirable_weight", m.number("kto_rejected_weight", 1));
  } else {
    const std::string loss = m.text("pref_loss", "sigmoid");
    if (loss == "orpo") {
      m.set("algorithm.name", "orpo");
      m.set("algorithm.lambda", beta);
    } else if (loss == "simpo") {
      m.set("algorithm.name", "simpo");
      m.set("algorithm.beta", beta);
      m.set("algorithm.gamma", m.number("simpo_gamma", 0.5));
    } else {
      DpoValues dpo;
      dpo.beta = beta;
      dpo.losses = {loss};
      dpo.label_smoothing = m.number("dpo_label_smoothing", 0);
      if (const double weight = m.number("pref_bco_weight", 0); weight > 0) {
        dpo.losses.emplace_back("bco_pair");
        dpo.weights = {1, weight};
      }
      set_dpo(m, "pref_loss", dpo);
    }
    if (const Json ld = m.value("ld_alpha"); ld.is_number()) m.set("algorithm.ld_alpha", ld);
  }
  if (const double weight = m.number("pref_ftx", 0); weight > 0) m.set("algorithm.sft_weight", weight);
  if (m.given("ref_model")) m.lose("ref_model", "the reference is the model that the run starts from");
}

}  // namespace

Migrated migrate_llamafactory(const Json& source, const std::string& where, const std::string& folder) {
  const Json stage_value = source.value("stage", Json("sft"));
  const std::string stage = stage_value.is_string() ? stage_value.get<std::string>() : "";
  Migration m(source, llamafactory_tables(), where, folder, stage);
  m.text("stage", "sft");
  m.model_path("model.path", "model_name_or_path");
  carry_precision(m);
  if (m.flag("pure_bf16", false)) {
    m.set("model.dtype", "bf16");
    m.carried("pure_bf16", "model.dtype bf16; trained weights are kept in fp32 here");
  }
  if (m.flag("disable_gradient_checkpointing", false)) m.set("model.checkpointing", "off");
  if (const double coef = m.number("moe_aux_loss_coef", 0); coef > 0)
    m.set("model.router_aux_loss_coef", coef);
  carry_llamafactory_adapter(m);
  carry_llamafactory_data(m, stage);
  if (stage == "sft" || stage == "pt") {
    m.set("task", "sft");
    m.set("loss.name", m.flag("use_dft_loss", false) ? "dft" : "nll");
    if (stage == "pt") m.set("data.targets", "all");
    if (const double alpha = m.number("neftune_noise_alpha", 0); alpha > 0)
      m.set("inputs", Json::array({{{"kind", "neftune"}, {"alpha", alpha}}}));
  } else if (stage == "rm") {
    m.set("task", "reward_model");
    m.set("algorithm.name", "bt");
  } else if (stage == "dpo" || stage == "kto") {
    carry_preference(m, stage);
  } else {
    user_error(
        "{}: stage: expected pt, sft, rm, dpo or kto, found {}; PPO is the task \"rl\" with algorithm "
        "\"ppo\" "
        "(configs/rl)",
        where, dump_line(stage_value));
  }
  const TrainerSpelling names;
  carry_optimizer(m, names);
  if (m.flag("use_muon", false)) m.set("optimizer.name", "muon");
  carry_steps(m, names);
  carry_saving(m);
  return m.finish(fmt::format("LLaMA-Factory ({})", stage));
}

}  // namespace temper
