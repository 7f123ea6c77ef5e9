#include "task/rounds/group_lines.h"

#include "base/error.h"
#include "data/groups.h"
#include "eval/answer_line.h"

namespace temper {
namespace {

// The record's prompt, and its own answer as "reference".
Record with_reference(Record record) {
  Json& j = record.json;
  if (!has_column(j, "prompt")) {
    if (!has_column(j, "messages"))
      user_error("{}: has no prompt, expected a column \"prompt\" or \"messages\"", record.where());
    Json messages = j["messages"];
    if (!messages.empty() && messages.back().value("role", "") == "assistant") {
      j["completion"] = Json::array({messages.back()});
      messages.erase(messages.size() - 1);
    }
    j["prompt"] = std::move(messages);
  }
  j.erase("messages");
  if (has_column(j, "completion")) j["reference"] = j["completion"];
  j.erase("completion");
  return record;
}

}  // namespace

Json group_line(const Record& record, const Answered& a) {
  const Record asked = with_reference(record);
  std::vector<Json> lines;
  for (size_t i = 0; i < a.completions.size(); ++i) {
    const Completion& c = a.completions[i];
    Json line = answer_line(asked, c, a.logprobs);
    if (a.scores != nullptr) write_scores(line, a.names, a.scores[i]);
    lines.push_back(std::move(line));
  }
  return packed(lines);
}

Json column_line(const Record& record, const Record& asked, const std::string& column, const Answered& a) {
  Json line = record.json;
  Json texts = Json::array(), rewards = Json::array(), words = Json::array();
  for (size_t i = 0; i < a.completions.size(); ++i) {
    texts.push_back(a.completions[i].text);
    if (a.scores == nullptr) continue;
    rewards.push_back(number_or_null(a.scores[i].total));
    std::string said;
    for (const Score& part : a.scores[i].parts)
      if (!part.text.empty()) said += (said.empty() ? "" : "\n") + part.text;
    words.push_back(said);
  }
  const bool one = texts.size() == 1;
  line[column] = one ? texts[0] : std::move(texts);
  line[column + "_prompt"] = asked.json["prompt"];
  if (a.scores == nullptr) return line;
  line[column + "_rewards"] = one ? rewards[0] : std::move(rewards);
  line[column + "_texts"] = one ? words[0] : std::move(words);
  return line;
}

}  // namespace temper
