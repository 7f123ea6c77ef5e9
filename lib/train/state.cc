#include "train/state.h"

#include "base/error.h"

namespace temper {

Json RunState::to_json() const {
  return {{"step", step},
          {"updates", updates},
          {"tokens", tokens},
          {"cursor", cursor},
          {"best", best ? Json(*best) : Json(nullptr)},
          {"best_step", best_step},
          {"evaluated_first", evaluated_first},
          {"health", health},
          {"loop", loop},
          {"adapter", adapter},
          {"log", log.to_json()},
          {"stored_cursor", stored_cursor},
          {"reference_rewards", reference_rewards},
          {"leftovers", leftovers}};
}

RunState RunState::from_json(const Json& json, const std::string& where) {
  RunState s;
  try {
    s.step = json.at("step").get<int64_t>();
    s.updates = json.at("updates").get<int64_t>();
    s.tokens = json.at("tokens").get<int64_t>();
    s.cursor = json.at("cursor").get<int64_t>();
    if (!json.at("best").is_null()) s.best = json.at("best").get<double>();
    s.best_step = json.at("best_step").get<int64_t>();
    s.evaluated_first = json.at("evaluated_first").get<bool>();
    s.health = json.at("health");
    s.loop = json.at("loop");
    s.adapter = json.at("adapter");
    s.stored_cursor = json.at("stored_cursor").get<int64_t>();
    s.leftovers = json.at("leftovers");
    s.reference_rewards = json.at("reference_rewards");
    s.log = LogPosition::from_json(json.at("log"), where);
  } catch (const Json::exception& e) {
    user_error("{}: not a run state: {}", where, e.what());
  }
  return s;
}

}  // namespace temper
