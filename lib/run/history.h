// What a run remembers of its records, for people: prompts.jsonl in the run folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace temper {

// Of one record. What was observed when a step drew it: rl: the rewards of its completions (NaN: null); sft:
// its loss.
struct RecordHistory {
  std::string place;  // "train.jsonl:3"
  int64_t draws = 0;
  std::vector<double> last;  // of the newest draw
  double mean = 0;           // over the draws that have one, of their means
  int64_t scored = 0;        // so many have

  void add(const std::string& place, const std::vector<double>& seen);
};
using History = std::map<int64_t, RecordHistory>;  // by record

// Pairs of a record and its line; from_json throws Json::exception for anything else.
Json to_json(const History& history);
History history_from_json(const Json& json);

// A line a record that was drawn: {"record": "train.jsonl:3", "draws": 2, "last": [1, 0], "mean": 0.75}.
// Atomic; throws UserError. Nothing without a history.
void write_history(const std::string& run_folder, const History& history);

}  // namespace temper
