// Transforms of one reward of a set: pure functions of what it said of a batch of completions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json_fwd.h"

namespace temper {

// What a transform reads and changes. S completions, whatever their prompts.
struct TransformBatch {
  std::vector<std::optional<double>> values;  // [S] null: the reward could not tell, and stays so
  // [S][K] what the reward said of the reference model's answers to the same prompt, nulls left out, as the
  // transforms before have left it. Empty where no transform asks for such answers.
  std::vector<std::vector<double>> reference;
  // [S] what other rewards of the set said, by name, before transforms of their own.
  std::map<std::string, std::vector<std::optional<double>>> others;
  std::vector<const Json*> columns;  // [S] of the completions' records; null: there is none
};
// Throws UserError for a column that is not what it should be.
using Transform = std::function<void(TransformBatch&)>;

struct TransformOptions : Fields {
  virtual Transform make() const = 0;
  // Answers of the reference model that it compares a completion with; 0: none.
  virtual int64_t reference_samples() const { return 0; }
  // The name of another reward that it reads; empty: none.
  virtual std::string other() const { return ""; }
  // It changes each number by a rule of its own, those of reference answers too, so what stands behind it may
  // still compare the two.
  virtual bool of_each_number() const { return false; }
};
const Registry<TransformOptions>& transform_registry();

// One entry of a reward's "transforms": {"kind": ..., ...the kind's own fields}.
struct TransformEntry : Fields {
  std::string kind;
  std::unique_ptr<TransformOptions> options;
  void fields(FieldVisitor& v) override;
};

}  // namespace temper
