// What changes the examples of a supervised run on their way to the model: the "inputs" section, a list of
// transforms that act one after the other.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/fields.h"
#include "data/large/record_set.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

// The files of some records that have this column: their records all need it, those of the other files stay
// as they are, such as plain text that is mixed in. Throws UserError when no record has it, with `who` needs
// it.
std::set<std::string> files_with(const Records& records, const std::string& column, const std::string& who);

// An example, and where the loss reads rewards one for each of its ids.
struct RewardedExample : Example {
  std::vector<double> reward = {};
};

// One example of a step, which transforms may change.
struct Drawn {
  RewardedExample example;
  int64_t record = 0;  // of session.train_records
};

// Put tokens in before place `at`, take out [from, to): ids, targets, rewards and what is read alike. What is
// put in has the reward of what stands there.
void insert_tokens(RewardedExample& example, int64_t at, const std::vector<int64_t>& ids);  // no targets
void erase_tokens(RewardedExample& example, int64_t from, int64_t to);

// Random draws come from streams named by (seed, the transform's name, step, place of the example in the
// step), so that a resumed run repeats them and no micro-batch matters.
class InputTransform {
 public:
  virtual ~InputTransform() = default;
  // Once, before anything is encoded: leaves records of session.train_records out, rewrites them, sets their
  // prefixes and those of session.eval_records. Throws UserError at a record's place.
  virtual void records(Session& session) {}
  // Once for each record that was encoded and is not too long. at: its place in session.train_records.
  virtual void example(Session& session, int64_t at, const Record& record, RewardedExample& example) {}
  // Whether it does; then all examples are in memory.
  virtual bool changes_examples() const { return false; }
  // The examples of a step.
  virtual void step(Session& session, std::vector<Drawn>& drawn) {}
  // What is added to the embeddings of a micro-batch of these examples, [N, H]; undefined: nothing.
  virtual at::Tensor embedding_noise(Session& session, const std::vector<Drawn>& drawn,
                                     const MicroBatch& batch) {
    return {};
  }
};

struct InputOptions : Fields {
  virtual std::unique_ptr<InputTransform> make() const = 0;
};
const Registry<InputOptions>& input_registry();

// An entry of "inputs": {"kind": "neftune", ...the kind's own fields}.
struct InputEntry : Fields {
  std::string kind;
  std::unique_ptr<InputOptions> options;
  void fields(FieldVisitor& v) override { v.choice_here("kind", options, kind, input_registry()); }
};

// All transforms of a run. Without any, nothing costs anything.
class Inputs {
 public:
  Inputs(const std::vector<InputEntry>& entries, Session& session);
  void records();
  void example(int64_t at, const Record& record, RewardedExample& example);
  bool changes_examples() const;
  void step(std::vector<Drawn>& drawn);
  at::Tensor embedding_noise(const std::vector<Drawn>& drawn, const MicroBatch& batch);

 private:
  Session& session_;
  std::vector<std::unique_ptr<InputTransform>> transforms_;
};

}  // namespace temper
