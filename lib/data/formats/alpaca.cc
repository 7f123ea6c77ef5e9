// Alpaca, as LLaMA-Factory reads it: the user's words are the instruction, a line end and the input.
#include "base/error.h"
#include "data/formats/parts.h"

namespace temper::formats {

bool fits_alpaca(const Json& record) {
  const bool answered =
      has_text(record, "output") || (has_text(record, "chosen") && has_text(record, "rejected"));
  return has_text(record, "instruction") && answered && !has_column(record, "prompt") &&
         !has_column(record, "messages");
}

std::optional<Json> from_alpaca(const Record& record) {
  const Json& j = record.json;
  Json chat = Json::array();
  if (has_column(j, "history")) {
    const Json& history = j["history"];
    if (!history.is_array())
      user_error("{}: \"history\" must be a list of [instruction, answer], found {}", record.where(),
                 history.type_name());
    for (const Json& turn : history) {
      if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string())
        user_error("{}: \"history\" must be a list of [instruction, answer], each a string", record.where());
      chat.push_back(message("user", turn[0]));
      chat.push_back(message("assistant", turn[1]));
    }
  }
  std::string asked = text_of(record, "instruction", "alpaca");
  const std::string input = optional_text(record, "input");
  if (!input.empty()) asked += (asked.empty() ? "" : "\n") + input;
  chat.push_back(message("user", asked));
  chat = with_system(optional_text(record, "system"), std::move(chat));

  Json made;
  if (has_column(j, "chosen") && has_column(j, "rejected")) {
    made = {{"prompt", chat},
            {"chosen", said("assistant", text_of(record, "chosen", "alpaca"))},
            {"rejected", said("assistant", text_of(record, "rejected", "alpaca"))}};
  } else {
    chat.push_back(message("assistant", text_of(record, "output", "alpaca")));
    made = chat_record(record, std::move(chat), {});
  }
  if (Json tools = tools_of(record, "tools"); !tools.is_null()) made["tools"] = std::move(tools);
  return with_columns(std::move(made), j,
                      {"instruction", "input", "output", "system", "history", "tools", "text"});
}

}  // namespace temper::formats
