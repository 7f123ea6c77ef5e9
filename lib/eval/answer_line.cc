#include "eval/answer_line.h"

#include "base/json.h"

namespace temper {

Json answer_line(const Record& record, const Completion& c, bool logprobs) {
  Json line = answered(record, c.text, c.finish != FinishReason::kLength);
  if (logprobs) {
    Json& of_tokens = line["logprobs"] = Json::array();
    for (const Turn& turn : c.turns)
      for (int64_t t = turn.begin; t < turn.end; ++t) of_tokens.push_back(c.logp_of_draw()[t]);
  }
  if (c.conversation) line["conversation"] = c.conversation->messages;
  line["finish"] = finish_name(c.finish);
  return line;
}

}  // namespace temper
