// How the score of a text is read from a model: from its score head, or as the log-odds of two words.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "data/records.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace temper {

struct ScoreOptions : Fields {
  std::string mode = "score";
  std::string question = "\n\nIs this answer right? Reply Yes or No:", yes = " Yes", no = " No";
  std::string separator = "\n", pad_token;
  void fields(FieldVisitor& v) override;
  bool verbaliser() const { return mode == "verbaliser"; }
};

// The pad token of a model whose folder names none itself: pad_token's, else the tokenizer's, else its end
// token (as TRL takes it), else none. Throws UserError, naming `where`, when the tokenizer has no such token.
std::optional<int64_t> pad_id_of(const ScoreOptions& options, const Tokenizer& tokenizer,
                                 const std::string& where);

// mode "score": the outputs of the score head. mode "verbaliser" (MVP: Model-tuning Via Prompts, without new
// weights): behind an answer stands the question, and the score is logit(yes) - logit(no) of the token to
// come.
class ScoreReader {
 public:
  // Throws UserError, naming `where`, when yes or no is not one token of the tokenizer's, or both are the
  // same.
  ScoreReader(const ScoreOptions& options, const Tokenizer& tokenizer, const std::string& where);

  // What stands behind an answer: the question's tokens, or nothing.
  const std::vector<int64_t>& question() const { return question_; }
  // The place, in prompt and completion together (the question included), where an answer's score is read.
  int64_t position(const Model& model, const std::vector<int64_t>& prompt,
                   const std::vector<int64_t>& completion) const;
  // Scores [R, A] fp32 at rows [R] of the model's final-norm output [N, H]; A is 1 for a verbaliser.
  at::Tensor operator()(const Model& model, const at::Tensor& hidden, const at::Tensor& rows) const;

 private:
  bool verbaliser_;
  std::vector<int64_t> question_;
  int64_t yes_ = 0, no_ = 0;
};

}  // namespace temper
