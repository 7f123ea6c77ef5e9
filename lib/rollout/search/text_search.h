// Completions that are searched for and not drawn: beside generate(), one prompt after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "rollout/engine.h"

namespace temper {

// What a search of one prompt's completions works with.
struct SearchScene {
  Model& model;
  const Tokenizer& tokenizer;
  const SamplingOptions& sampling;  // min_new_tokens, max_new_tokens
  const std::vector<int64_t>& end_ids;
};

struct TextSearchOptions : Fields {
  // So many completions are found for a prompt at most.
  virtual int64_t most() const { return 1; }
  // The best completions, the best one first; ids with their log-probs at temperature 1, finish.
  virtual std::vector<Completion> find(const SearchScene& scene, const GenerateRequest& request) const = 0;
};

// "beam", "contrastive".
const Registry<TextSearchOptions>& text_search_registry();

// The search that a command line names: a kind, or an object as text; null for none: "". Throws UserError.
std::unique_ptr<TextSearchOptions> read_text_search(const std::string& text, const std::string& where);

// All completions, [request][sample], request.samples the best ones of each prompt; nothing is drawn, and
// ids do not depend on other requests. Throws UserError as generate() does, for more samples than are found,
// and for options of sampling that only draws heed, stop strings and bans. Of the engine's options its
// on_request is called as well.
std::vector<std::vector<Completion>> search(
    Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
    const SamplingOptions& sampling, const EngineOptions& engine, const TextSearchOptions& options,
    const std::function<void(const EngineProgress&)>& on_progress = {});

namespace text_search {

// Log-probs of logits [B, V] over the whole vocabulary, fp32 on the CPU; -inf for `banned`.
at::Tensor open_logp(const at::Tensor& logits, const std::vector<int64_t>& banned);
bool ends(const std::vector<int64_t>& end_ids, int64_t id);

}  // namespace text_search
}  // namespace temper
