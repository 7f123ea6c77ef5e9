// Answers that are sampled behind the beginning of one: the prompt's record has "asked", the prompt itself,
// and "begun", the text between.
#pragma once

#include <string>

#include "data/groups.h"
#include "data/records.h"

namespace temper {

// The text as a completion in the form of the record's prompt.
inline Json completion_like(const Record& record, const std::string& text) {
  if (!is_chat_column(record, "prompt")) return text;
  return Json::array({{{"role", "assistant"}, {"content", text}}});
}

// Puts the beginning of an answer behind the record's prompt, to be continued.
inline void put_behind(Record& record, const std::string& begun) {
  Json& prompt = record.json["prompt"];
  if (prompt.is_array())
    prompt.push_back({{"role", "assistant"}, {"content", begun}});
  else
    prompt = prompt.get<std::string>() + begun;
}

// A sampled answer behind a beginning, as the whole answer to the prompt itself.
inline Record whole_answer(Record answer) {
  if (!has_column(answer.json, "begun")) return answer;
  const std::string text = answer.json["begun"].get<std::string>() + answer_text(answer);
  answer.json["prompt"] = answer.json["asked"];
  answer.json["completion"] = completion_like(answer, text);
  for (const char* used : {"begun", "asked"}) answer.json.erase(used);
  return answer;
}

}  // namespace temper
