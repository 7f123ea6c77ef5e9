// What to merge, and how: a JSON file, or the same from a command line.
//
//   { "method": "ties", "base": "models/base", "models": [{"path": "runs/a/final"},
//     {"path": "runs/b/final", "weight": 0.5}], "density": 0.2 }
#pragma once

#include <c10/core/ScalarType.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "merge/method.h"

namespace temper {

struct MergeModel : Fields {
  std::string path, statistics;
  double weight = 1.0;
  void fields(FieldVisitor& v) override;
};

// The method's own fields stand beside these.
struct MergeRecipe : Fields {
  std::string method, base, files;
  std::unique_ptr<MergeOptions> options;
  std::vector<MergeModel> models;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  // The folder whose config and tokenizer are kept: `files`; else the base, or the first model where there is
  // none or the method changes one model.
  const std::string& kept() const;
};

// Writes the merged model to the folder `to` and returns what there is to tell: {"recipe", "tensors": {name:
// {"change": |W - W_reference| / |W_reference|, the method's own figures}}, "change" of all, the method's
// summary}. The reference is the base, or the first model where there is none. It is also kept as merge.json.
// Models are folders of one shape and vocabulary, or adapter folders for the base; these are merged into it
// in fp32 first, beside `to`, a whole model at a time. Everything else goes tensor by tensor: what is held is
// the result of one and what its method says, whatever the models' size. dtype: of the result; default: that
// of the model whose config and tokenizer are kept (`files`, or the base, or the first model). done(i, n):
// after each tensor. Throws UserError.
Json merge_models(const MergeRecipe& recipe, const std::string& to, std::optional<at::ScalarType> dtype,
                  const std::function<void(size_t, size_t)>& done = {});

}  // namespace temper
