// What a LoRA stands on: the embedding, the linears of the blocks, the head, and in a mixture of experts the
// weights of routers and experts, which PEFT calls target_parameters.
#pragma once

#include <string>
#include <vector>

#include "adapter/lora/lora.h"

namespace temper {

// Module paths where it may stand, in the model's order.
std::vector<std::string> lora_places(const Model& model);

// Parameters where it may stand, by PEFT's names: of a mixture the routers' "mlp.gate.weight" (gpt-oss:
// "mlp.router.weight") and the experts' "mlp.experts.gate_up_proj" and "mlp.experts.down_proj", and the
// weights of all linears, which are the same as the linears.
std::vector<std::string> lora_parameters(Model& model);
Parameter* lora_parameter(Model& model, const std::string& name);  // the model's

// Of these, what the entries choose by PEFT's rule: a whole name, or its end behind a dot. Throws UserError
// for an entry that chooses none.
std::vector<std::string> select_parameters(Model& model, const std::vector<std::string>& entries,
                                           const std::string& where);

// What the options of a fresh LoRA choose.
//
// In the files of Mixtral, Qwen3-MoE, GLM-4.5 and DeepSeek-V3 routers and experts are linears, each by
// itself, and are chosen as such: "gate", "gate_proj", "up_proj" and "down_proj" (Mixtral: "w1", "w3" and
// "w2"), or "all-linear". Gate and up are one tensor here and get twice the rank and alpha, by a line in the
// options' patterns. So does PEFT (transformers_weight_conversion.py). Departure: there the linears of those
// names in dense layers and in shared experts then have none.
LoraTargets lora_targets(Model& model, LoraOptions& options, const std::string& where);

// The path of a parameter's update in a folder: its module. Where PEFT wraps the experts of a layer twice,
// because both of their weights are among the targets, the first, gate_up, is "base_layer" of the second.
std::string folder_path(const std::string& parameter, const std::vector<std::string>& targets);

// What PEFT targets a linear by: its path, or its weight's name where it would take the path's last part for
// that of experts.
std::string peft_target(const ModelConfig& config, const std::string& path);
// Puts targets, module paths and names of parameters, into the options as a folder has them: shortest names.
void name_targets(Model& model, const std::vector<std::string>& targets, LoraOptions& options);

}  // namespace temper
