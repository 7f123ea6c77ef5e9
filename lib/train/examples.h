// Records as examples with targets, for the loops that learn or measure stored completions.
#pragma once

#include <memory>
#include <vector>

#include "data/large/encoded.h"
#include "data/records.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

// In memory, or of large data as bytes in the cache, which become an example when it is asked for.
class ExampleList {
 public:
  size_t size() const { return stored_ == nullptr ? held_.size() : places_.size(); }
  bool empty() const { return size() == 0; }
  Example operator[](size_t i) const;  // from any thread
  Example at(size_t i) const;          // throws std::out_of_range
  // All in memory.
  std::vector<Example> all() const;

  void push_back(Example example) { held_.push_back(std::move(example)); }
  void push_back(const std::shared_ptr<const EncodedRecords>& stored, const Records::Place& place);
  // Takes over example i of another list.
  void push_back_from(ExampleList& other, size_t i);

 private:
  std::vector<Example> held_;
  std::shared_ptr<const EncodedRecords> stored_;  // null: held_ has them
  struct Place {
    uint32_t source, record;
  };
  std::vector<Place> places_;
};

// The records that fit into data.max_tokens.
struct Examples {
  ExampleList examples;
  std::vector<int64_t> records;  // of each, its place among the records
};
Examples encode_examples(const Session& session, const Records& records);

// Those of session.train_records; says how many were left out. Throws UserError when none fits.
Examples encode_train_examples(const Session& session);

// The whole example as one sequence without a prompt of its own. The example must outlive it.
Sequence whole_sequence(const Example& example, int64_t group);
Sequence whole_sequence(Example&& example, int64_t group) = delete;

}  // namespace temper
