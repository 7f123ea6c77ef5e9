// A server of the user's that scores completions, asked with JSON over HTTP.
//
//   POST url      {"items": [{"id": 7, "prompt": "...", "completion": "...", "raw_completion": "...",
//                  "tokens": 12, "truncated": false, ...the record's columns}, ...]}
//                 Of a conversation also "conversation": see item_json.h. A column of one of these names is
//                 called record_<name>.
//   answer, 200   {"items": [{"id": 7, "score": 0.5}, ...]}
//                 In any order. null: cannot tell. A "text" beside "score" is what there is to read about it.
//
// A request has at most batch_size items; what there is to score at a time, such as the completions that have
// ended while others are still sampled, is spread over requests, in_flight of them beside each other. So an
// item's score must depend on that item alone. Null are all scores of a request that failed after its retries
// or whose answer is no such JSON, and those of items that the answer leaves out or gives no finite number
// for. RemoteCalls says when the run stops.
#pragma once

#include "reward/remote/remote_calls.h"
#include "reward/reward.h"

namespace temper {

struct HttpRewardOptions : RewardOptions {
  RemoteOptions remote;
  int64_t batch_size = 16;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};

// The items of an answer, those without an id or a score among them. Throws UserError for what is no such
// answer; `nan`: see parse_outside_json.
struct ItemAnswer;
std::vector<ItemAnswer> read_http_answer(const std::string& text, bool& nan);

}  // namespace temper
