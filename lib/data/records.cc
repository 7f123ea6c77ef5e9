#include "data/records.h"

#include <algorithm>

#include "base/error.h"
#include "base/random.h"

namespace temper {
namespace {

bool has(const Json& json, const char* key) {
  return json.contains(key) && !json[key].is_null();
}

// A column that is a string or a list of chat messages.
bool is_chat(const Record& record, const char* key) {
  const Json& value = record.json[key];
  if (value.is_string()) return false;
  const bool messages =
      value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), [](const Json& m) {
        return m.is_object() && m.contains("role") && m["role"].is_string();
      });
  if (!messages) {
    user_error(
        "{}: \"{}\": expected a string or a list of messages like {{\"role\": ..., \"content\": ...}}, found "
        "{}",
        record.where(), key, value.type_name());
  }
  return true;
}

void append(std::vector<int64_t>& to, const std::vector<int64_t>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// The messages of a prompt/completion pair or of "messages", as one chat.
Json whole_chat(const Record& record, RecordKind kind) {
  if (kind == RecordKind::kMessages) {
    is_chat(record, "messages");
    return record.json["messages"];
  }
  Json chat = record.json["prompt"];
  if (!is_chat(record, "completion"))
    user_error("{}: \"prompt\" is a chat, so \"completion\" must be one too", record.where());
  for (const Json& message : record.json["completion"]) chat.push_back(message);
  return chat;
}

}  // namespace

RecordKind record_kind(const Record& record) {
  const Json& j = record.json;
  if (has(j, "chosen") && has(j, "rejected")) return RecordKind::kPreference;
  if (has(j, "completions") && has(j, "labels")) return RecordKind::kStepwise;
  if (has(j, "prompt") && has(j, "completion"))
    return has(j, "label") ? RecordKind::kUnpaired : RecordKind::kPromptCompletion;
  if (has(j, "messages")) return RecordKind::kMessages;
  if (has(j, "text")) return RecordKind::kText;
  if (has(j, "prompt")) return RecordKind::kPrompt;
  std::string keys;
  for (const auto& [key, value] : j.items()) keys += (keys.empty() ? "" : ", ") + key;
  user_error(
      "{}: cannot tell what kind of record this is; expected prompt (and completion), messages, text, or "
      "chosen and rejected; found "
      "the keys {}",
      record.where(), keys.empty() ? "none" : keys);
}

RecordEncoder::RecordEncoder(const Tokenizer& tokenizer, const ChatTemplate* chat, EncodeSettings settings)
    : tokenizer_(tokenizer), chat_(chat), settings_(std::move(settings)) {}

const ChatTemplate& RecordEncoder::chat(const Record& record) const {
  if (chat_ == nullptr) {
    user_error(
        "{}: this is a chat, but the tokenizer has no chat template; set data.template to \"chatml\" or to a "
        ".jinja file",
        record.where());
  }
  return *chat_;
}

Example RecordEncoder::supervised(const Record& record) const {
  const RecordKind kind = record_kind(record);
  Example e;
  if (kind == RecordKind::kText) {
    if (!record.json["text"].is_string()) user_error("{}: \"text\": expected a string", record.where());
    e.ids = tokenizer_.encode(record.json["text"].get<std::string>(), {.add_special = true});
    if (settings_.add_eos && tokenizer_.eos() && (e.ids.empty() || e.ids.back() != *tokenizer_.eos()))
      e.ids.push_back(*tokenizer_.eos());
    e.target.assign(e.ids.size(), true);
  } else if (kind == RecordKind::kMessages ||
             (kind == RecordKind::kPromptCompletion && is_chat(record, "prompt"))) {
    const Json messages = whole_chat(record, kind);
    try {
      const EncodedChat encoded = chat(record).encode(tokenizer_, messages, false, settings_.template_extra);
      e.ids = encoded.ids;
      e.target = encoded.assistant_mask;
      if (kind == RecordKind::kPromptCompletion && settings_.targets != "assistant") {
        // Everything after the rendered prompt.
        const EncodedChat prompt =
            chat(record).encode(tokenizer_, record.json["prompt"], true, settings_.template_extra);
        const bool is_prefix = prompt.ids.size() <= e.ids.size() &&
                               std::equal(prompt.ids.begin(), prompt.ids.end(), e.ids.begin());
        if (!is_prefix)
          user_error(
              "the rendered prompt is not the beginning of the rendered chat; use \"messages\" and targets "
              "\"assistant\"");
        e.target.assign(e.ids.size(), true);
        std::fill_n(e.target.begin(), prompt.ids.size(), false);
      }
    } catch (const UserError& error) {
      user_error("{}: {}", record.where(), error.what());
    }
    if (settings_.targets == "all") e.target.assign(e.ids.size(), true);
  } else if (kind == RecordKind::kPromptCompletion) {
    if (is_chat(record, "completion"))
      user_error("{}: \"completion\" is a chat, so \"prompt\" must be one too", record.where());
    e.ids = tokenizer_.encode(record.json["prompt"].get<std::string>(), {.add_special = true});
    // An end token that the tokenizer adds belongs after the completion.
    if (tokenizer_.eos() && !e.ids.empty() && e.ids.back() == *tokenizer_.eos()) e.ids.pop_back();
    e.target.assign(e.ids.size(), settings_.targets == "all");
    append(e.ids, tokenizer_.encode(record.json["completion"].get<std::string>()));
    if (settings_.add_eos && tokenizer_.eos()) e.ids.push_back(*tokenizer_.eos());
    e.target.resize(e.ids.size(), true);
  } else {
    user_error("{}: supervised training needs text, prompt and completion, or messages", record.where());
  }

  if (static_cast<int64_t>(e.ids.size()) > settings_.max_tokens) {
    if (settings_.overlong == "drop") return {};
    if (settings_.overlong == "error") {
      user_error("{}: {} tokens, more than data.max_tokens {}", record.where(), e.ids.size(),
                 settings_.max_tokens);
    }
    e.ids.resize(settings_.max_tokens);
    e.target.resize(settings_.max_tokens);
  }
  const auto first = std::find(e.target.begin(), e.target.end(), true);
  if (first == e.target.end()) {
    user_error("{}: no token to learn from (no assistant turn or completion{})", record.where(),
               settings_.overlong == "truncate" ? " within max_tokens" : "");
  }
  e.prompt_tokens = first - e.target.begin();
  return e;
}

