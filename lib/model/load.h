// A Hugging Face model folder in and out: config.json, generation_config.json, *.safetensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "model/config.h"
#include "model/families.h"
#include "tensor/safetensors.h"

namespace temper {

// config.json, with the end, begin and pad ids of generation_config.json where that file has them.
ModelConfig read_model_config(const std::string& folder);

struct WeightReport {
  std::vector<std::string> missing, unexpected;
  std::vector<std::string> misshapen;  // "name: expected [a, b], found [c, d]"
  std::string dtype;                   // of the files: "BF16", or "mixed"
  int64_t parameters = 0;              // elements of the wanted tensors that are there
  bool complete() const { return missing.empty() && misshapen.empty(); }
};

// Compares a folder's tensors with the wanted names and shapes; reads headers only. Rotary inv_freq buffers
// are passed over, and so is the lm_head.weight of a tied model.
WeightReport inspect_weights(const std::string& folder, const NamedShapes& wanted);

// Gives every wanted tensor to `fill` once, as a read-only map of the file in the file's dtype (a
// floating-point one); it stays valid for as long as it is held. Throws UserError, before the first fill,
// unless all are there with their shapes. head_unused: the model has no language-model head, so that one in
// the files is passed over.
WeightReport read_weights(const std::string& folder, const NamedShapes& wanted,
                          const std::function<void(const std::string& name, const at::Tensor& mapped)>& fill,
                          bool head_unused = false);

// config.json ("dtype" added), generation_config.json, model.safetensors (shards above 5 GB) of the listed
// tensors cast to `dtype`. The folder is made when missing; each file is all there or not there. Throws
// UserError.
void save_pretrained(const std::string& folder, const ModelConfig& config, const NamedTensors& tensors,
                     at::ScalarType dtype);
// The same with tensors produced one by one; specs carry the dtypes, config_json is written as it is.
void save_pretrained(const std::string& folder, const Json& config_json, const Json& generation_json,
                     const std::vector<TensorSpec>& specs, const std::function<at::Tensor(size_t)>& produce);

// What goes into generation_config.json: begin, end and pad ids.
Json generation_json(const ModelConfig& config);

}  // namespace temper
