// The table of TRL 1.16's keys, those of earlier versions among them.
#include "migrate/reasons.h"
#include "migrate/training.h"
#include "migrate/trl.h"
#include "migrate/trl_parts.h"

namespace temper {
namespace {

constexpr char kVllm[] =
    "completions are sampled by the process that trains, with the weights that it trains";
constexpr char kCode[] = "Python code or keyword arguments of it";
constexpr char kHubOnly[] = "of the hub, which is not read here";
constexpr char kShown[] = "samples.jsonl has samples_logged rows a step";
constexpr char kTrlBatch[] = "rollout.prompts_per_step and train.batch_size";
constexpr char kRl[] = "grpo rloo";
constexpr char kPairs[] = "dpo kto grpo rloo";

constexpr ForeignKey kTrlKeys[] = {
    // ModelConfig
    part_key("model_name_or_path", "model.path"),
    lost_key("model_revision", kHubOnly, "", "\"main\""),
    part_key("dtype", "model.dtype"),
    part_key("torch_dtype", "model.dtype"),
    no_sense_key("attn_implementation", "attention never sees padding or another text"),
    no_sense_key("trust_remote_code", "no code of a model folder is run"),
    part_key("use_peft", "adapter.kind"),
    part_key("lora_r", "adapter.rank"),
    part_key("lora_alpha", "adapter.alpha"),
    part_key("lora_dropout", "adapter.dropout"),
    part_key("lora_target_modules", "adapter.targets"),
    lost_key("lora_target_parameters", "a LoRA is on linears, not on parameters by name"),
    part_key("lora_modules_to_save", "adapter.modules_to_save"),
    no_sense_key("lora_task_type", "the task says it"),
    part_key("use_rslora", "adapter.rslora"),
    part_key("use_dora", "adapter.dora"),
    part_key("load_in_8bit", "model.quantise"),
    part_key("load_in_4bit", "model.quantise"),
    part_key("bnb_4bit_quant_type", "model.quantise"),
    part_key("use_bnb_nested_quant", "model.double_quantisation"),
    no_sense_key("bnb_4bit_quant_storage", "how bitsandbytes keeps its bytes"),
    // ScriptArguments and DatasetMixtureConfig
    part_key("dataset_name", "data.train"),
    lost_key("dataset_config", "a subset of a data set of the hub: name its files in data.train"),
    lost_key("dataset_train_split", "a split of a data set of the hub: name its files in data.train", "",
             "\"train\""),
    part_key("dataset_test_split", "data.eval"),
    lost_key("dataset_streaming", "files are read whole"),
    lost_key("streaming", "files are read whole"),
    part_key("datasets", "data.train"),
    part_key("test_split_size", "data.eval_share"),
    no_sense_key("ignore_bias_buffers", "of torch's DDP"),
    lost_key("env", "variables of the environment: set them in the shell"),
    no_sense_key("config", "the file itself"),
    // of most trainers
    part_key("max_length", "data.max_tokens", "sft dpo kto reward cpo orpo"),
    part_key("truncation_mode", "data.overlong", "sft dpo cpo orpo kto"),
    part_key("disable_dropout", "adapter.dropout", "dpo kto grpo rloo reward cpo orpo"),
    lost_key("model_init_kwargs", kCode),
    part_key("chat_template_path", "data.template", "sft reward"),
    no_sense_key("dataset_num_proc", "records are read by the run itself"),
    lost_key("eos_token", "the ends of a text are the tokenizer's and generation_config.json's",
             "sft reward"),
    no_sense_key("pad_token", "nothing is padded here", "sft dpo reward"),
    no_sense_key("padding_value", "nothing is padded here"),
    no_sense_key("padding_free", kPacked, "sft dpo"),
    no_sense_key("activation_offloading", "model.checkpointing saves memory here", "sft dpo kto reward"),
    field_key("router_aux_loss_coef", "model.router_aux_loss_coef", "sft dpo kto grpo rloo"),
    no_sense_key("precompute_ref_batch_size", "memory is bounded by train.micro_batch_tokens", "dpo kto"),
    part_key("precompute_ref_log_probs", "reference.cache", "dpo kto"),
    part_key("sync_ref_model", "reference.sync_every", kPairs),
    part_key("ref_model_mixup_alpha", "reference.sync_share", kPairs),
    part_key("ref_model_sync_steps", "reference.sync_every", kPairs),
    part_key("beta", "algorithm", "dpo kto grpo rloo cpo orpo"),
    part_key("loss_type", "loss.name or algorithm.name", "sft dpo kto grpo cpo"),
    part_key("label_smoothing", "algorithm.label_smoothing", "dpo cpo"),
    lost_key("max_prompt_length", "data.max_tokens is of prompt and answer together", "dpo kto cpo orpo"),
    no_sense_key("generate_during_eval", "samples.jsonl has what evaluations sample", "dpo kto cpo orpo"),
    no_sense_key("is_encoder_decoder", "models are decoders", "cpo orpo"),
    lost_key("dataset_kwargs", kCode, "sft"),
    // SFT
    part_key("dataset_text_field", "data", "sft"),
    part_key("packing", "train.batch_size", "sft"),
    no_sense_key("packing_strategy", kPacked, "sft"),
    no_sense_key("eval_packing", kPacked, "sft"),
    part_key("completion_only_loss", "data.targets", "sft"),
    part_key("assistant_only_loss", "data.targets", "sft"),
    no_sense_key("shuffle_dataset", "data.order says how records are drawn", "sft grpo rloo"),
    // DPO
    part_key("loss_weights", "algorithm.weight and algorithm.also", "dpo"),
    field_key("ld_alpha", "algorithm.ld_alpha", "dpo"),
    part_key("f_divergence_type", "algorithm.divergence", "dpo"),
    part_key("f_alpha_divergence_coef", "algorithm.divergence_alpha", "dpo"),
    part_key("use_weighting", "algorithm.wpo", "dpo"),
    part_key("discopop_tau", "algorithm.tau", "dpo"),
    part_key("rpo_alpha", "algorithm.sft_weight", "dpo"),
    // KTO
    field_key("desirable_weight", "algorithm.desirable_weight", "kto"),
    field_key("undesirable_weight", "algorithm.undesirable_weight", "kto"),
    // CPO and its kin
    part_key("cpo_alpha", "algorithm.sft_weight", "cpo"),
    part_key("simpo_gamma", "algorithm.gamma", "cpo"),
    lost_key("alpha", "AlphaPO's reward is not here", "cpo", "0.0"),
    // Reward
    field_key("center_rewards_coefficient", "algorithm.center", "reward"),
};

constexpr ForeignKey kTrlRlKeys[] = {
    part_key("reward_model_name_or_path", "rewards", kRl),
    part_key("reward_funcs", "rewards", kRl),
    part_key("reward_weights", "rewards.N.weight", kRl),
    part_key("num_generations", "rollout.group_size", kRl),
    field_key("num_generations_eval", "eval.samples", kRl),
    part_key("generation_batch_size", kTrlBatch, kRl),
    part_key("steps_per_generation", kTrlBatch, kRl),
    part_key("max_completion_length", "rollout.max_new_tokens", "grpo rloo cpo orpo"),
    field_key("temperature", "rollout.temperature", kRl),
    field_key("top_p", "rollout.top_p", kRl),
    field_key("top_k", "rollout.top_k", kRl),
    field_key("min_p", "rollout.min_p", kRl),
    field_key("repetition_penalty", "rollout.repetition_penalty", kRl),
    lost_key("generation_kwargs", kCode, kRl),
    lost_key("chat_template_kwargs", kCode, kRl),
    part_key("num_iterations", "train.updates_per_rollout", kRl),
    part_key("epsilon", "algorithm.clip_low", kRl),
    part_key("epsilon_high", "algorithm.clip_high", kRl),
    part_key("delta", "algorithm.ratio_cap", "grpo"),
    part_key("scale_rewards", "algorithm.advantage", "grpo"),
    part_key("multi_objective_aggregation", "algorithm.advantage", "grpo"),
    part_key("importance_sampling_level", "algorithm.name", "grpo"),
    field_key("mask_truncated_completions", "algorithm.mask_truncated", kRl),
    part_key("sapo_temperature_neg", "algorithm.tau_negative", "grpo"),
    part_key("sapo_temperature_pos", "algorithm.tau_positive", "grpo"),
    part_key("vespo_k_pos", "algorithm.k_positive", "grpo"),
    part_key("vespo_lambda_pos", "algorithm.lambda_positive", "grpo"),
    part_key("vespo_k_neg", "algorithm.k_negative", "grpo"),
    part_key("vespo_lambda_neg", "algorithm.lambda_negative", "grpo"),
    part_key("use_bias_correction_kl", "algorithm.kl_importance_weight", "grpo"),
    lost_key("off_policy_mask_threshold", "sequences are not masked by how far they are off policy", "grpo"),
    lost_key("top_entropy_quantile", "tokens are not chosen by their entropy", "grpo", "1.0"),
    field_key("entropy_coef", "algorithm.entropy_coef", "grpo"),
    lost_key("use_adaptive_entropy", "the weight of the entropy stays", "grpo"),
    no_sense_key("entropy_coef_min", "of use_adaptive_entropy", "grpo"),
    no_sense_key("entropy_coef_max", "of use_adaptive_entropy", "grpo"),
    no_sense_key("entropy_coef_delta", "of use_adaptive_entropy", "grpo"),
    no_sense_key("entropy_target", "of use_adaptive_entropy", "grpo"),
    lost_key("normalize_advantages", "leave-one-out advantages stay as they are", "rloo"),
    lost_key("reward_clip_range", "rewards.N.transforms clip rewards", "rloo"),
    lost_key("max_tool_calling_iterations", "section environment says how tools are called", "grpo"),
    no_sense_key("cast_lm_head_to_fp32", "logits, norms and losses are always fp32", "grpo"),
    no_sense_key("ds3_gather_for_generation", kVllm, kRl),
    no_sense_key("cache_implementation", kVllm, kRl),
    no_sense_key("use_vllm", kVllm, kRl),
    no_sense_key("vllm_mode", kVllm, kRl),
    no_sense_key("vllm_model_impl", kVllm, kRl),
    no_sense_key("vllm_enable_sleep_mode", kVllm, kRl),
    part_key("vllm_structured_outputs_regex", "rollout.regex", kRl),
    part_key("vllm_guided_decoding_regex", "rollout.regex", kRl),
    no_sense_key("vllm_server_base_url", kVllm, kRl),
    no_sense_key("vllm_server_host", kVllm, kRl),
    no_sense_key("vllm_server_port", kVllm, kRl),
    no_sense_key("vllm_server_timeout", kVllm, kRl),
    no_sense_key("vllm_group_port", kVllm, kRl),
    no_sense_key("vllm_gpu_memory_utilization", kVllm, kRl),
    no_sense_key("vllm_max_model_length", kVllm, kRl),
    no_sense_key("vllm_tensor_parallel_size", kVllm, kRl),
    no_sense_key("vllm_importance_sampling_correction", kVllm, "grpo"),
    no_sense_key("vllm_importance_sampling_mode", kVllm, "grpo"),
    no_sense_key("vllm_importance_sampling_clip_max", kVllm, "grpo"),
    no_sense_key("vllm_importance_sampling_clip_min", kVllm, "grpo"),
    no_sense_key("vllm_importance_sampling_cap", kVllm, "grpo"),
    no_sense_key("use_transformers_continuous_batching", kVllm, kRl),
    no_sense_key("transformers_continuous_batching_config", kVllm, kRl),
    no_sense_key("use_transformers_paged", kVllm, kRl),
    no_sense_key("use_liger_loss", "log-probs are always computed in chunks", "grpo dpo kto"),
    no_sense_key("log_completions", kShown, kRl),
    no_sense_key("log_multimodal", kShown, kRl),
    no_sense_key("num_completions_to_print", kShown, kRl),
    no_sense_key("log_unique_prompts", kShown, kRl),
    no_sense_key("log_completions_hub_repo", kShown, kRl),
};

}  // namespace

std::vector<std::span<const ForeignKey>> trl_tables() {
  return {kTrlKeys, kTrlRlKeys, trainer_keys()};
}
std::span<const ForeignKey> trl_rl_keys() {
  return kTrlRlKeys;
}

}  // namespace temper