Json RecordEncoder::prompt_chat(const Record& record, RecordKind kind) const {
  if (kind == RecordKind::kMessages) {
    is_chat(record, "messages");
    Json messages = record.json["messages"];
    if (messages.back()["role"] == "assistant") messages.erase(messages.size() - 1);
    if (messages.empty()) user_error("{}: \"messages\" holds nothing but an answer", record.where());
    return messages;
  }
  return record.json["prompt"];
}

std::vector<int64_t> RecordEncoder::prompt(const Record& record) const {
  const RecordKind kind = record_kind(record);
  std::vector<int64_t> ids;
  if (kind == RecordKind::kMessages || (has(record.json, "prompt") && is_chat(record, "prompt"))) {
    try {
      ids = chat(record).encode(tokenizer_, prompt_chat(record, kind), true, settings_.template_extra).ids;
    } catch (const UserError& error) {
      user_error("{}: {}", record.where(), error.what());
    }
  } else if (has(record.json, "prompt")) {
    ids = tokenizer_.encode(record.json["prompt"].get<std::string>(), {.add_special = true});
    if (tokenizer_.eos() && !ids.empty() && ids.back() == *tokenizer_.eos()) ids.pop_back();
  } else {
    user_error("{}: generation needs a prompt or messages", record.where());
  }
  if (ids.empty()) user_error("{}: the prompt is empty", record.where());
  if (static_cast<int64_t>(ids.size()) > settings_.max_tokens) {
    user_error("{}: the prompt has {} tokens, more than data.max_tokens {}", record.where(), ids.size(),
               settings_.max_tokens);
  }
  return ids;
}

std::string RecordEncoder::prompt_text(const Record& record) const {
  return tokenizer_.decode(prompt(record), true);
}

RecordOrder::RecordOrder(int64_t records, uint64_t seed, std::string order)
    : records_(records), seed_(seed), shuffle_(order == "shuffle") {}

int64_t RecordOrder::at(int64_t position) const {
  const int64_t epoch = position / records_, index = position % records_;
  if (!shuffle_) return index;
  if (epoch != epoch_) {
    permutation_ = RandomStream(seed_, "shuffle", static_cast<uint64_t>(epoch)).permutation(records_);
    epoch_ = epoch;
  }
  return permutation_[index];
}

std::vector<std::string> training_texts(const std::vector<Record>& records) {
  std::vector<std::string> texts;
  auto add = [&](const Json& value) {
    if (value.is_string()) texts.push_back(value.get<std::string>());
    if (!value.is_array()) return;
    for (const Json& message : value) {
      if (message.is_object() && message.contains("content") && message["content"].is_string())
        texts.push_back(message["content"].get<std::string>());
    }
  };
  for (const Record& record : records) {
    for (const char* key : {"text", "prompt", "completion", "messages", "chosen", "rejected"}) {
      if (record.json.contains(key)) add(record.json[key]);
    }
  }
  return texts;
}

}  // namespace temper
