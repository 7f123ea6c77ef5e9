// PEFT's modules_to_save: whole modules (embedding, head, norms) that train beside an adapter, while the base
// keeps its own weights for when the adapter is off.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "model/model.h"

namespace temper {

// What trains in every adapter run: a score head, where the model has one, as PEFT's task_type SEQ_CLS has
// it. A fresh one says nothing yet.
std::vector<std::string> always_saved(const Model& model);

class SavedModules {
 public:
  // Freezes the model except for the modules whose path ends with one of `names` ("lm_head", "embed_tokens",
  // "norm"). Throws UserError, naming `where`, when one matches nothing or a linear of a block, which an
  // adapter is for.
  SavedModules(Model& model, const std::vector<std::string>& names, const std::string& where);

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  // PEFT's keys and the trained weights, fp32; a tied head appears under both names, as PEFT writes it.
  // Without a critic's head, which is no part of a causal model's folder.
  std::vector<std::pair<std::string, at::Tensor>> folder_tensors(bool causal) const;
  bool trains_tied_head() const { return tied_; }
  void set_enabled(bool enabled);

 private:
  struct Weights {
    at::Tensor master, compute;
  };
  std::vector<std::string> names_;
  std::vector<Parameter*> parameters_;
  std::vector<Weights> trained_, base_;
  bool tied_ = false, enabled_ = true;
};

}  // namespace temper
