#!/usr/bin/env bash
# temper-convert config: a file of each program becomes a config that temper-inspect takes and temper-train runs; what is refused.
# Models by their name on the hub, from its cache.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/foreign_configs.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
go_on
convert=$bin/temper-convert
mkdir data
head -40 "$source/data/arithmetic/train.jsonl" > data/sums.jsonl
cat > data/pairs.jsonl <<'JSON'
{"prompt": "2+2? ", "chosen": "4", "rejected": "5"}
{"prompt": "3+4? ", "chosen": "7", "rejected": "8"}
JSON
cat > data/labels.jsonl <<'JSON'
{"prompt": "2+2? ", "completion": "4", "label": true}
{"prompt": "3+4? ", "completion": "8", "label": false}
JSON

common='learning_rate: 1.0e-4
max_steps: 2
gradient_accumulation_steps: 2
lr_scheduler_type: cosine
warmup_ratio: 0.5
'
trl="model_name_or_path: sft/final
per_device_train_batch_size: 1
use_peft: true
lora_r: 2
bf16: false
${common}"
printf '%s' "${trl}datasets: [{path: json, data_files: data/sums.jsonl}]
max_length: 128
" > trl-sft.yaml
printf '%s' "${trl}datasets: [{path: json, data_files: data/pairs.jsonl}]
loss_type: [sigmoid, bco_pair]
loss_weights: [0.8, 0.2]
beta: 0.2
" > trl-dpo.yaml
printf '%s' "${trl}datasets: [{path: json, data_files: data/labels.jsonl}]
desirable_weight: 1.5
" > trl-kto.yaml
printf '%s' "${trl}datasets: [{path: json, data_files: data/pairs.jsonl}]
center_rewards_coefficient: 0.01
" > trl-reward.yaml
printf '%s' "${trl}datasets: [{path: json, data_files: data/sums.jsonl}]
num_generations: 2
max_completion_length: 8
beta: 0.01
loss_type: dr_grpo
scale_rewards: none
reward_funcs: [accuracy_reward]
" > trl-grpo.yaml
cat > axolotl.yaml <<'YAML'
base_model: sft/final
adapter: lora
lora_r: 2
lora_alpha: 4
lora_target_linear: true
datasets: [{path: json, data_files: data/sums.jsonl, ds_type: json}]
sequence_len: 128
micro_batch_size: 2
gradient_accumulation_steps: 1
max_steps: 2
learning_rate: 1e-4
optimizer: adamw_torch_fused
bf16: false
flash_attention: true
YAML
cat > llamafactory.yaml <<'YAML'
model_name_or_path: sft/final
stage: dpo
finetuning_type: lora
lora_rank: 2
dataset_dir: data
dataset: pairs
cutoff_len: 128
pref_beta: 0.2
max_steps: 2
per_device_train_batch_size: 2
learning_rate: 1.0e-4
bf16: false
YAML
echo '{"pairs": {"file_name": "pairs.jsonl", "ranking": true, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}}}' > data/dataset_info.json
cat > adapter_config.json <<'JSON'
{"peft_type": "LORA", "base_model_name_or_path": "sft/final", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}
JSON

# FILE SOURCE SETTINGS...: converted into made/, taken, run for two steps.
runs() {
  local file=$1 source_name=$2 name=${1%.*}
  shift 2
  "$convert" config "$file" --output "made/$name.json" 2> err || { fail "$file: $(cat err)"; return; }
  grep -qF "taken for a config of $source_name" err || fail "$file: $(cat err)"
  "$bin/temper-inspect" config "made/$name.json" "$@" > resolved 2> err || fail "$file is not taken: $(cat err)"
  "$bin/temper-train" "made/$name.json" "$@" --set threads=1 --run "runs/$name" --quiet 2> err || fail "$file does not train: $(cat err)"
  [ "$(wc -l < "runs/$name/metrics.jsonl")" = 2 ] || fail "$file: $(cat "runs/$name/metrics.jsonl")"
}
mkdir made
runs trl-sft.yaml "TRL (sft)"
runs trl-dpo.yaml "TRL (dpo)"
runs trl-kto.yaml "TRL (kto)"
runs trl-reward.yaml "TRL (reward)"
runs trl-grpo.yaml "TRL (grpo)" --set rewards.0.column=answer
runs axolotl.yaml "axolotl (sft)"
runs llamafactory.yaml "LLaMA-Factory (dpo)"
runs adapter_config.json "PEFT (LORA)" --set 'data.train=["data/sums.jsonl"]' --set train.steps=2 --set train.batch_size=2
"$convert" config trl-sft.yaml 2> err | cmp - <("$bin/temper-convert" config trl-sft.yaml 2> /dev/null) || fail "standard output: $(cat err)"

# Refused, in one line and without a config.
expect "nothing is overwritten" "$convert" config trl-sft.yaml -o made/trl-sft.json
expect "No such file or directory" "$convert" config nowhere.yaml
printf 'a: 1\nb: [1,\n' > bad.yaml
expect "not valid YAML at line" "$convert" config bad.yaml
printf 'x: 1\n' > stranger.yaml
expect "expected the config of one of them" "$convert" config stranger.yaml
head -c 2000000 /dev/zero | tr '\0' '#' > large.yaml
expect "large.yaml" "$convert" config large.yaml
echo 'packing: true' >> trl-sft.yaml
"$convert" config trl-sft.yaml > out.json 2> err || fail "what is not carried is told, and no mistake: $(cat err)"
grep -q '^not carried:' err && grep -q '  packing: true: ' err || fail "packing is not told: $(cat err)"
"$convert" config trl-sft.yaml --strict > strict.json 2> err && fail "--strict takes what is not carried"
[ ! -s strict.json ] && grep -q 'not all of it was carried' err || fail "--strict: $(cat err)"

# A model of the hub: from its cache, or the command that fetches it.
cp -r sft/final model
mkdir -p hf/hub/models--tiny--sums/refs hf/hub/models--tiny--sums/snapshots
mv model hf/hub/models--tiny--sums/snapshots/0a1b
printf 0a1b > hf/hub/models--tiny--sums/refs/main
export HF_HOME=$work/hf
"$bin/temper-train" made/trl-sft.json --set model.path=tiny/sums --set threads=1 --run runs/hub 2> err || fail "a model of the hub's cache: $(cat err)"
[ "$(grep -c "model.path: tiny/sums from the hub's cache" err)" = 1 ] || fail "the cached folder is not told once: $(cat err)"
"$bin/temper-generate" --model tiny/sums --dtype f32 --prompt 2+2 --max-new-tokens 1 > text 2> err || fail "temper-generate: $(cat err)"
grep -q "tiny/sums: from the hub's cache" err || fail "temper-generate does not tell: $(cat err)"
"$bin/temper-inspect" model tiny/sums > /dev/null 2> err || fail "temper-inspect: $(cat err)"
"$convert" tiny/sums copy 2> err || fail "temper-convert: $(cat err)"
fetch='`hf download tiny/other --local-dir models/other`'
expect "$fetch" "$bin/temper-train" made/trl-sft.json --set model.path=tiny/other --run run
expect "$fetch" "$bin/temper-generate" --model tiny/other --prompt x
expect "$fetch" "$bin/temper-eval" --model tiny/other --data data/sums.jsonl --reward math
expect "$fetch" "$convert" tiny/other copy2
expect "$fetch" "$bin/temper-inspect" model tiny/other
[ $failed = 0 ] && echo "foreign_configs: ok"
exit $failed
