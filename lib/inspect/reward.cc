#include "reward/reward.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "data/records.h"
#include "inspect/inspect.h"

namespace temper {

void inspect_reward_file(const std::string& kind, const std::string& file, const Json& options,
                         const PrintLine& print) {
  RewardEntry entry;
  Json json = options;
  json["kind"] = kind;
  read_fields(entry, json, "reward " + kind, ".");
  if (!entry.transforms.empty())
    user_error(
        "reward {}: expected no \"transforms\", as each line is scored by itself; temper-eval has them",
        kind);
  const auto reward = entry.options->make();
  for (const Record& record : read_records({file})) {
    const auto text = [&](const char* name) {
      if (!record.json.contains(name)) return std::string();
      if (!record.json[name].is_string()) user_error("{}: {}: expected a text", record.where(), name);
      return record.json[name].get<std::string>();
    };
    if (!record.json.contains("completion"))
      user_error("{}: expected {{\"completion\": text, ...the columns of its record}}", record.where());
    RewardItem item;
    item.prompt = text("prompt");
    item.completion = item.raw_completion = text("completion");
    item.columns = &record.json;
    if (has_column(record.json, "tokens")) {
      if (!record.json["tokens"].is_number_unsigned())
        user_error("{}: tokens: expected a count", record.where());
      item.tokens = record.json["tokens"].get<int64_t>();
    }
    std::vector<int64_t> ids;
    if (has_column(record.json, "ids")) {
      const Json& list = record.json["ids"];
      const auto integer = [](const Json& id) { return id.is_number_integer(); };
      if (!list.is_array() || !std::all_of(list.begin(), list.end(), integer))
        user_error("{}: ids: expected a list of token ids", record.where());
      ids = list.get<std::vector<int64_t>>();
      item.ids = &ids;
      item.tokens = static_cast<int64_t>(ids.size());
    }
    try {
      const Score score = reward->score({item}).front();
      Json out = {{"score", score.value ? Json(*score.value) : Json(nullptr)}};
      if (!score.text.empty()) out["text"] = score.text;
      if (!score.outcome.empty()) out["outcome"] = score.outcome;
      out.update(reward->read(item));
      print(out);
    } catch (const UserError& error) {
      user_error("{}: {}", record.where(), error.what());
    }
  }
}

}  // namespace temper
