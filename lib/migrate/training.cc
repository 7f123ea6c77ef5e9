#include "migrate/training.h"

#include <cmath>
#include <cstdlib>
#include <map>

#include "base/error.h"
#include "migrate/reasons.h"

namespace temper {
namespace {

constexpr char kPadding[] = "nothing is padded here";
constexpr char kSchedule[] = "schedule";

constexpr ForeignKey kTrainerKeys[] = {
    part_key("learning_rate", "optimizer.lr"),
    part_key("optim", "optimizer.name"),
    part_key("weight_decay", "optimizer.weight_decay"),
    part_key("adam_beta1", "optimizer.beta1"),
    part_key("adam_beta2", "optimizer.beta2"),
    part_key("adam_epsilon", "optimizer.eps"),
    part_key("max_grad_norm", "optimizer.clip_norm"),
    part_key("lr_scheduler_type", kSchedule),
    part_key("lr_scheduler_kwargs", kSchedule),
    part_key("warmup_steps", "schedule.warmup"),
    part_key("warmup_ratio", "schedule.warmup"),
    part_key("per_device_train_batch_size", kBatch),
    part_key("gradient_accumulation_steps", kBatch),
    part_key("num_train_epochs", "train.epochs"),
    part_key("max_steps", "train.steps"),
    part_key("bf16", "model.dtype"),
    part_key("fp16", "model.dtype"),
    part_key("gradient_checkpointing", "model.checkpointing"),
    part_key("activation_checkpointing", "model.checkpointing"),
    part_key("eval_strategy", "eval.every"),
    part_key("evaluation_strategy", "eval.every"),
    part_key("eval_steps", "eval.every"),
    part_key("save_strategy", "checkpoint.every"),
    part_key("save_steps", "checkpoint.every"),
    part_key("save_total_limit", "checkpoint.keep"),
    part_key("load_best_model_at_end", "checkpoint.best"),
    part_key("metric_for_best_model", "checkpoint.best"),
    part_key("greater_is_better", "checkpoint.best"),
    part_key("output_dir", "run"),
    part_key("neftune_noise_alpha", "inputs"),
    part_key("label_smoothing_factor", "loss.label_smoothing"),
    part_key("train_sampling_strategy", "data.order"),
    field_key("seed", "seed"),
    lost_key("optim_args", "options of the optimizer by text; set them in section optimizer"),
    lost_key("optim_target_modules", "GaLore and its kin are not here"),
    lost_key("data_seed", "one seed names all random streams: seed"),
    lost_key("group_by_length", "order by length is not here; nothing is padded, so it would save nothing"),
    lost_key("length_column_name", "order by length is not here", "", "\"length\""),
    lost_key("eval_delay", "evaluations begin before the first step"),
    lost_key("ignore_data_skip", "a run that goes on takes up its records where it stopped"),
    lost_key("tf32", "there is no switch for it"),
    lost_key("fsdp", "ranks share the optimizer state by dist.shard \"state\", and the weights not"),
    lost_key("push_to_hub", kHub),
    lost_key("hub_model_id", kHub),
    lost_key("label_names", "columns are told apart by their names: prompt, completion, messages ..."),
    lost_key("liger_kernel_config", kKernels),
    lost_key("auto_find_batch_size",
             "memory is bounded by train.micro_batch_tokens; temper-train --plan says how much is needed"),
    lost_key("parallelism_config", "ranks split the batch, not the model"),
    lost_key("debug", "there is no such switch"),
    lost_key("optimizer_cls_and_kwargs", "Python code"),
    no_sense_key("fsdp_config", kRanks),
    no_sense_key("deepspeed", kRanks),
    no_sense_key("accelerator_config", kRanks),
    no_sense_key("local_rank", kRanks),
    no_sense_key("average_tokens_across_devices",
                 "the loss is always the mean over the whole step and all ranks"),
    no_sense_key("ddp_find_unused_parameters", kRanks),
    no_sense_key("ddp_bucket_cap_mb", kRanks),
    no_sense_key("ddp_broadcast_buffers", kRanks),
    no_sense_key("ddp_static_graph", kRanks),
    no_sense_key("ddp_backend", kRanks),
    no_sense_key("ddp_timeout", kRanks),
    no_sense_key("bf16_full_eval", "evaluations compute as training does"),
    no_sense_key("fp16_full_eval", "evaluations compute as training does"),
    no_sense_key("activation_checkpointing_kwargs", kKernels),
    no_sense_key("gradient_checkpointing_kwargs", kKernels),
    no_sense_key("torch_compile", kKernels),
    no_sense_key("torch_compile_backend", kKernels),
    no_sense_key("torch_compile_mode", kKernels),
    no_sense_key("use_liger_kernel", kKernels),
    no_sense_key("use_cache", kKernels),
    no_sense_key("torch_empty_cache_steps", kKernels),
    no_sense_key("logging_strategy", kTold),
    no_sense_key("logging_steps", kTold),
    no_sense_key("logging_first_step", kTold),
    no_sense_key("logging_dir", kTold),
    no_sense_key("log_on_each_node", kTold),
    no_sense_key("logging_nan_inf_filter", "section health says what counts as a bad step"),
    no_sense_key("include_num_input_tokens_seen", kTold),
    no_sense_key("log_level", kTold),
    no_sense_key("log_level_replica", kTold),
    no_sense_key("disable_tqdm", "temper-train --quiet"),
    part_key("report_to", "metrics.jsonl and TensorBoard"),
    no_sense_key("run_name", "of a tracker; a run is named by its folder, run"),
    no_sense_key("project", "of a tracker"),
    no_sense_key("trackio_space_id", "of a tracker"),
    no_sense_key("trackio_bucket_id", "of a tracker"),
    no_sense_key("trackio_static_space_id", "of a tracker"),
    no_sense_key("per_device_eval_batch_size", "memory is bounded by train.micro_batch_tokens"),
    no_sense_key("prediction_loss_only", "evaluations say what the task has"),
    no_sense_key("eval_on_start", "evaluations begin before the first step"),
    no_sense_key("eval_do_concat_batches", kRanks),
    no_sense_key("eval_use_gather_object", kRanks),
    no_sense_key("eval_accumulation_steps", kRanks),
    no_sense_key("include_for_metrics", "Python code reads it"),
    no_sense_key("batch_eval_metrics", "Python code reads it"),
    no_sense_key("save_only_model", "a checkpoint has all that a continuation needs"),
    no_sense_key("save_on_each_node", kRanks),
    no_sense_key("save_safetensors", "models are always written as safetensors"),
    no_sense_key("enable_jit_checkpoint", "SIGTERM and SIGINT always save and leave"),
    no_sense_key("hub_token", kHub),
    no_sense_key("hub_private_repo", kHub),
    no_sense_key("hub_strategy", kHub),
    no_sense_key("hub_always_push", kHub),
    no_sense_key("hub_revision", kHub),
    no_sense_key("restore_callback_states_from_checkpoint", "there are no callbacks"),
    no_sense_key("full_determinism", "a run is the same bytes each time"),
    part_key("use_cpu", "device"),
    no_sense_key("dataloader_drop_last", kReading),
    no_sense_key("dataloader_num_workers", kReading),
    no_sense_key("dataloader_pin_memory", kReading),
    no_sense_key("dataloader_persistent_workers", kReading),
    no_sense_key("dataloader_prefetch_factor", kReading),
    no_sense_key("dataloader_multiprocessing_context", kReading),
    no_sense_key("dataloader_in_order", kReading),
    no_sense_key("remove_unused_columns", "other columns travel along"),
    no_sense_key("skip_memory_metrics", "the peak memory is among the metrics"),
    no_sense_key("do_train", "temper-train trains; temper-eval evaluates"),
    no_sense_key("do_eval", "eval.every says when"),
    no_sense_key("do_predict", "temper-generate does"),
    no_sense_key("resume_from_checkpoint", "a run goes on by the same command; --resume auto|must|never"),
    no_sense_key("overwrite_output_dir", "a run goes on in its folder; another one takes another folder"),
    no_sense_key("pad_to_multiple_of", kPadding),
};

// The optimizer of a name of transformers' OptimizerNames; empty: none.
std::string optimizer_of(const std::string& name) {
  static const std::map<std::string, std::string> names = {{"adamw_torch", "adamw"},
                                                           {"adamw_torch_fused", "adamw"},
                                                           {"adamw_hf", "adamw"},
                                                           {"adamw", "adamw"},
                                                           {"paged_adamw_32bit", "adamw"},
                                                           {"paged_adamw", "adamw"},
                                                           {"adamw_apex_fused", "adamw"},
                                                           {"adamw_8bit", "adamw8bit"},
                                                           {"adamw_bnb_8bit", "adamw8bit"},
                                                           {"paged_adamw_8bit", "adamw8bit"},
                                                           {"adamw_torch_8bit", "adamw8bit"},
                                                           {"sgd", "sgd"},
                                                           {"adafactor", "adafactor"},
                                                           {"lion", "lion"},
                                                           {"lion_32bit", "lion"},
                                                           {"paged_lion_32bit", "lion"},
                                                           {"ademamix", "ademamix"},
                                                           {"paged_ademamix_32bit", "ademamix"},
                                                           {"muon", "muon"}};
  const auto found = names.find(name);
  return found == names.end() ? "" : found->second;
}

// Options of the schedule that are read; the others of lr_scheduler_kwargs are told.
class ScheduleOptionsOf {
 public:
  explicit ScheduleOptionsOf(Migration& m) : m_(m), options_(m.value("lr_scheduler_kwargs")) {
    if (!options_.is_null() && !options_.is_object())
      user_error("{}: lr_scheduler_kwargs: expected a mapping, found {}", m.where(), dump_line(options_));
  }
  double take(const char* name, double fallback) {
    if (!options_.is_object() || !options_.contains(name) || options_[name].is_null()) return fallback;
    const Json value = options_[name];
    options_.erase(name);
    if (!value.is_number())
      user_error("{}: lr_scheduler_kwargs.{}: expected a number, found {}", m_.where(), name,
                 dump_line(value));
    return value.get<double>();
  }
  void tell_others() const {
    if (!options_.is_object()) return;
    for (const auto& [name, value] : options_.items())
      m_.lose_part("lr_scheduler_kwargs." + name, value, "the schedule has no such option here");
  }

