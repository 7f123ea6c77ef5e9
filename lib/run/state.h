// Everything a continuation needs, and nothing else: there is no generator state, because random draws are
// named.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "run/history.h"
#include "run/metrics.h"

namespace temper {

// A group of rollouts that later steps may learn from again (train/groups/replay.h).
struct ReplayItem {
  int64_t step = 0;                // finished steps when it was sampled
  std::optional<double> priority;  // of the kinds of replay that have one
  std::string group;               // RolloutGroup::to_json() as a line

  std::string to_line() const;  // {"step":3,"priority":0.25,"group":{...}}
  static ReplayItem from_line(const std::string& line, const std::string& where);  // throws UserError
};

struct RunState {
  int64_t step = 0;                // finished steps
  int64_t updates = 0;             // finished optimizer updates
  int64_t tokens = 0;              // trained on so far
  int64_t cursor = 0;              // draws taken from the order of data
  int64_t stored_cursor = 0;       // rl: draws taken from the order of stored groups
  Json leftovers = Json::array();  // rl: groups generated but not used yet
  Json open = Json::array();       // rl: groups of which some completions have not ended
  std::vector<ReplayItem> replay;  // rl: oldest first; not in to_json(), its file is replay.jsonl
  std::map<int64_t, double> reference_rewards;  // rl: by record, the initial model's mean reward
  // By record, what each reward said of the reference model's answers: [reward][answer], of those rewards
  // whose transforms compare with them (train/reference_scores.h).
  using ReferenceScores = std::map<int64_t, std::vector<std::vector<double>>>;
  ReferenceScores reference_scores;       // of data.train
  ReferenceScores eval_reference_scores;  // of data.eval: by prompt that is not left out
  // By record, the mean length of its completions when they were last sampled; of those that were not,
  // nothing.
  std::map<int64_t, double> lengths;
  std::optional<double> best;  // best evaluation so far, larger is better
  int64_t best_step = 0;
  bool evaluation_due = true;   // of the weights after `step`: not done yet, or interrupted
  Json order = Json::object();  // what an order of data that reacts to training took in
  History history;              // ... and what its records were seen to give
  Json health = Json::object();
  Json loop = Json::object();     // what a task's loop keeps of its own
  Json adapter = Json::object();  // what an adapter that changes during training keeps; its tensors beside it
  LogPosition log;

  Json to_json() const;
  static RunState from_json(const Json& json, const std::string& where);  // throws UserError
};

// For an error about a file that `json` is the content of: "; it was written by Temper 0.1 or before", or ""
// where this version wrote it.
std::string written_by(const Json& json);

}  // namespace temper
