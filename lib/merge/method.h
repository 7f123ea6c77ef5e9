// What every way of merging models is: pure functions of one tensor of all the models, given by their
// options.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "merge/stored_tensor.h"

namespace temper {

// One tensor of the models that are merged. All are of one shape.
struct MergeTensor {
  std::string name;
  std::optional<StoredTensor> base;  // of methods that have one
  std::vector<StoredTensor> models;
  std::vector<double> weights;                     // of the models
  std::vector<const SafetensorsFile*> statistics;  // of the models (statistics.h); empty: the method has none
  at::ScalarType dtype = at::kFloat;               // of the result

  const std::vector<int64_t>& shape() const { return models.front().shape(); }
  int64_t numel() const { return models.front().numel(); }
};

struct MergeInput {
  std::vector<MergeTensor> tensors;
  std::string base;                 // folder of the base, "" without one
  std::vector<std::string> models;  // folders of the models
};

class MergeMethod {
 public:
  virtual ~MergeMethod() = default;
  // Sees every tensor before the first is merged, for what spans them.
  virtual void prepare(const MergeInput& input) {}
  // The merged tensor, in its dtype. Computes in fp32, sums in fp64. figures: an object that takes what there
  // is to tell of the tensor, numbers by name.
  virtual at::Tensor merge(const MergeTensor& tensor, Json& figures) const = 0;
  // What there is to tell of the whole, once all is merged.
  virtual Json summary() const;
};

// What a method asks of a recipe.
struct MergeNeeds {
  enum Base { kNone, kRequired };
  Base base = kNone;
  int64_t least_models = 2, most_models = 1 << 20;
  enum Weights { kUnweighted, kPositive, kAny };
  Weights weights = kUnweighted;
  std::string statistics;      // the kind that each model must come with (statistics.h), "" for none
  bool refines_model = false;  // the one model is changed: config and tokenizer are its own, not the base's
};

struct MergeOptions : Fields {
  virtual MergeNeeds needs() const = 0;
  virtual std::unique_ptr<MergeMethod> make() const = 0;
};
const Registry<MergeOptions>& merge_registry();

// sum_i weights[i] models[i] of elements [begin, end), fp32.
at::Tensor weighted_sum(const std::vector<StoredTensor>& models, const std::vector<double>& weights,
                        int64_t begin, int64_t end);
// The weights, divided by their sum. Throws UserError when it is 0.
std::vector<double> normalised(const std::vector<double>& weights);
// What methods that go by statistics do with tensors that have none: the weighted mean.
at::Tensor weighted_mean(const MergeTensor& tensor);

}  // namespace temper
