// An item and its score as programs and servers outside see them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "reward/reward.h"

namespace temper {

// {"id", "prompt", "completion", "raw_completion", "tokens", "truncated", ...the record's columns}, and of a
// conversation, whose last turn the completion is, "conversation": what was said behind the prompt, as chat
// messages. A column of one of these names is called record_<name>.
Json item_json(int64_t id, const RewardItem& item);

// {"id": 7, "score": 0.5, "text": "..."}; the score may be null, true or false, the text be left out.
struct ItemAnswer {
  std::optional<int64_t> id;  // none: it was not understood
  bool valid = false;         // the score is a finite number or null, the text a string, null or not there
  Score score;
};
ItemAnswer read_item_answer(const Json& json);

// JSON from outside. Python's json writes NaN and Infinity, which are not JSON; they are read as null, and
// `nan` says that there were any, so that a score that is one of them is no score. Throws UserError.
Json parse_outside_json(const std::string& text, bool& nan);

}  // namespace temper
