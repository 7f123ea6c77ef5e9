#include "task/distill/teachers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "model/load.h"
#include "task/distill/config.h"
#include "train/config.h"
#include "train/session.h"

namespace temper {
namespace {

void check_tokenizer(const Tokenizer& student, const std::string& path, const std::string& where) {
  const auto teacher = Tokenizer::load(path);
  const int64_t tokens = std::min(student.vocab_size(), teacher->vocab_size());
  for (int64_t id = 0; id < tokens; ++id) {
    const std::string ours = student.piece(id), theirs = teacher->piece(id);
    if (ours == theirs) continue;
    user_error(
        "{}: {} has another tokenizer than the student: token {} is \"{}\", the student's is \"{}\"; "
        "distillation needs the same vocabulary",
        where, path, id, theirs, ours);
  }
  if (student.vocab_size() != teacher->vocab_size()) {
    user_error(
        "{}: {} has a tokenizer of {} tokens, the student's has {}; distillation needs the same "
        "vocabulary",
        where, path, teacher->vocab_size(), student.vocab_size());
  }
}

}  // namespace

Teachers::Teachers(Session& s, const DistillTask& task, int64_t longest_tokens) {
  const auto where = [](size_t i) { return fmt::format("teachers.{}.path", i); };
  for (size_t i = 0; i < task.teachers.size(); ++i) {
    const TeacherEntry& teacher = task.teachers[i];
    const ModelConfig shape = read_model_config(teacher.path);
    check_tokenizer(*s.tokenizer, teacher.path, where(i));
    if (shape.vocab < s.tokenizer->vocab_size()) {
      user_error("{}: {} has an embedding of {} tokens, but the tokenizer has {}", where(i), teacher.path,
                 shape.vocab, s.tokenizer->vocab_size());
    }
    if (shape.max_positions < longest_tokens) {
      user_error("{}: {} has {} positions, but sequences have up to {} tokens; lower data.max_tokens",
                 where(i), teacher.path, shape.max_positions, longest_tokens);
    }
  }
  for (const TeacherEntry& teacher : task.teachers)
    models_.push_back(Model::load(teacher.path, make_precision(teacher.dtype, s.config.device)));
  for (const auto& teacher : models_) teacher->expect_length(s.model->expected_length());
  vocabulary_ = s.model->config().vocab;
  for (const auto& teacher : models_) vocabulary_ = std::min(vocabulary_, teacher->config().vocab);
  for (const auto& teacher : models_) {
    if (teacher->config().vocab != s.model->config().vocab) {
      s.progress->message(fmt::format(
          "heads of {} and {} rows for {} tokens: distributions are over the first {}",
          teacher->config().vocab, s.model->config().vocab, s.tokenizer->vocab_size(), vocabulary_));
    }
  }
}

Teachers::~Teachers() = default;

std::vector<TeacherStates> Teachers::states(const PackedTokens& tokens) const {
  at::NoGradGuard guard;
  std::vector<TeacherStates> out;
  for (const auto& teacher : models_)
    out.push_back({teacher->hidden(tokens), teacher->head().compute.narrow(0, 0, vocabulary_),
                   teacher->config().logits});
  return out;
}

}  // namespace temper
