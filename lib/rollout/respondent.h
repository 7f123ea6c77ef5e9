// The other side of a conversation, as the decode engine sees it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "rollout/completion.h"

namespace temper {

// A turn that the policy has ended.
struct PolicyTurn {
  std::string text;      // special tokens, end token and stop string left out
  std::string raw_text;  // with special tokens
  FinishReason finish = FinishReason::kLength;
  int64_t tokens = 0, last_id = 0;
  bool last = false;  // the sequence has no room for another token: whatever is answered is not read
  // Of a turn that its own end has ended (Respondent::turn_end): the text without the tokens that hold it.
  std::optional<std::string> before_end = {};
};

// How a sequence goes on behind a turn, beside the tokens of the answer.
struct Joint {
  bool open = false;       // an answer without tokens lets it go on as well
  bool drops_end = false;  // the tokens that hold the turn's own end are taken back first
};

// All calls come from the thread that decodes.
class Respondent {
 public:
  virtual ~Respondent() = default;
  // A sequence has ended a turn. Must not wait.
  virtual void ended(size_t request, int64_t sample, const PolicyTurn& turn) = 0;
  // What is put behind the turn, once for each ended(); nothing: the conversation is over. Waits if it has
  // to.
  virtual std::vector<int64_t> answer(size_t request, int64_t sample) = 0;
  // So many decoding steps of others may lie between the two. The step in which an answer is read is a
  // function of the tokens alone, so a slow answer changes the time and never the bytes. 0: it is there at
  // once.
  virtual int64_t patience() const { return 0; }
  // What came of it, once for each sequence, after its last answer.
  virtual Conversation conversation(size_t request, int64_t sample) = 0;
  // Of the last answer.
  virtual Joint joint(size_t request, int64_t sample) { return {}; }
  // Of the turn that is about to begin; it ends with FinishReason::kLength.
  virtual int64_t turn_tokens(size_t request, int64_t sample) { return std::numeric_limits<int64_t>::max(); }
  // Words with which the turn that is about to begin ends, beside the stop strings: its own end, which stays
  // in its text (FinishReason::kStop). Empty: it has none.
  virtual std::string turn_end(size_t request, int64_t sample) { return {}; }
};

}  // namespace temper
