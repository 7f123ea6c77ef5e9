#include "rollout/completion.h"

namespace temper {

const char* finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEnd:
      return "end";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kOpen:
      return "open";
  }
  return "";
}

std::optional<double> Conversation::score() const {
  std::optional<double> sum;
  for (const auto& reward : rewards)
    if (reward) sum = sum.value_or(0.0) + *reward;
  return sum;
}

int64_t Completion::policy_tokens() const {
  int64_t sum = 0;
  for (const Turn& turn : turns) sum += turn.end - turn.begin;
  return sum;
}

Json to_json(const Turn& turn) {
  return {turn.begin, turn.end, static_cast<int>(turn.finish)};
}

Turn turn_from_json(const Json& json) {
  return {json.at(0), json.at(1), static_cast<FinishReason>(json.at(2).get<int>())};
}

Json to_json(const Conversation& conversation) {
  Json rewards = Json::array();
  for (const auto& reward : conversation.rewards) rewards.push_back(reward ? Json(*reward) : Json(nullptr));
  return {{"messages", conversation.messages},
          {"rewards", rewards},
          {"states", conversation.states},
          {"figures", conversation.figures}};
}

Conversation conversation_from_json(const Json& json) {
  Conversation out;
  out.messages = json.at("messages");
  for (const Json& reward : json.at("rewards"))
    out.rewards.push_back(reward.is_null() ? std::nullopt : std::optional(reward.get<double>()));
  out.states = json.at("states").get<std::vector<std::string>>();
  out.figures = json.at("figures").get<std::map<std::string, double>>();
  return out;
}

}  // namespace temper
