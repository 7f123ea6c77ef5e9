#include "reward/item_json.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace temper {
namespace {

std::string without_nan(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    bool found = false;
    const bool value = i > 0 && (text[i - 1] == ':' || (text[i - 1] == ' ' && i > 1 && text[i - 2] == ':'));
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (!value || text.compare(i, word.size(), word) != 0) continue;
      out += "null";
      i += word.size();
      found = true;
      break;
    }
    if (!found) out += text[i++];
  }
  return out;
}

}  // namespace

Json item_json(int64_t id, const RewardItem& item) {
  Json out = {{"id", id},
              {"prompt", item.prompt},
              {"completion", item.completion},
              {"raw_completion", item.raw_completion},
              {"tokens", item.tokens},
              {"truncated", item.truncated}};
  if (item.conversation != nullptr) out["conversation"] = *item.conversation;
  if (item.columns != nullptr && item.columns->is_object()) {
    for (const auto& [key, value] : item.columns->items()) {
      out[out.contains(key) ? "record_" + key : key] = value;
    }
  }
  return out;
}

ItemAnswer read_item_answer(const Json& json) {
  ItemAnswer answer;
  if (!json.is_object() || !json.contains("id") || !json["id"].is_number_integer()) return answer;
  answer.id = json["id"].get<int64_t>();
  const auto score = json.find("score"), text = json.find("text");
  if (score == json.end()) return answer;
  std::optional<double>& value = answer.score.value;
  if (score->is_boolean()) value = score->get<bool>() ? 1.0 : 0.0;
  if (score->is_number()) value = score->get<double>();
  answer.valid = score->is_null() || (value && std::isfinite(*value));
  if (text == json.end() || text->is_null()) return answer;
  answer.valid = answer.valid && text->is_string();
  if (text->is_string()) answer.score.text = text->get<std::string>();
  return answer;
}

Json parse_outside_json(const std::string& text, bool& nan) {
  nan = false;
  try {
    return parse_json(text, "answer");
  } catch (const UserError&) {
    Json json = parse_json(without_nan(text), "answer");
    nan = true;
    return json;
  }
}

}  // namespace temper