 private:
  Migration& m_;
  Json options_;
};

void carry_schedule(Migration& m, const TrainerSpelling& names, double lr) {
  const std::string name = m.text(names.schedule, names.schedule_default);
  ScheduleOptionsOf options(m);
  double warmup = m.number("warmup_steps", 0);
  const double ratio = m.number("warmup_ratio", 0);
  if (warmup <= 0) warmup = ratio;
  const auto floor = [&](double rate, double share) {
    if (rate > 0 && lr > 0) share = rate / lr;
    if (share > 0) m.set("schedule.floor", share);
  };
  std::string kind = name;
  if (name == "constant_with_warmup") kind = "constant";
  if (name == "constant" && warmup > 0) {
    for (const char* key : {"warmup_steps", "warmup_ratio"})
      m.no_sense(key, "transformers' schedule \"constant\" has no warm-up");
    warmup = 0;
  }
  if (name == "cosine_with_min_lr" || name == "cosine_warmup_with_min_lr") kind = "cosine";
  if (name == "warmup_stable_decay") kind = "wsd";
  const bool known = kind == "linear" || kind == "cosine" || kind == "constant" || kind == "polynomial" ||
                     kind == "inverse_sqrt" || kind == "wsd";
  if (!known) {
    kind = name.starts_with("cosine") ? "cosine" : "linear";
    m.lose(names.schedule, fmt::format("there is no such schedule; \"{}\" stands in its place", kind));
  }
  m.set("schedule.name", kind);
  if (warmup > 0) {
    m.set("schedule.warmup", warmup);
    m.remark(
        "schedule.warmup: with W updates of warm-up, transformers' first has a learning rate of 0, here of "
        "lr / W");
  }
  if (kind == "cosine" && known) floor(options.take("min_lr", 0), options.take("min_lr_rate", 0));
  if (kind == "polynomial") {
    m.set("schedule.power", options.take("power", 1));
    floor(options.take("lr_end", 1e-7), 0);
  }
  if (kind == "inverse_sqrt") {
    if (const double scale = options.take("timescale", 0); scale > 0) m.set("schedule.timescale", scale);
  }
  if (kind == "wsd") {
    if (const double decay = options.take("num_decay_steps", 0); decay > 0) m.set("schedule.decay", decay);
    m.set("schedule.decay_shape", "cosine");
    floor(0, options.take("min_lr_ratio", 0));
  }
  options.tell_others();
}

}  // namespace

std::span<const ForeignKey> trainer_keys() {
  return kTrainerKeys;
}

void carry_optimizer(Migration& m, const TrainerSpelling& names) {
  const std::string name = m.text(names.optimizer, "adamw_torch_fused");
  std::string kind = optimizer_of(name);
  if (kind.empty()) {
    kind = name.find("8bit") != std::string::npos ? "adamw8bit" : "adamw";
    m.lose(names.optimizer, fmt::format("there is no such optimizer; \"{}\" stands in its place", kind));
  }
  const double lr = m.number("learning_rate", names.lr);
  m.set("optimizer.name", kind);
  m.set("optimizer.lr", lr);
  m.set("optimizer.weight_decay", m.number("weight_decay", 0));
  m.set("optimizer.clip_norm", m.number("max_grad_norm", 1));
  const bool adam = kind == "adamw" || kind == "adamw8bit" || kind == "ademamix";
  if (adam || kind == "lion") {
    m.set("optimizer.beta1", m.number("adam_beta1", 0.9));
    m.set("optimizer.beta2", m.number("adam_beta2", 0.999));
  }
  if (adam) m.set("optimizer.eps", m.number("adam_epsilon", 1e-8));
  if (kind == "adafactor") {  // as transformers' Trainer makes it
    m.set("optimizer.scale_parameter", false);
    m.set("optimizer.relative_step", false);
  }
  for (const char* key : {"adam_beta1", "adam_beta2", "adam_epsilon"})
    if (!adam && !(kind == "lion" && std::string(key) != "adam_epsilon"))
      m.no_sense(key, fmt::format("\"{}\" does not read it", name));
  carry_schedule(m, names, lr);
}

int64_t update_size(Migration& m, const TrainerSpelling& names) {
  const int64_t batch = m.integer(names.batch, names.batch_default),
                steps = m.integer("gradient_accumulation_steps", 1);
  if (batch < 1 || steps < 1 || batch > (1 << 20) || steps > (1 << 20))
    user_error("{}: {} and gradient_accumulation_steps: expected whole numbers from 1, found {} and {}",
               m.where(), names.batch, batch, steps);
  return batch * steps;
}

void carry_steps(Migration& m, const TrainerSpelling& names) {
  m.set("train.batch_size", update_size(m, names));
  const int64_t steps = m.integer("max_steps", -1);
  if (steps > 0) {
    m.set("train.steps", steps);
    m.no_sense(names.epochs, "max_steps stands before it");
  } else {
    m.no_sense("max_steps", "below 1: the epochs count");
    m.set("train.epochs", m.number(names.epochs, names.epochs_default));
  }
}

void carry_precision(Migration& m) {
  if (m.value("fp16") == true)
    m.lose(
        "fp16",
        "there is no training in fp16: model.dtype \"bf16\" has the range of fp32 and needs no loss scale");
  else if (m.value("bf16").is_boolean())
    m.set("model.dtype", m.value("bf16") == true ? "bf16" : "f32");
  for (const char* key : {"gradient_checkpointing", "activation_checkpointing"})
    if (const Json value = m.given(key) ? m.value(key) : Json(); !value.is_null() && value != false)
      m.set("model.checkpointing", "all");
}

void carry_saving(Migration& m, const SavingSpelling& spelling) {
  if (const std::string folder = m.text("output_dir", ""); !folder.empty()) m.set("run", m.path(folder));
  const double run_steps = static_cast<double>(m.integer("max_steps", -1));
  const auto in_steps = [&](double value) { return value < 1 ? std::ceil(value * run_steps) : value; };
  const char* strategy_key = m.given("eval_strategy") ? "eval_strategy" : "evaluation_strategy";
  const bool asked = m.given("eval_steps");
  const std::string strategy = m.given(strategy_key) && m.value(strategy_key) == false
                                   ? "no"
                                   : m.text(strategy_key, asked && spelling.eval_steps_ask ? "steps" : "no");
  const std::string asker = m.given(strategy_key) ? strategy_key : "eval_steps";
  const bool held_out = m.has("data.eval") || m.has("data.eval_share");
  if (strategy == "epoch") {
    m.lose(strategy_key, "eval.every counts steps: set it to the steps of an epoch");
  } else if (strategy == "steps") {
    const double every = in_steps(
        m.number("eval_steps", m.number("logging_steps", static_cast<double>(spelling.logging_default))));
    if (!held_out)
      m.lose(asker, "there is no held-out data: give data.eval or data.eval_share, then eval.every");
    else if (every >= 1)
      m.set("eval.every", every);
    else
      m.lose(asker, "how many steps lie between two evaluations is not known: set eval.every");
  } else if (asked) {
    m.no_sense("eval_steps", "eval_strategy asks for no evaluations");
  }
  const std::string saves =
      m.given("save_strategy") && m.value("save_strategy") == false ? "no" : m.text("save_strategy", "steps");
  if (saves == "no") {
    m.set("checkpoint.every", 0);
    m.no_sense("save_steps", "save_strategy asks for none");
  } else if (saves == "steps") {
    const double every = in_steps(m.number("save_steps", 0));
    if (every >= 1)
      m.set("checkpoint.every", every);
    else if (m.given("save_steps"))
      m.lose("save_steps", "a share of a number of steps that is not known: set checkpoint.every");
  } else {
    m.lose("save_strategy", fmt::format("checkpoint.every counts steps, and \"{}\" does not", saves));
  }
  if (const int64_t keep = m.integer("save_total_limit", 0); keep > 0) m.set("checkpoint.keep", keep);
  if (m.flag("load_best_model_at_end", false)) m.set("checkpoint.best", true);
  if (const std::string metric = m.text("metric_for_best_model", "loss");
      metric != "loss" && metric != "eval_loss")
    m.lose("metric_for_best_model", "the best checkpoint is the one with the task's best evaluation");
  m.no_sense("greater_is_better", "the task knows which of its figures is better");
  if (m.flag("use_cpu", false)) m.set("device", "cpu");
  for (const std::string& tracker : m.texts("report_to"))
    if (tracker != "none" && tracker != "tensorboard")
      m.lose("report_to",
             "metrics go to metrics.jsonl, TensorBoard and report.html, which a tracker can read");
}

void set_lora(Migration& m, const LoraValues& lora) {
  m.set("adapter.kind", "lora");
  m.set("adapter.rank", lora.rank);
  m.set("adapter.alpha", lora.alpha);
  m.set("adapter.dropout", lora.dropout);
  if (lora.rslora) m.set("adapter.rslora", true);
  if (lora.dora) m.set("adapter.dora", true);
  if (lora.targets.is_null()) {
    m.set("adapter.targets", Json::array({"q_proj", "v_proj"}));
    m.remark(
        "adapter.targets: none are named, and PEFT's own for Llama, Qwen, Mistral and Gemma are q_proj and "
        "v_proj; of another family, look them up");
  } else {
    m.set("adapter.targets", lora.targets);
  }
  if (lora.modules_to_save.is_array() && !lora.modules_to_save.empty())
    m.set("adapter.modules_to_save", lora.modules_to_save);
}

void set_lora_init(Migration& m, const std::string& key, const Json& value) {
  if (value.is_null() || value == true) return;
  const std::string init = value.is_string() ? value.get<std::string>() : "";
  if (init == "gaussian" || init == "olora" || init == "pissa" || init == "corda") {
    m.set("adapter.init", init);
  } else if (init.starts_with("pissa_niter_")) {
    m.set("adapter.init", "pissa");
    m.set("adapter.svd_iterations", std::strtoll(init.c_str() + 12, nullptr, 10));
  } else {
    m.lose(key, "A and B begin as kaiming, gaussian, pissa, olora or corda; kaiming stands in its place");
  }
}

Json lora_targets(const Json& value) {
  if (value == "all" || value == "all-linear") return "all-linear";
  if (value.is_array() && value.size() == 1 && (value[0] == "all" || value[0] == "all-linear"))
    return "all-linear";
  return value;
}

}  // namespace temper
