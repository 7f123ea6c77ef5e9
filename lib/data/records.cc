#include "data/records.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace temper {
namespace {

// A list whose items are of one type.
void need_list(const Record& record, const char* key, const char* of,
               bool (Json::*is_type)() const noexcept) {
  const Json& list = record.json[key];
  bool fits = list.is_array() && !list.empty();
  for (size_t i = 0; fits && i < list.size(); ++i) fits = (list[i].*is_type)();
  if (!fits) user_error("{}: \"{}\" must be a list of {}", record.where(), key, of);
}

void need_labels(const Record& record) {
  const Json& list = record.json["labels"];
  const auto label = [](const Json& value) { return truth(value).has_value(); };
  if (!list.is_array() || list.empty() || !std::all_of(list.begin(), list.end(), label))
    user_error("{}: \"labels\" must be a list of true or false, or of 1 and 0", record.where());
}

// The column, which `who` needs.
Json::const_iterator column_of(const Record& record, const std::string& column, const std::string& who) {
  const auto it = record.json.find(column);
  if (it == record.json.end() || it->is_null())
    user_error("{}: has no column \"{}\", which {} needs", record.where(), column, who);
  return it;
}

// As OpenAI's fine-tuning has it: whether a message of the assistant is learnt.
void check_weight(const Record& record, const std::string& key, size_t i, const Json& message) {
  if (!has_column(message, "weight") || message["weight"] == 0) return;
  if (message["weight"] != 1) {
    user_error("{}: \"{}\"[{}].weight must be 0 (not learnt) or 1, found {}", record.where(), key, i,
               dump_line(message["weight"]).substr(0, 40));
  }
  if (message["role"] != "assistant")
    user_error(
        "{}: \"{}\"[{}].weight is 1, but only messages of the assistant are learnt, not those of \"{}\"",
        record.where(), key, i, message["role"].get<std::string>());
}

// Text that is a number; nullopt: it is not.
std::optional<double> number_in(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && last == end ? std::optional(number) : std::nullopt;
}

void need_same_form(const Record& record, const char* a, const char* b) {
  if (is_chat_column(record, a) == is_chat_column(record, b)) return;
  user_error("{}: \"{}\" and \"{}\" must both be strings or both be lists of messages", record.where(), a, b);
}

}  // namespace

bool has_column(const Json& record, const std::string& key) {
  const auto found = record.find(key);
  return found != record.end() && !found->is_null();
}

std::optional<bool> truth(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number() && (value == 0 || value == 1)) return value == 1;
  return std::nullopt;
}

bool is_chat_column(const Record& record, const std::string& key) {
  const Json& value = record.json.at(key);
  if (value.is_string()) return false;
  if (!value.is_array() || value.empty()) {
    user_error(
        "{}: \"{}\" must be a string or a list of messages like {{\"role\": ..., \"content\": ...}}, found "
        "{}",
        record.where(), key, value.is_array() ? "an empty list" : value.type_name());
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const Json& message = value[i];
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      user_error("{}: \"{}\"[{}] must be a message like {{\"role\": \"user\", \"content\": ...}}, found {}",
                 record.where(), key, i,
                 message.is_object() ? "an object without a \"role\"" : message.type_name());
    }
    // Text, a list of parts, or nothing (a turn of tool calls).
    if (has_column(message, "content") && !message["content"].is_string() && !message["content"].is_array()) {
      user_error("{}: \"{}\"[{}].content must be text or a list of parts, found {}", record.where(), key, i,
                 message["content"].type_name());
    }
    check_weight(record, key, i, message);
  }
  return true;
}

double number_column(const Record& record, const std::string& column, const std::string& who) {
  const auto it = column_of(record, column, who);
  if (it->is_boolean()) return it->get<bool>() ? 1.0 : 0.0;
  if (it->is_string()) {
    const auto number = number_in(it->get_ref<const std::string&>());
    if (number && std::isfinite(*number)) return *number;
  }
  if (!it->is_number() || !std::isfinite(it->get<double>())) {
    user_error("{}: \"{}\" must be a finite number, which {} needs, found {}", record.where(), column, who,
               dump_line(*it).substr(0, 60));
  }
  return it->get<double>();
}

