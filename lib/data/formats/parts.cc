#include "data/formats/parts.h"

#include <algorithm>

#include "base/error.h"

namespace temper::formats {

Json message(const char* role, const Json& content) {
  return {{"role", role}, {"content", content}};
}

Json said(const char* role, const Json& content) {
  return Json::array({message(role, content)});
}

bool has_text(const Json& record, const char* key) {
  return has_column(record, key) && record[key].is_string();
}

bool has_list(const Json& record, const char* key) {
  return has_column(record, key) && record[key].is_array() && !record[key].empty();
}

bool has_list_of(const Json& record, const char* key, const char* item_key) {
  return has_list(record, key) && record[key][0].is_object() && record[key][0].contains(item_key);
}

const std::string& text_of(const Record& record, const char* key, const char* format) {
  if (!has_text(record.json, key)) {
    user_error("{}: \"{}\" must be a string, which the format {} needs, found {}", record.where(), key,
               format, record.json.contains(key) ? record.json[key].type_name() : keys_of(record.json));
  }
  return record.json[key].get_ref<const std::string&>();
}

std::string optional_text(const Record& record, const char* key) {
  if (!has_column(record.json, key)) return "";
  if (!record.json[key].is_string())
    user_error("{}: \"{}\" must be a string, found {}", record.where(), key, record.json[key].type_name());
  return record.json[key];
}

Json with_columns(Json made, const Json& record, std::initializer_list<const char*> used) {
  for (const auto& [key, value] : record.items()) {
    const auto is_key = [&key = key](const char* name) { return key == name; };
    if (!made.contains(key) && std::none_of(used.begin(), used.end(), is_key)) made[key] = value;
  }
  return made;
}

std::string keys_of(const Json& record) {
  std::string keys;
  for (const auto& [key, value] : record.items()) {
    if (keys.size() < 200) keys += (keys.empty() ? "" : ", ") + key;
  }
  return keys.empty() ? "no keys" : "the keys " + keys;
}

Json with_system(const std::string& system, Json chat) {
  const bool there = !chat.empty() && chat[0].is_object() && chat[0].value("role", Json()) == "system";
  if (!system.empty() && !there) chat.insert(chat.begin(), message("system", system));
  return chat;
}

namespace {

// The role of records.h that a name stands for; "function_call" is the assistant's; "": none.
std::string role_of(const std::string& name, const TagNames& tags) {
  const std::pair<const std::string&, const char*> own[] = {{tags.user, "user"},
                                                            {tags.assistant, "assistant"},
                                                            {tags.system, "system"},
                                                            {tags.observation, "tool"},
                                                            {tags.function, "function_call"}};
  for (const auto& [tag, role] : own) {
    if (!tag.empty() && tag == name) return role;
  }
  static const std::map<std::string, std::string> known = {
      {"human", "user"},          {"user", "user"},           {"gpt", "assistant"},
      {"assistant", "assistant"}, {"system", "system"},       {"observation", "tool"},
      {"tool", "tool"},           {"developer", "developer"}, {"function_call", "function_call"}};
  const auto found = known.find(name);
  return found == known.end() ? "" : found->second;
}

// {"name", "arguments"}, or a list of them, as tool_calls.
Json calls_in(const Json& content, const std::string& where) {
  const Json said = content.is_string() ? parse_json(content.get<std::string>(), where) : content;
  Json calls = Json::array();
  for (const Json& call : said.is_array() ? said : Json::array({said})) {
    if (!call.is_object() || !has_text(call, "name") || !call.contains("arguments")) {
      user_error("{}: a function_call must be JSON like {{\"name\": ..., \"arguments\": {{...}}}}, found {}",
                 where, dump_line(call).substr(0, 60));
    }
    calls.push_back(
        {{"type", "function"}, {"function", {{"name", call["name"]}, {"arguments", call["arguments"]}}}});
  }
  return calls;
}

}  // namespace

Json message_of(const Json& given, const TagNames& tags, const std::string& where) {
  if (!given.is_object())
    user_error("{} must be a message like {{\"from\": \"human\", \"value\": ...}}, found {}", where,
               given.type_name());
  const std::string role_key = !tags.role.empty() ? tags.role : given.contains("from") ? "from" : "role";
  const std::string content_key = !tags.content.empty()     ? tags.content
                                  : given.contains("value") ? "value"
                                                            : "content";
  if (!has_text(given, role_key.c_str()))
    user_error("{}: has no \"{}\" that says who speaks (data.tags.role names it); found {}", where, role_key,
               keys_of(given));
  const std::string name = given[role_key];
  const std::string role = role_of(name, tags);
  if (role.empty()) {
    user_error(
        "{}: the role \"{}\" is none of human, gpt, user, assistant, system, developer, function_call, "
        "observation, tool; data.tags names others",
        where, name);
  }
  if (!given.contains(content_key) && !given.contains("tool_calls"))
    user_error("{}: has no \"{}\" that is said (data.tags.content names it); found {}", where, content_key,
               keys_of(given));
  const Json content = given.value(content_key, Json());
  Json out;
  if (role == "function_call") {
    out = {{"role", "assistant"}, {"content", ""}, {"tool_calls", calls_in(content, where)}};
  } else {
    out = {{"role", role}, {"content", content}};
  }
  for (const auto& [key, value] : given.items()) {
    if (key != role_key && key != content_key && !out.contains(key)) out[key] = value;
  }
  return out;
}

Json messages_of(const Record& record, const char* key, const TagNames& tags) {
  const Json& value = record.json[key];
  if (!value.is_object() && !has_list(record.json, key))
    user_error("{}: \"{}\" must be a list of messages, found {}", record.where(), key,
               value.is_array() ? "an empty list" : value.type_name());
  Json out = Json::array();
  for (const Json& given : value.is_object() ? Json::array({value}) : value)
    out.push_back(message_of(given, tags, fmt::format("{}: \"{}\"[{}]", record.where(), key, out.size())));
  return out;
}

Json tools_of(const Record& record, const char* key) {
  if (!has_column(record.json, key) || record.json[key] == "") return nullptr;
  const std::string where = fmt::format("{}: \"{}\"", record.where(), key);
  const Json list = record.json[key].is_string() ? parse_json(record.json[key].get<std::string>(), where)
                                                 : record.json[key];
  if (!list.is_array()) user_error("{} must be a list of tools, found {}", where, list.type_name());
  Json out = Json::array();
  for (const Json& tool : list) {
    if (!tool.is_object() || (!tool.contains("function") && !has_text(tool, "name")))
      user_error("{}[{}] must be a function like {{\"name\": ..., \"parameters\": {{...}}}}", where,
                 out.size());
    out.push_back(tool.contains("function") ? tool : Json{{"type", "function"}, {"function", tool}});
  }
  return out.empty() ? Json() : out;
}

Json chat_record(const Record& record, Json messages, const TagNames& tags) {
  const Json& j = record.json;
  if (has_column(j, "chosen") && has_column(j, "rejected")) {
    return {{"prompt", std::move(messages)},
            {"chosen", messages_of(record, "chosen", tags)},
            {"rejected", messages_of(record, "rejected", tags)}};
  }
  if (!has_column(j, "label")) return {{"messages", std::move(messages)}};
  if (messages.size() < 2 || messages.back()["role"] != "assistant")
    user_error("{}: a labelled chat must end in the answer that is labelled, behind a prompt",
               record.where());
  Json completion = Json::array({messages.back()});
  messages.erase(messages.size() - 1);
  return {{"prompt", std::move(messages)}, {"completion", std::move(completion)}, {"label", j["label"]}};
}

}  // namespace temper::formats
