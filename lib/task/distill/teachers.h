// The teachers of a distillation: frozen models of the student's own vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/divergence.h"

namespace temper {

class Session;

// Loads config.distill.teachers into session.teachers. Throws UserError, before any weight is read, when one
// has another tokenizer than the student (token by token, not only in number) or fewer positions than
// `longest_tokens`.
void load_teachers(Session& session, int64_t longest_tokens);

// The tokens that all heads have: tokenizers are equal, but a head may be padded by some rows. The
// distributions are over these.
int64_t shared_vocabulary(const Session& session);

// Hidden states and heads of all teachers on a micro-batch.
std::vector<TeacherStates> teacher_states(const Session& session, const PackedTokens& tokens);

}  // namespace temper