std::string text_column(const Record& record, const std::string& column, const std::string& who) {
  const auto it = column_of(record, column, who);
  if (!it->is_string()) {
    user_error("{}: \"{}\" must be a string, which {} needs, found {}", record.where(), column, who,
               it->type_name());
  }
  return it->get<std::string>();
}

RecordKind record_kind(const Record& record) {
  const Json& j = record.json;
  if (has_column(j, "input_ids")) return RecordKind::kTokens;
  if (has_column(j, "chosen") && has_column(j, "rejected")) {
    need_same_form(record, "chosen", "rejected");
    // A string prompt beside whole chats says again what they begin with.
    if (has_column(j, "prompt") && is_chat_column(record, "prompt"))
      need_same_form(record, "prompt", "chosen");
    return RecordKind::kPreference;
  }
  if (has_column(j, "prompt") && has_column(j, "completions") && has_column(j, "labels")) {
    is_chat_column(record, "prompt");
    need_list(record, "completions", "strings", &Json::is_string);
    need_labels(record);
    if (j["completions"].size() != j["labels"].size()) {
      user_error("{}: {} completions but {} labels", record.where(), j["completions"].size(),
                 j["labels"].size());
    }
    return RecordKind::kStepwise;
  }
  if (has_column(j, "prompt") && has_column(j, "completion")) {
    need_same_form(record, "prompt", "completion");
    if (!has_column(j, "label")) return RecordKind::kPromptCompletion;
    if (!truth(j["label"])) {
      user_error("{}: \"label\" must be true or false, or 1 or 0, found {}", record.where(),
                 dump_line(j["label"]).substr(0, 40));
    }
    return RecordKind::kUnpaired;
  }
  if (has_column(j, "messages")) {
    if (!is_chat_column(record, "messages"))
      user_error("{}: \"messages\" must be a list of messages", record.where());
    return RecordKind::kMessages;
  }
  if (has_column(j, "text")) {
    if (!j["text"].is_string())
      user_error("{}: \"text\" must be a string, found {}", record.where(), j["text"].type_name());
    return RecordKind::kText;
  }
  if (has_column(j, "prompt")) {
    is_chat_column(record, "prompt");
    return RecordKind::kPrompt;
  }
  std::string keys;
  for (const auto& [key, value] : j.items()) {
    if (keys.size() < 200) keys += (keys.empty() ? "" : ", ") + key;
  }
  user_error(
      "{}: cannot tell what kind of record this is; expected \"prompt\" with or without \"completion\", "
      "\"messages\", "
      "\"text\", or \"chosen\" and \"rejected\" (data.columns gives other columns these names, "
      "temper-inspect "
      "list format shows the formats of other tools); found {}",
      record.where(), keys.empty() ? "no keys" : "the keys " + keys);
}

RecordOrder::RecordOrder(int64_t records, uint64_t seed, std::string order)
    : records_(records), seed_(seed), shuffle_(order == "shuffle") {
  if (records < 1) bug("an order of {} records", records);
  if (!shuffle_ && order != "sequential")
    user_error("order: expected \"shuffle\" or \"sequential\", found \"{}\"", order);
}

int64_t RecordOrder::at(int64_t position) const {
  const int64_t epoch = position / records_, index = position % records_;
  if (!shuffle_) return index;
  if (epoch != epoch_) {
    permutation_ = RandomStream(seed_, "shuffle", static_cast<uint64_t>(epoch)).permutation(records_);
    epoch_ = epoch;
  }
  return permutation_[static_cast<size_t>(index)];
}

std::vector<std::string> training_texts(const std::vector<Record>& records) {
  std::vector<std::string> texts;
  auto add = [&](const Json& value) {
    if (value.is_string()) texts.push_back(value.get<std::string>());
    if (!value.is_array()) return;
    for (const Json& message : value) {
      if (message.is_string()) texts.push_back(message.get<std::string>());
      if (message.is_object() && message.contains("content") && message["content"].is_string()) {
        texts.push_back(message["content"].get<std::string>());
      }
    }
  };
  for (const Record& record : records) {
    for (const char* key : {"text", "prompt", "prompts", "completion", "completions", "solution", "messages",
                            "chosen", "rejected"}) {
      if (record.json.contains(key)) add(record.json[key]);
    }
  }
  return texts;
}

}  // namespace temper
