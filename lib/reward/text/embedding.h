// How alike two texts are to a model.
#pragma once

#include "reward/reward.h"

namespace temper {

// The cosine, from -1 to 1, of the texts' embeddings by a causal model's folder: the mean over a text's
// tokens of the final-norm hidden states. The best over the references; null for a text without tokens.
struct EmbeddingOptions : RewardOptions {
  std::string path, column = "answer";
  std::string dtype = "auto", device = "cpu";
  int64_t max_tokens = 0, micro_batch_tokens = 8192;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;  // loads the model; throws UserError
};

}  // namespace temper
