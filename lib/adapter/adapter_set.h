// Several adapters on one base model: by name, one at a time or as a weighted sum.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapter/adapter.h"

namespace temper {

// An adapter folder as a command line names it: "[NAME=]DIR[@WEIGHT]". The name is the folder's last part
// where none is given, or its path as given where two end alike (A/final, B/final); the weight is 1.
struct AdapterEntry {
  std::string name, folder;
  double weight = 1.0;
};
// Throws UserError on a weight that is no number and on two of one name.
std::vector<AdapterEntry> adapter_entries(const std::vector<std::string>& texts);

// The ids that their folders say end a completion (model/generation.h). Throws UserError.
std::vector<int64_t> end_ids_of(const std::vector<AdapterEntry>& entries);
bool has_tokenizer(const std::string& folder);
// The folder whose tokenizer the texts are in: that of a single adapter which has one (with tokens added for
// it, perhaps), else the model's.
std::string tokenizer_folder(const std::string& model, const std::vector<std::string>& adapters);

class AdapterSet : public LinearDelta {
 public:
  // Loads all of them and puts the sum of their updates in place, each times its weight. Throws UserError.
  AdapterSet(Model& model, const std::vector<AdapterEntry>& entries);
  ~AdapterSet() override;

  // Loads one more. The base model is in place afterwards, until the next use(). Throws UserError: the name
  // is taken, or the folder does not fit the model.
  void add(const std::string& name, const std::string& folder);
  // Takes one away that is not in use; false: there is none.
  bool remove(const std::string& name);
  // Puts one in place alone, with weight 1; "": the base model. Throws UserError on an unknown name.
  void use(const std::string& name);
  // The weighted sum of these updates. One adapter of weight 1 may be of any kind; sums are of plain LoRA and
  // DoRA alone, without whole modules beside them.
  void use(const std::vector<std::pair<std::string, double>>& weights);

  at::Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const at::Tensor& x,
                   const at::Tensor& y, bool training) override;
  at::Tensor apply_mixture(const Parameter* weight, const ExpertRows* rows, const at::Tensor& x,
                           const at::Tensor& y) override;

 private:
  Adapter& find(const std::string& name) const;
  Model& model_;
  std::vector<std::pair<std::string, std::unique_ptr<Adapter>>> adapters_;
  std::vector<std::pair<LinearDelta*, double>> active_;
  bool plain_ = true;  // none so far has held the embedding or the head
};

// Writes one plain LoRA whose update is the weighted sum of those of LoRA folders of one base: their A below
// each other, their B side by side (PEFT's add_weighted_adapter, combination "cat"). Throws UserError for
// other kinds, DoRA and whole modules.
void combine_adapters(const std::vector<AdapterEntry>& entries, const std::string& to);

}  // namespace temper
