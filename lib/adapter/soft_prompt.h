// Trained tokens in front of every text, the model frozen: prompt tuning (Lester et al. 2021,
// arXiv:2104.08691) trains their embeddings, prefix tuning (Li & Liang 2021, arXiv:2101.00190) the keys and
// values that every layer's attention sees of them. They are one segment that all texts of a packed batch
// continue, so they are computed once a micro-batch. Files are PEFT's (PROMPT_TUNING; PREFIX_TUNING without a
// projection). They cannot be merged into weights. Departure: a text's first token is predicted by nothing,
// also behind virtual tokens (PEFT's prompt tuning lets it count).
#pragma once

#include <memory>
#include <string>

#include "adapter/adapter.h"
#include "base/json.h"

namespace temper {

struct PromptOptions : AdapterOptions {
  int64_t tokens = 20;
  std::string init = "vocab", text;  // normal, vocab, text
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool takes_quantised_base() const override { return true; }
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

struct PrefixOptions : AdapterOptions {
  int64_t tokens = 20;
  std::string init = "vocab";  // normal, vocab
  void fields(FieldVisitor& v) override;
  bool takes_quantised_base() const override { return true; }
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

std::unique_ptr<Adapter> load_prompt(Model& model, const std::string& folder, const Json& config);
std::unique_ptr<Adapter> load_prefix(Model& model, const std::string& folder, const Json& config);

}  // namespace temper
