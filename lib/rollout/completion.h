// What the decode engine writes: completions, and the turns that they are made of.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace temper {

// kOpen: it goes on in a later call (EngineOptions::step_tokens).
enum class FinishReason { kEnd, kLength, kStop, kOpen };
const char* finish_name(FinishReason reason);  // "end", "length", "stop", "open"

// Tokens [begin, end) of a completion that the policy wrote at a stretch.
struct Turn {
  int64_t begin = 0, end = 0;
  FinishReason finish = FinishReason::kLength;
};

// What came of a conversation.
struct Conversation {
  Json messages = Json::array();  // behind the prompt, of both sides, as {"role", "content"}
  // Of each of the policy's turns: the reward that the environment gave for it, and what the policy saw when
  // it began, where turns of equal states are to be compared.
  std::vector<std::optional<double>> rewards;
  std::vector<std::string> states;
  std::map<std::string, double> figures;  // for the metrics, such as "tool_calls"
  // The sum of the rewards; null when none was given.
  std::optional<double> score() const;
};

// A completion is one turn of the policy, or, in a conversation, several, with what was answered between
// them.
struct Completion {
  std::vector<int64_t> ids;  // the end tokens included when they came
  std::vector<float>
      logp;  // per id, of the distribution sampled; greedy: logp_full; NaN: not the policy's, or not known
  std::vector<float> logp_full;  // per id, temperature only, whole vocabulary; greedy: at temperature 1
  // Of a constrained draw: the log of its weight, the product over its tokens of what the constraint allowed
  // of each one's distribution or of unbiased estimates of that. A mean over completions that is weighted by
  // it is one over the model's own distribution given that the text fits (arXiv 2504.05410).
  std::optional<double> log_weight;
  FinishReason finish = FinishReason::kLength;  // of the last turn
  std::string text;      // of the last turn; special tokens, end token and stop string left out; decoded once
  std::string raw_text;  // of all ids, with special tokens
  std::vector<Turn> turns;
  std::optional<Conversation> conversation;
  // Experts that the tokens of prompt and completion went to, as EngineOptions::keep_routes asks: of each
  // token, those of each sparse layer. -1: it was not read, as the last one, or not known.
  std::vector<int16_t> routes;
  int64_t policy_tokens() const;
  // What a policy's importance weights at the same temperature divide by: logp_full; of a constrained draw
  // logp, so that they weigh the constraint back, too.
  const std::vector<float>& logp_of_draw() const { return log_weight ? logp : logp_full; }
};

// As states and messages between ranks keep them. Reading throws Json::exception.
Json to_json(const Turn& turn);
Turn turn_from_json(const Json& json);
Json to_json(const Conversation& conversation);
Conversation conversation_from_json(const Json& json);

}  // namespace temper
