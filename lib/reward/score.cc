#include "reward/score.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace temper {

void ScoreOptions::fields(FieldVisitor& v) {
  v.field("mode", mode,
          {.help = "score: a score head's outputs; verbaliser: log-odds of two words (question, yes, no), no "
                   "new weights",
           .choices = {"score", "verbaliser"}});
  if (verbaliser()) {
    v.field("question", question, {.help = "what is written behind an answer"});
    v.field("yes", yes, {.help = "the word of a good answer, one token"});
    v.field("no", no, {.help = "the word of a bad one, one token"});
  } else {
    v.field(
        "pad_token", pad_token,
        {.help =
             "the token that pads, which scores are never read at; empty: the folder's own, else the "
             "tokenizer's, else its end token, as TRL takes it. Where that is the end token, the score of "
             "a text is read before it; name another token to have it read there"});
  }
  v.field("separator", separator, {.help = "what ends each step of a solution that is scored by steps"});
}

std::optional<int64_t> pad_id_of(const ScoreOptions& options, const Tokenizer& tokenizer,
                                 const std::string& where) {
  if (options.pad_token.empty()) return tokenizer.pad() ? tokenizer.pad() : tokenizer.eos();
  const auto id = tokenizer.id(options.pad_token);
  if (!id) user_error("{}.pad_token: the tokenizer has no token \"{}\"", where, options.pad_token);
  return id;
}

ScoreReader::ScoreReader(const ScoreOptions& options, const Tokenizer& tokenizer, const std::string& where)
    : verbaliser_(options.verbaliser()) {
  if (!verbaliser_) return;
  const auto word = [&](const char* name, const std::string& text) {
    const std::vector<int64_t> ids = tokenizer.encode(text);
    if (ids.size() != 1) {
      std::string pieces;
      for (const int64_t id : ids) pieces += (pieces.empty() ? "\"" : ", \"") + tokenizer.piece(id) + "\"";
      user_error("{}.{}: \"{}\" must be one token, but it is {}: {}", where, name, text, ids.size(),
                 pieces.empty() ? "nothing" : pieces);
    }
    return ids[0];
  };
  yes_ = word("yes", options.yes);
  no_ = word("no", options.no);
  if (yes_ == no_) user_error("{}.no: \"{}\" is the same token as yes", where, options.no);
  question_ = tokenizer.encode(options.question, {.parse_special = true});
}

int64_t ScoreReader::position(const Model& model, const std::vector<int64_t>& prompt,
                              const std::vector<int64_t>& completion) const {
  return score_position(prompt, completion, verbaliser_ ? std::nullopt : model.config().pad_id);
}

at::Tensor ScoreReader::operator()(const Model& model, const at::Tensor& hidden,
                                   const at::Tensor& rows) const {
  if (!verbaliser_) return model_scores(model, hidden, rows);
  const at::Tensor& head = model.head().master;
  const at::Tensor direction = head[yes_].to(at::kFloat) - head[no_].to(at::kFloat);
  return at::linear(hidden.index_select(0, rows).to(at::kFloat), direction.unsqueeze(0));
}

}  // namespace temper
