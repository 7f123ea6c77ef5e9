#include "migrate/trl.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "migrate/training.h"
#include "migrate/trl_parts.h"

namespace temper {
namespace {

// Longest text where TRL has no limit.
constexpr int64_t kNoLimit = 1 << 20;

void carry_model(Migration& m, const std::string& trainer) {
  m.model_path("model.path", "model_name_or_path");
  carry_precision(m);
  for (const char* key : {"dtype", "torch_dtype"}) {
    const std::string dtype = m.text(key, "auto");
    if (dtype == "bfloat16" && !m.has("model.dtype"))
      m.set("model.dtype", "bf16");
    else if (dtype == "float16")
      m.lose(key, "there is no training in fp16; model.dtype is bf16 or f32");
    else if (dtype != "auto")
      m.no_sense(key, "trained weights are always kept in fp32; model.dtype says what is computed in");
  }
  const bool peft = m.flag("use_peft", false);
  for (const char* key : {"load_in_4bit", "load_in_8bit"})
    if (!peft && m.flag(key, false))
      m.lose(key, "weights that train are not quantised, and use_peft is not true");
  if (peft && m.flag("load_in_4bit", false)) {
    m.set("model.quantise", "nf4");
    m.set("model.double_quantisation", m.flag("use_bnb_nested_quant", false));
    if (const std::string kind = m.text("bnb_4bit_quant_type", "nf4"); kind != "nf4")
      m.lose("bnb_4bit_quant_type", "of 4 bits there is nf4 alone");
  } else {
    if (peft && m.flag("load_in_8bit", false)) m.set("model.quantise", "int8");
    for (const char* key : {"bnb_4bit_quant_type", "use_bnb_nested_quant"})
      m.no_sense(key, "of load_in_4bit");
  }
  // TRL's disable_dropout switches the LoRA's off too.
  const bool preference = trainer != "sft" && trainer != "grpo" && trainer != "rloo";
  const bool no_dropout = m.flag("disable_dropout", preference);
  if (!peft) {
    for (const char* key : {"lora_r", "lora_alpha", "lora_dropout", "lora_target_modules",
                            "lora_modules_to_save", "use_rslora", "use_dora"})
      m.no_sense(key, "use_peft is not true, so TRL trains every weight");
    m.no_sense("disable_dropout", "models have no dropout here");
    m.set("adapter.kind", "full");
    return;
  }
  LoraValues lora;
  lora.rank = m.integer("lora_r", 16);
  lora.alpha = m.number("lora_alpha", 32);
  lora.dropout = m.number("lora_dropout", 0.05);
  if (no_dropout && lora.dropout != 0.0) {
    lora.dropout = 0.0;
    m.carried("lora_dropout", "adapter.dropout 0: TRL's disable_dropout switches it off");
  }
  lora.targets = lora_targets(m.value("lora_target_modules"));
  lora.rslora = m.flag("use_rslora", false);
  lora.dora = m.flag("use_dora", false);
  if (m.given("lora_modules_to_save")) lora.modules_to_save = m.texts("lora_modules_to_save");
  set_lora(m, lora);
}

// One entry of "datasets". Returns its share of the mixture; 0: none is given.
double carry_trl_dataset(Migration& m, const Json& entry, const std::string& where) {
  static const std::vector<std::string> known = {"path",  "name",    "data_dir", "data_files",
                                                 "split", "columns", "fraction"};
  if (!entry.is_object() || !entry.contains("path") || !entry["path"].is_string())
    user_error("{}: {}: expected a mapping with \"path\", found {}", m.where(), where, dump_line(entry));
  for (const auto& [key, value] : entry.items()) {
    const std::string at = where + "." + key;
    if (std::find(known.begin(), known.end(), key) == known.end())
      m.lose_part(at, value, "no such key");
    else if (key == "split" && value != "train" && !value.is_null())
      m.lose_part(at, value, "files are read whole: name those of the split in data.train");
    else if ((key == "name" || key == "data_dir") && !value.is_null())
      m.lose_part(at, value, "a part of a data set: name its files in data.train");
  }
  const Json files = entry.value("data_files", Json());
  if (files.is_null())
    m.data_file("data.train", where + ".path", entry["path"].get<std::string>());
  else if (files.is_object())
    m.lose_part(where + ".data_files", files, "files by split: name those to train on in data.train");
  else
    for (const Json& file : files.is_array() ? files : Json::array({files}))
      if (file.is_string()) m.data_file("data.train", where + ".data_files", file.get<std::string>());
  const Json fraction = entry.value("fraction", Json());
  return fraction.is_number() ? fraction.get<double>() : 0;
}

void carry_trl_data(Migration& m, const std::string& trainer) {
  if (const Json datasets = m.value("datasets"); datasets.is_array() && !datasets.empty()) {
    std::vector<double> shares;
    for (size_t i = 0; i < datasets.size(); ++i)
      shares.push_back(carry_trl_dataset(m, datasets[i], fmt::format("datasets.{}", i)));
    const bool all = std::all_of(shares.begin(), shares.end(), [](double share) { return share > 0; });
    const bool any = std::any_of(shares.begin(), shares.end(), [](double share) { return share > 0; });
    if (all && shares.size() > 1 && trainer == "sft") {
      m.set("data.weights", shares);
      m.remark("data.weights: each step has these shares of the files; TRL keeps the first rows of each");
    } else if (any && shares.size() > 1) {
      m.lose_part("datasets.0.fraction", datasets[0].value("fraction", Json()),
                  "files are drawn from as if they were one; cut the longer ones");
    }
    if (m.given("dataset_name")) m.no_sense("dataset_name", "TRL ignores it beside datasets");
  } else if (const std::string name = m.text("dataset_name", ""); !name.empty()) {
    m.data_file("data.train", "dataset_name", name);
  } else {
    m.set("data.train", Json::array({"train.jsonl"}));
    m.remark("data.train: no data set is named; \"train.jsonl\" stands for your own");
  }
  const double share = m.number("test_split_size", 0);
  if (share > 0 && share < 1)
    m.set("data.eval_share", share);
  else if (share >= 1)
    m.lose("test_split_size", "a number of rows: data.eval_share is a share below 1");
  if (m.text("eval_strategy", "no") == "no" || m.has("data.eval_share"))
    m.no_sense("dataset_test_split", "data.eval_share is what it calls, or nothing asks for evaluations");
  else if (m.given("dataset_test_split"))
    m.lose("dataset_test_split", "a split of a data set of the hub: name its files in data.eval");
}

void carry_length(Migration& m, const Json& source, const std::string& trainer) {
  const int64_t longest = m.integer("max_length", 1024);
  m.set("data.max_tokens",
        source.contains("max_length") && source["max_length"].is_null() ? kNoLimit : longest);
  // A pair that is too long for a reward model is left out by TRL, all others are cut.
  m.set("data.overlong", trainer == "reward" ? "drop" : "truncate");
  if (const std::string side = m.text("truncation_mode", "keep_start"); side != "keep_start")
    m.lose("truncation_mode", "examples are cut from the right");
}

void carry_sft(Migration& m) {
  m.set("task", "sft");
  const std::string loss = m.text("loss_type", "nll");
  if (loss != "nll" && loss != "dft" && loss != "chunked_nll")
    m.lose("loss_type", "expected nll or dft; nll stands in its place");
  m.set("loss.name", loss == "dft" ? "dft" : "nll");
  const double smoothing = m.number("label_smoothing_factor", 0);
  if (smoothing > 0 && loss != "dft") m.set("loss.label_smoothing", smoothing);
  if (const double alpha = m.number("neftune_noise_alpha", 0); alpha > 0)
    m.set("inputs", Json::array({{{"kind", "neftune"}, {"alpha", alpha}}}));
  const Json completion = m.value("completion_only_loss");
  if (m.flag("assistant_only_loss", false))
    m.set("data.targets", "assistant");
  else if (completion == true)
    m.set("data.targets", "completion");
  else if (completion == false)
    m.set("data.targets", "all");
  else
    m.remark(
        "data.targets: of chats (column messages) without assistant_only_loss TRL learns every token, and "
        "data.targets auto the assistant's turns; of those, \"all\" is TRL's");
  if (m.flag("packing", false))
    m.lose("packing",
           "a step of TRL then learns from rows that are filled up to max_length, here of "
           "train.batch_size examples, none of them padded: set train.batch_size to as many as fill "
           "the rows");
  if (const std::string column = m.text("dataset_text_field", "text"); column != "text")
    m.lose("dataset_text_field", "texts are read from the column \"text\"");
}

bool takes_divergence(const Json& loss) {
  for (const char* name : {"dpo", "robust", "hinge", "ipo", "exo_pair", "discopop", "sigmoid_norm"})
    if (loss == name) return true;
  return false;
}

void carry_dpo(Migration& m) {
  m.set("task", "preference");
  DpoValues dpo;
  if (m.given("loss_type")) dpo.losses = m.texts("loss_type");
  if (const Json weights = m.value("loss_weights"); weights.is_array())
    for (const Json& weight : weights) {
      if (!weight.is_number())
        user_error("{}: loss_weights: expected numbers, found {}", m.where(), dump_line(weights));
      dpo.weights.push_back(weight.get<double>());
    }
  dpo.beta = m.number("beta", 0.1);
  dpo.label_smoothing = m.number("label_smoothing", 0);
  dpo.discopop_tau = m.number("discopop_tau", 0.05);
  set_dpo(m, "loss_type", dpo);
  if (dpo.label_smoothing > 0 && m.get("algorithm.name") == "dpo")
    m.remark(
        "algorithm.label_smoothing: TRL 1.16 reads it for robust and exo_pair alone, earlier ones for "
        "sigmoid too");
  if (const double weight = m.number("rpo_alpha", 0); weight > 0) m.set("algorithm.sft_weight", weight);
  if (m.flag("use_weighting", false)) m.set("algorithm.wpo", true);
  static const std::map<std::string, std::string> divergences = {{"reverse_kl", "reverse_kl"},
                                                                 {"forward_kl", "forward_kl"},
                                                                 {"js_divergence", "js"},
                                                                 {"alpha_divergence", "alpha"}};
  const std::string divergence = m.text("f_divergence_type", "reverse_kl");
  const auto found = divergences.find(divergence);
  if (found == divergences.end()) {
    m.lose("f_divergence_type", "there is no such divergence; reverse_kl stands in its place");
  } else if (const Json name = m.get("algorithm.name");
             found->second != "reverse_kl" && !takes_divergence(name)) {
    m.lose("f_divergence_type", fmt::format("{} takes the log-ratios as they are", dump_line(name)));
  } else if (found->second != "reverse_kl") {
    m.set("algorithm.divergence", found->second);
    if (found->second == "alpha")
      m.set("algorithm.divergence_alpha", m.number("f_alpha_divergence_coef", 0.5));
  }
  if (m.given("f_alpha_divergence_coef") && (found == divergences.end() || found->second != "alpha"))
    m.no_sense("f_alpha_divergence_coef", "of f_divergence_type alpha_divergence");
}

void carry_kto(Migration& m) {
  m.set("task", "preference");
  std::string loss = m.text("loss_type", "kto");
  if (loss != "kto" && loss != "apo_zero_unpaired") {
    m.lose("loss_type", "expected kto or apo_zero_unpaired; kto stands in its place");
    loss = "kto";
  }
  m.set("algorithm.name", loss);
  m.set("algorithm.beta", m.number("beta", 0.1));
  if (m.text("train_sampling_strategy", "sequential") == "sequential") m.set("data.order.kind", "sequential");
}

void carry_cpo(Migration& m) {
  m.set("task", "preference");
  const std::string loss = m.text("loss_type", "sigmoid");
  const bool simpo = loss == "simpo";
  if (!simpo && loss != "sigmoid")
    m.lose("loss_type", "of CPO's losses there are sigmoid and simpo; sigmoid stands in its place");
  m.set("algorithm.name", simpo ? "simpo" : "cpo");
  m.set("algorithm.beta", m.number("beta", 0.1));
  if (simpo) m.set("algorithm.gamma", m.number("simpo_gamma", 0.5));
  if (!simpo && m.given("simpo_gamma")) m.no_sense("simpo_gamma", "of loss_type simpo");
  if (const double smoothing = m.number("label_smoothing", 0); smoothing > 0)
    m.set("algorithm.label_smoothing", smoothing);
  m.set("algorithm.sft_weight", m.number("cpo_alpha", 1));
}

double default_lr(const std::string& trainer) {
  if (trainer == "sft") return 2e-5;
  return trainer == "reward" ? 1e-4 : 1e-6;
}

}  // namespace

const std::vector<std::string>& trl_trainers() {
  static const std::vector<std::string> trainers = {"sft",    "dpo",  "grpo", "kto",
                                                    "reward", "rloo", "cpo",  "orpo"};
  return trainers;
}

std::string trl_trainer(const Json& source) {
  std::map<std::string, int> strangers;  // keys that a trainer does not have
  const auto tables = trl_tables();
  for (const auto& table : tables)
    for (const ForeignKey& row : table) {
      if (*row.only == 0 || !source.contains(row.name)) continue;
      for (const std::string& trainer : trl_trainers())
        if ((" " + std::string(row.only) + " ").find(" " + trainer + " ") == std::string::npos)
          ++strangers[trainer];
    }
  // A loss that only one of them has.
  if (const Json loss = source.value("loss_type", Json());
      loss.is_string() || (loss.is_array() && !loss.empty())) {
    const std::string name = loss.is_string()      ? loss.get<std::string>()
                             : loss[0].is_string() ? loss[0].get<std::string>()
                                                   : "";
    static const std::map<std::string, std::string> owners = {{"nll", "sft"},
                                                              {"chunked_nll", "sft"},
                                                              {"dft", "sft"},
                                                              {"kto", "kto"},
                                                              {"apo_zero_unpaired", "kto"},
                                                              {"grpo", "grpo"},
                                                              {"dapo", "grpo"},
                                                              {"bnpo", "grpo"},
                                                              {"dr_grpo", "grpo"},
                                                              {"cispo", "grpo"},
                                                              {"sapo", "grpo"},
                                                              {"vespo", "grpo"},
                                                              {"luspo", "grpo"},
                                                              {"simpo", "cpo"}};
    const auto owner = owners.find(name);
    for (const std::string& trainer : trl_trainers())
      if (owner == owners.end() ? trainer != "dpo" && trainer != "cpo" : trainer != owner->second)
        ++strangers[trainer];
  }
  if (source.value("lora_task_type", Json()) == "SEQ_CLS") strangers["sft"] += 1;
  const auto best =
      std::min_element(trl_trainers().begin(), trl_trainers().end(),
                       [&](const auto& a, const auto& b) { return strangers[a] < strangers[b]; });
  return *best;
}

void set_dpo(Migration& m, const std::string& loss_key, const DpoValues& dpo) {
  static const std::map<std::string, std::string> names = {{"sigmoid", "dpo"},
                                                           {"hinge", "hinge"},
                                                           {"ipo", "ipo"},
                                                           {"exo_pair", "exo_pair"},
                                                           {"nca_pair", "nca_pair"},
                                                           {"robust", "robust"},
                                                           {"bco_pair", "bco_pair"},
                                                           {"sppo_hard", "sppo_hard"},
                                                           {"aot", "aot"},
                                                           {"aot_unpaired", "aot_unpaired"},
                                                           {"aot_pair", "aot"},
                                                           {"apo_zero", "apo_zero"},
                                                           {"apo_down", "apo_down"},
                                                           {"discopop", "discopop"},
                                                           {"sigmoid_norm", "sigmoid_norm"}};
  Json terms = Json::array();
  double sft = 0;
  for (size_t i = 0; i < dpo.losses.size(); ++i) {
    const std::string& loss = dpo.losses[i];
    const double weight = i < dpo.weights.size() ? dpo.weights[i] : 1;
    const auto found = names.find(loss);
    if (loss == "sft") {
      sft += weight;
      continue;
    }
    if (found == names.end()) {
      m.lose(loss_key,
             fmt::format("there is no loss \"{}\"{}", loss, i == 0 ? "; dpo stands in its place" : ""));
      if (i > 0) continue;
    }
    const std::string name = found == names.end() ? "dpo" : found->second;
    Json term = {{"name", name}, {"beta", dpo.beta}};
    // exo_pair without smoothing is infinite; TRL's user gives one.
    const bool smooths = name == "dpo" || name == "robust" || name == "exo_pair" || name.starts_with("aot");
    if (smooths && (dpo.label_smoothing > 0 || name == "robust"))
      term["label_smoothing"] = dpo.label_smoothing;
    if (name == "discopop") term["tau"] = dpo.discopop_tau;
    if (weight != 1) term["weight"] = weight;
    terms.push_back(std::move(term));
  }
  if (terms.empty()) {
    terms.push_back({{"name", "dpo"}, {"weight", 0}});
    m.lose(loss_key, "\"sft\" alone is the task sft; here dpo has weight 0 beside it");
  }
  for (const auto& [key, value] : terms[0].items()) m.set("algorithm." + key, value);
  terms.erase(0);
  if (!terms.empty()) m.set("algorithm.also", terms);
  if (sft > 0) m.set("algorithm.sft_weight", sft);
}

void carry_reference(Migration& m) {
  if (m.flag("sync_ref_model", false)) {
    m.set("reference.sync_every", m.integer("ref_model_sync_steps", 512));
    m.set("reference.sync_share", m.number("ref_model_mixup_alpha", 0.6));
  } else {
    for (const char* key : {"ref_model_sync_steps", "ref_model_mixup_alpha"})
      m.no_sense(key, "of sync_ref_model");
  }
}

Migrated migrate_trl(const Json& source, const std::string& trainer, const std::string& where,
                     const std::string& folder) {
  Migration m(source, trl_tables(), where, folder, trainer);
  carry_model(m, trainer);
  carry_trl_data(m, trainer);
  if (trainer == "grpo" || trainer == "rloo") {
    migrate_trl_rl(m, trainer);
  } else {
    TrainerSpelling names;
    names.lr = default_lr(trainer);
    if (trainer == "sft") carry_sft(m);
    if (trainer == "dpo") carry_dpo(m);
    if (trainer == "kto") carry_kto(m);
    if (trainer == "cpo") carry_cpo(m);
    if (trainer == "orpo") {
      m.set("task", "preference");
      m.set("algorithm.name", "orpo");
      m.set("algorithm.lambda", m.number("beta", 0.1));
    }
    if (trainer == "reward") {
      m.set("task", "reward_model");
      m.set("algorithm.name", "bt");
    }
    if (m.flag("precompute_ref_log_probs", false)) m.set("reference.cache", "on");
    carry_reference(m);
    carry_length(m, source, trainer);
    carry_optimizer(m, names);
    carry_steps(m, names);
  }
  if (trainer == "sft" || trainer == "reward") {
    if (const std::string path = m.text("chat_template_path", ""); !path.empty()) {
      if (path.ends_with(".jinja"))
        m.set("data.template", m.path(path));
      else
        m.lose("chat_template_path",
               "data.template takes a .jinja file: that of the folder is its chat_template.jinja");
    }
  }
  const std::string order = m.text("train_sampling_strategy", "random");
  if (order == "sequential" && trainer != "kto") m.set("data.order.kind", "sequential");
  if (order != "sequential" && order != "random")
    m.lose("train_sampling_strategy",
           "records are shuffled or in order; nothing is padded, so length saves nothing");
  carry_saving(m, {.logging_default = 10});
  return m.finish(fmt::format("TRL ({})", trainer));
}

}  // namespace temper
