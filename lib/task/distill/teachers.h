// The teachers of a distillation: frozen models of the student's own vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/divergence.h"
#include "tensor/packed.h"

namespace temper {

struct DistillTask;
class Model;
class Session;

class Teachers {
 public:
  // Throws UserError, before any weight is read, when one has another tokenizer than the student (token by
  // token, not only in number) or fewer positions than `longest_tokens`.
  Teachers(Session& session, const DistillTask& task, int64_t longest_tokens);
  ~Teachers();

  bool empty() const { return models_.empty(); }
  // The tokens that all heads have: tokenizers are equal, but a head may be padded by some rows. The
  // distributions are over these.
  int64_t shared_vocabulary() const { return vocabulary_; }
  // Hidden states and heads of all teachers on a micro-batch.
  std::vector<TeacherStates> states(const PackedTokens& tokens) const;

 private:
  std::vector<std::unique_ptr<Model>> models_;
  int64_t vocabulary_ = 0;
};

}  // namespace temper
