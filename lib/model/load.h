// A Hugging Face model folder in and out: config.json, generation_config.json, *.safetensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "model/config.h"
#include "model/families.h"
#include "tensor/safetensors.h"

namespace temper {

// config.json, with the end, begin and pad ids of generation_config.json where that file has them. As in
// transformers, a head in the files that differs from the embedding is the model's own, whatever the config
// says of ties; that is told.
ModelConfig read_model_config(const std::string& folder);

// A folder's tensors by the names that transformers gives them in a causal model, as the files have them or
// with one "model." less or more; the matrices of a layer's experts as one tensor. tied: an embedding that is
// not there is the head (safetensors keeps one of two names for what is shared).
class ModelFiles {
 public:
  explicit ModelFiles(const std::string& folder, bool tied = false);
  const std::vector<std::string>& names() const { return names_; }  // of those that are stored
  const TensorInfo* find(const std::string& name) const;            // null when there is none
  at::Tensor tensor(const std::string& name) const;  // of all experts: a copy of their matrices, joined
  void release(const std::string& name) const;
  // What keeps an expert parameter from being joined; "": nothing.
  std::string lacking(const std::string& name) const;

 private:
  // An expert parameter that the files have otherwise: apart, with inputs first, or in MXFP4.
  struct Joined {
    enum How { kApart, kTurned, kMxfp4 };
    TensorInfo info;
    std::vector<std::string> parts;  // in order, with the names that are not joined
    How how = kApart;
  };
  void join_experts();
  void join_apart();
  void join_turned();
  void add_joined(const std::string& name, Joined joined);
  const std::string& stored(const std::string& name) const;
  SafetensorsFolder files_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> stored_;   // name -> the file's
  std::map<std::string, Joined> joined_;        // of experts
  std::map<std::string, std::string> lacking_;  // of experts whose matrices are not all there
};

struct WeightReport {
  std::vector<std::string> missing, unexpected;
  std::vector<std::string> passed_over;  // of other parts of the model, as a tower that sees; without use
  std::vector<std::string> misshapen;    // "name: expected [a, b], found [c, d]"
  std::string dtype;                     // of the files: "BF16", or "mixed"
  int64_t parameters = 0;                // elements of the wanted tensors that are there
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

// A parameter as the files of its family have it: itself, or the matrices of a layer's experts one by one.
// Views of value.
NamedTensors stored_parts(const ModelConfig& config, const std::string& name, const at::Tensor& value);

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
