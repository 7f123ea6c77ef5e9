#include "data/groups.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"

namespace temper {
namespace {

// What a group has for each of its answers, and how an answer of its own calls it.
struct GroupColumn {
  const char *of_group, *of_answer;
  bool by_name = false;  // {name: [...]} in the group, {name: ...} in the answer
};
constexpr GroupColumn kGroupColumns[] = {
    {"completions", "completion"},
    {"rewards", "reward"},
    {"logprobs", "logprobs"},
    {"completion_ids", "completion_ids"},
    {"turns", "turns"},
    {"conversations", "conversation"},
    {"finish", "finish"},
    {"segments", "segments"},
    {"reward_parts", "rewards", true},
    {"reward_transformed", "reward_transformed", true},
    {"reward_texts", "reward_texts", true},
    {"reward_outcomes", "reward_outcomes", true},
};

const Json& list_of(const Record& group, const std::string& name, const Json& list, size_t count) {
  if (!list.is_array() || list.size() != count) {
    user_error("{}: \"{}\" must be a list with an item for each of the {} completions, found {}",
               group.where(), name, count,
               list.is_array() ? fmt::format("{} items", list.size()) : list.type_name());
  }
  return list;
}

// The column for answer i, null: none.
Json item_of(const Record& group, const GroupColumn& column, size_t i, size_t count) {
  const Json& value = group.json[column.of_group];
  if (!column.by_name) return list_of(group, column.of_group, value, count)[i];
  if (!value.is_object()) {
    user_error("{}: \"{}\" must be an object like {{\"name\": [...]}}, found {}", group.where(),
               column.of_group, value.type_name());
  }
  // What a reward could not tell is null; what it does not say is not there.
  const bool keeps_nulls = std::string(column.of_answer) == "rewards";
  Json out;
  for (const auto& [name, list] : value.items()) {
    const Json& item = list_of(group, fmt::format("{}.{}", column.of_group, name), list, count)[i];
    if (keeps_nulls || !item.is_null()) out[name] = item;
  }
  return out;
}

// An answer in the form of the prompt.
Json answer_of(const Record& group, const Json& completion, size_t i, bool chat) {
  if (chat && completion.is_string()) return Json::array({{{"role", "assistant"}, {"content", completion}}});
  if (chat ? !completion.is_array() || completion.empty() : !completion.is_string()) {
    user_error("{}: \"completions\"[{}] must be a {}, as \"prompt\" is", group.where(), i,
               chat ? "list of messages" : "string");
  }
  return completion;
}

// "messages" as "prompt" and "completion".
Json answer_form(Json answer) {
  if (has_column(answer, "prompt") || !has_column(answer, "messages")) return answer;
  Json messages = std::move(answer["messages"]);
  answer.erase("messages");
  Json last = messages.back();
  messages.erase(messages.size() - 1);
  answer["prompt"] = std::move(messages);
  answer["completion"] = Json::array({std::move(last)});
  return answer;
}

// Of a conversation all that was said, where the prompt is a chat.
void take_conversation(Record& answer) {
  if (!has_column(answer.json, "conversation") || answer.json["conversation"].size() < 2) return;
  if (!is_chat_column(answer, "prompt")) {
    user_error(
        "{}: a conversation behind a prompt that is a text cannot be learnt from as an answer; give chat "
        "prompts",
        answer.where());
  }
  answer.json["completion"] = answer.json["conversation"];
}

// The answers of a group that have a reward.
std::vector<Record> rewarded(const Record& group) {
  if (!has_column(group.json, "rewards")) {
    user_error(
        "{}: the completions have no \"rewards\"; temper-eval --score writes them, temper-generate --score "
        "with the completions",
        group.where());
  }
  std::vector<Record> out = unpacked(group);
  std::erase_if(out, [](const Record& answer) { return !answer_reward(answer); });
  for (Record& answer : out) take_conversation(answer);
  return out;
}

Record with_completions(const Record& group) {
  Record out{prompt_columns(group.json), group.file, group.line, group.prefix};
  out.json["completions"] = Json::array();
  return out;
}

}  // namespace

bool is_group(const Record& record) {
  const Json& j = record.json;
  if (!has_column(j, "prompt") || !has_column(j, "completions") || !j["completions"].is_array()) return false;
  for (const char* other : {"labels", "ratings", "shares", "prompts"}) {
    if (has_column(j, other)) return false;
  }
  return std::all_of(j["completions"].begin(), j["completions"].end(),
                     [](const Json& answer) { return answer.is_string() || answer.is_array(); });
}

std::vector<Record> unpacked(const Record& group) {
  const bool chat = is_chat_column(group, "prompt");
  const size_t count = group.json["completions"].size();
  if (count == 0) user_error("{}: \"completions\" is empty, so the prompt has no answer", group.where());
  std::vector<Record> out;
  for (size_t i = 0; i < count; ++i) {
    Record answer{prompt_columns(group.json), group.file, group.line, group.prefix};
    for (const char* shared : {"prompt_ids", "temperature"}) {
      if (has_column(group.json, shared)) answer.json[shared] = group.json[shared];
    }
    for (const GroupColumn& column : kGroupColumns) {
      if (!has_column(group.json, column.of_group)) continue;
      Json item = item_of(group, column, i, count);
      const std::string name = column.of_answer;
      if (name == "completion") item = answer_of(group, item, i, chat);
      if (name == "finish" && item == "length") answer.json["unfinished"] = {"completion"};
      if (name == "reward" || !item.is_null()) answer.json[name] = std::move(item);
    }
    is_chat_column(answer, "completion");  // throws for what are no messages
    out.push_back(std::move(answer));
  }
  return out;
}

std::vector<Record> unpacked(const std::vector<Record>& records) {
  std::vector<Record> out;
  for (const Record& record : records) {
    if (!is_group(record)) {
      out.push_back(record);
      continue;
    }
    for (Record& answer : unpacked(record)) out.push_back(std::move(answer));
  }
  return out;
}

Json packed(const std::vector<Json>& answers) {
  if (answers.empty()) bug("a group without answers");
  std::vector<Json> all;
  for (const Json& answer : answers) all.push_back(answer_form(answer));
  Json out = all[0];
  for (const GroupColumn& column : kGroupColumns) out.erase(column.of_answer);
  out.erase("unfinished");
  for (const GroupColumn& column : kGroupColumns) {
    const auto has = [&](const Json& answer) { return answer.contains(column.of_answer); };
    if (std::none_of(all.begin(), all.end(), has)) continue;
    Json& of_all = out[column.of_group];
    for (size_t i = 0; i < all.size(); ++i) {
      const Json item = all[i].value(column.of_answer, Json());
      if (!column.by_name) {
        of_all.push_back(item);
        continue;
      }
      for (const auto& [name, value] : item.items()) {
        if (!of_all.contains(name)) of_all[name] = std::vector<Json>(all.size());
        of_all[name][i] = value;
      }
    }
  }
  return out;
}

void erase_answer(Json& record) {
  for (const GroupColumn& column : kGroupColumns) {
    record.erase(column.of_group);
    record.erase(column.of_answer);
  }
  for (const char* key : {"unfinished", "label"}) record.erase(key);
}

Json prompt_columns(const Json& record) {
  Json out = record;
  erase_answer(out);
  for (const char* of_tokens : {"prompt_ids", "temperature"}) out.erase(of_tokens);
  return out;
}

std::optional<double> answer_reward(const Record& answer) {
  if (!has_column(answer.json, "reward")) return std::nullopt;
  const Json& reward = answer.json["reward"];
  if (reward.is_boolean()) return reward.get<bool>() ? 1.0 : 0.0;
  if (!reward.is_number() || !std::isfinite(reward.get<double>())) {
    user_error("{}: reward: expected a finite number or null, found {}", answer.where(),
               dump_line(reward).substr(0, 40));
  }
  return reward.get<double>();
}

std::string answer_text(const Record& answer) {
  const Json& completion = answer.json["completion"];
  if (completion.is_string()) return completion.get<std::string>();
  std::string out;
  for (const Json& message : completion) {
    if (!out.empty()) out += "\n";
    const Json content = message.value("content", Json());
    if (content.is_string()) out += content.get<std::string>();
    for (const Json& part : content.is_array() ? content : Json::array()) {
      if (part.is_object() && part.contains("text") && part["text"].is_string())
        out += part["text"].get<std::string>();
    }
  }
  return out;
}

std::vector<Record> answers_of(const Record& record) {
  if (is_group(record)) return unpacked(record);
  const RecordKind kind = record_kind(record);
  if (kind != RecordKind::kPromptCompletion && kind != RecordKind::kMessages &&
      kind != RecordKind::kUnpaired) {
    user_error(
        "{}: expected answers: \"prompt\" and \"completions\" with \"rewards\", \"prompt\" and "
        "\"completion\", or \"messages\", with \"reward\"",
        record.where());
  }
  if (kind == RecordKind::kMessages && record.json["messages"].back()["role"] != "assistant")
    user_error("{}: \"messages\" must end in the answer, a message of the assistant", record.where());
  return {{answer_form(record.json), record.file, record.line, record.prefix}};
}

std::vector<AnswerGroup> answer_groups(const std::vector<Record>& records) {
  std::vector<AnswerGroup> out;
  std::map<std::string, size_t> places;  // of each prompt
  for (const Record& record : records) {
    for (Record& answer : answers_of(record)) {
      take_conversation(answer);
      const auto [place, is_new] = places.try_emplace(answer.json["prompt"].dump(), out.size());
      if (is_new) out.emplace_back();
      out[place->second].answers.push_back(std::move(answer));
    }
  }
  return out;
}

Record with_ratings(const Record& record) {
  if (!is_group(record)) return record;
  Record out = with_completions(record);
  out.json["ratings"] = Json::array();
  for (const Record& answer : rewarded(record)) {
    out.json["completions"].push_back(answer.json["completion"]);
    out.json["ratings"].push_back(*answer_reward(answer));
  }
  return out;
}

Record with_labels(const Record& group, double threshold) {
  Record out = with_completions(group);
  out.json["labels"] = Json::array();
  for (const Record& answer : rewarded(group)) {
    const Json& completion = answer.json["completion"];
    if (completion.is_array() && completion.size() > 1)
      user_error("{}: an answer of several messages cannot be labelled as right or wrong", group.where());
    out.json["completions"].push_back(answer_text(answer));
    out.json["labels"].push_back(*answer_reward(answer) >= threshold);
  }
  return out;
}

std::vector<Record> rated_alone(const Record& group) {
  std::vector<Record> out = rewarded(group);
  for (Record& answer : out) {
    answer.json["ratings"] = has_column(answer.json, "rewards") ? answer.json["rewards"]
                                                                : Json{{"reward", *answer_reward(answer)}};
  }
  return out;
}

}  // namespace temper
