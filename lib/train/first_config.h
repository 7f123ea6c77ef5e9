// What a task says of a first config, for temper-train --new.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/records.h"

namespace temper {

struct FirstConfig {
  std::vector<RecordKind> kinds;       // of records that it learns from
  std::string lines;                   // the same for people
  double full_lr = 0, adapter_lr = 0;  // that usually work, for all weights and for LoRA
  int64_t most_epochs = 1;             // over little data
  // Tokens of a record that a step reads.
  std::function<int64_t(const RecordEncoder&, const Record&)> tokens;
  // The task's own sections, each with a comment, where the records' longest is `max_tokens` and the model
  // has so many positions. Throws UserError where the first record lacks what they need. Null: none.
  using Sections = std::vector<std::pair<std::pair<std::string, Json>, std::string>>;
  std::function<Sections(const Record& first, int64_t max_tokens, int64_t positions)> sections = nullptr;
};

// Of a pair or a labelled answer, with its prompt.
inline int64_t longest_answer(const RecordEncoder& encoder, const Record& record) {
  const auto size = [](const Answer& a) {
    return static_cast<int64_t>(a.prompt.size() + a.completion.size());
  };
  if (record_kind(record) == RecordKind::kUnpaired) return size(encoder.unpaired(record).first);
  const auto [chosen, rejected] = encoder.preference(record);
  return std::max(size(chosen), size(rejected));
}

}  // namespace temper
