// Records as token ids and targets.
#include <algorithm>

#include "base/error.h"
#include "data/groups.h"
#include "data/records.h"

namespace temper {
namespace {

void one_of(const char* name, const std::string& value, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  std::string all;
  for (const std::string& choice : choices) all += (all.empty() ? "\"" : ", \"") + choice + "\"";
  user_error("{}: expected one of {}, found \"{}\"", name, all, value);
}

bool is_prefix(const std::vector<int64_t>& part, const std::vector<int64_t>& whole) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

// Whether an answer to the messages goes on with the last of them.
bool is_open(const Json& messages) {
  const Json& last = messages.back();
  const bool calls = last.contains("tool_calls") && !last["tool_calls"].empty();
  return last["role"] == "assistant" && last.contains("content") && last["content"].is_string() && !calls;
}

// A record's messages up to the answer, and with it.
struct Chat {
  Json prompt, whole;
  bool open = false;  // the answer continues the prompt's last message
};

Chat chat_of(const Record& record, RecordKind kind) {
  Chat out;
  if (kind == RecordKind::kMessages) {
    out.prompt = out.whole = record.json["messages"];
    if (out.prompt.back()["role"] == "assistant") out.prompt.erase(out.prompt.size() - 1);
    return out;
  }
  out.prompt = out.whole = record.json["prompt"];
  out.open = is_open(out.prompt);
  if (kind != RecordKind::kPromptCompletion) return out;
  const Json& completion = record.json["completion"];
  const Json& next = completion.front();
  const Json words = next.value("content", Json());
  out.open = out.open && next["role"] == "assistant" && (words.is_string() || words.is_null());
  size_t from = 0;
  if (out.open) {
    Json& last = out.whole.back();
    const std::string begun = last["content"];
    last.update(next);
    last["content"] = begun + (words.is_string() ? words.get<std::string>() : "");
    from = 1;
  }
  for (size_t i = from; i < completion.size(); ++i) out.whole.push_back(completion[i]);
  return out;
}

// The messages to answer.
const Json& asked(const Record& record, const Chat& chat) {
  if (chat.prompt.empty()) user_error("{}: \"messages\" holds an answer and no question", record.where());
  return chat.prompt;
}

// What temper-generate writes by default stands beside an older answer, or none; neither is what a run on
// such a file should learn. Which answers of a group to learn is for the run to say.
void refuse_generated(const Record& record) {
  const auto list = record.json.find("completions");
  if (list == record.json.end() || !list->is_array() || list->empty()) return;
  if (is_group(record) && !has_column(record.json, "completion")) {
    user_error(
        "{}: a prompt with several \"completions\": say which of them are learnt, such as \"data\": "
        "{{\"select\": "
        "{{\"name\": \"best\"}}}} (sft), or write them with temper-generate --write completions, a line an "
        "answer",
        record.where());
  }
  const Json& first = list->front();
  if (!first.is_object() || !first.contains("text") || !first.contains("finish")) return;
  user_error(
      "{}: the generated answers stand in \"completions\", which supervised training does not read; write "
      "them "
      "with temper-generate --write completions, a line an answer",
      record.where());
}

// Runs the template; its complaints get the record's place in front.
template <class F>
auto rendered(const Record& record, F run) {
  try {
    return run();
  } catch (const UserError& error) {
    user_error("{}: {}", record.where(), error.what());
  }
}

}  // namespace

RecordEncoder::RecordEncoder(const Tokenizer& tokenizer, const ChatTemplate* chat, EncodeSettings settings)
    : tokenizer_(tokenizer), chat_(chat), settings_(std::move(settings)), special_(tokenizer) {
  const auto ids = tokenizer.encode("a", {.add_special = true});
  adds_end_ = !ids.empty() && ids.back() == tokenizer.eos();
  one_of("special_tokens", settings_.special_tokens, {"auto", "parse", "text"});
  one_of("overlong", settings_.overlong, {"truncate", "drop", "error"});
  one_of("targets", settings_.targets, {"auto", "all", "assistant", "completion"});
  if (settings_.max_tokens < 1) user_error("max_tokens: must be at least 1, found {}", settings_.max_tokens);
}

const ChatTemplate& RecordEncoder::chat(const Record& record) const {
  if (chat_ == nullptr) {
    user_error(
        "{}: this is a chat, but the tokenizer has no chat template; give one: \"chatml\" or the path of a "
        ".jinja file",
        record.where());
  }
  return *chat_;
}

Json RecordEncoder::variables(const Record& record) const {
  Json out = settings_.template_extra.is_object() ? settings_.template_extra : Json::object();
  const Json& j = record.json;
  if (has_column(j, "tools")) {
    out["tools"] = j["tools"].is_string()
                       ? parse_json(j["tools"].get<std::string>(), record.where() + ": \"tools\"")
                       : j["tools"];
    if (!out["tools"].is_array()) user_error("{}: \"tools\" must be a list", record.where());
  }
  if (has_column(j, "chat_template_kwargs")) {
    if (!j["chat_template_kwargs"].is_object()) {
      user_error("{}: \"chat_template_kwargs\" must be an object", record.where());
    }
    for (const auto& [key, value] : j["chat_template_kwargs"].items()) out[key] = value;
  }
  return out;
}

bool RecordEncoder::parses(std::string_view text) const {
  return settings_.special_tokens == "parse" ||
         (settings_.special_tokens == "auto" && special_.rendered(text));
}

std::vector<int64_t> RecordEncoder::encode_strings(const std::vector<std::string>& parts, bool begins) const {
  std::string text;
  EncodeOptions options{.add_special = begins};
  for (const std::string& part : parts) {
    const bool parse = parses(part);
    if (!parse && !part.empty()) options.plain.emplace_back(text.size(), text.size() + part.size());
    options.parse_special = options.parse_special || parse;
    text += part;
  }
  if (!options.parse_special || settings_.special_tokens == "parse") options.plain.clear();
  auto ids = tokenizer_.encode(text, options);
  // An end token that the tokenizer adds stands behind the answer or nowhere.
  if (begins && adds_end_ && !ids.empty()) ids.pop_back();
  // A begin token that the text spells out stands there once.
  const auto bos = tokenizer_.bos();
  if (begins && bos && ids.size() > 1 && ids[0] == *bos && ids[1] == *bos) ids.erase(ids.begin());
  return ids;
}

Example RecordEncoder::text_example(const Record& record) const {
  if (settings_.targets == "completion" || settings_.targets == "assistant") {
    user_error("{}: a \"text\" record has no {}; set targets to \"auto\" or \"all\"", record.where(),
               settings_.targets);
  }
  Example out;
  out.ids = encode_strings({record.json["text"].get<std::string>()}, true);
  const auto eos = tokenizer_.eos();
  if (settings_.add_eos && eos && (out.ids.empty() || out.ids.back() != *eos)) out.ids.push_back(*eos);
  out.target.assign(out.ids.size(), true);
  return out;
}

Example RecordEncoder::string_example(const Record& record) const {
  if (settings_.targets == "assistant") {
    user_error(
        "{}: string prompts and completions have no assistant turns; set targets to \"auto\" or "
        "\"completion\"",
        record.where());
  }
  const auto text = record.json["prompt"].get<std::string>();
  const auto completion = record.json["completion"].get<std::string>();
  const auto prompt = encode_strings({text}, true);
  Example out;
  out.ids = encode_strings({text, completion}, true);
  if (!is_prefix(prompt, out.ids)) {
    out.ids = prompt;
    for (const int64_t id : encode_strings({completion}, false)) out.ids.push_back(id);
  }
  const auto eos = tokenizer_.eos();
  const bool ended = eos && out.ids.size() > prompt.size() && out.ids.back() == *eos;
  if (settings_.add_eos && eos && !ended) out.ids.push_back(*eos);
  out.target.assign(out.ids.size(), true);
  if (settings_.targets != "all") std::fill_n(out.target.begin(), prompt.size(), false);
  return out;
}

bool RecordEncoder::learnt_whole(const Record& record) const {
  if (settings_.targets != "auto" || record_kind(record) != RecordKind::kMessages) return false;
  const Json& messages = record.json["messages"];
  return std::none_of(messages.begin(), messages.end(),
                      [](const Json& message) { return message["role"] == "assistant"; });
}

Example RecordEncoder::chat_example(const Record& record, RecordKind kind) const {
  const ChatTemplate& chat = this->chat(record);
  const Json extra = variables(record);
  const Chat messages = chat_of(record, kind);
  Example out;
  if (settings_.targets == "all" || learnt_whole(record)) {
    for (const Json& message : messages.whole) {
      if (settings_.targets == "all" && has_column(message, "weight") && message["weight"] == 0)
        user_error(
            "{}: a message of \"weight\" 0 is not to be learnt, but targets \"all\" learns every token",
            record.where());
    }
    out.ids = rendered(record, [&] { return chat.encode_ids(tokenizer_, messages.whole, extra); });
    out.target.assign(out.ids.size(), true);
    return out;
  }
  EncodedChat encoded;
  if (settings_.targets == "completion" ||
      (settings_.targets == "auto" && kind == RecordKind::kPromptCompletion)) {
    const Json& prompt = asked(record, messages);
    encoded = rendered(
        record, [&] { return chat.encode_answer(tokenizer_, messages.whole, prompt, messages.open, extra); });
  } else {
    encoded = rendered(record, [&] { return chat.encode(tokenizer_, messages.whole, false, extra); });
  }
  if (!encoded.unmarked.empty()) user_error("{}: {}", record.where(), encoded.unmarked);
  out.ids = std::move(encoded.ids);
  out.target = std::move(encoded.assistant_mask);
  return out;
}

std::pair<int64_t, int64_t> RecordEncoder::insert_prefix(const Record& record,
                                                         std::vector<int64_t>& ids) const {
  const std::string text = settings_.prefix + record.prefix;
  if (text.empty()) return {0, 0};
  const auto bos = tokenizer_.bos();
  const int64_t begin = bos && !ids.empty() && ids.front() == *bos ? 1 : 0;
  const auto prefix = tokenizer_.encode(text, {.parse_special = true});
  ids.insert(ids.begin() + begin, prefix.begin(), prefix.end());
  return {begin, begin + static_cast<int64_t>(prefix.size())};
}

Example RecordEncoder::supervised(const Record& record) const {
  refuse_generated(record);
  const RecordKind kind = record_kind(record);
  Example out;
  if (kind == RecordKind::kText) {
    out = text_example(record);
  } else if (kind == RecordKind::kTokens) {
    out = token_example(record);
  } else if (kind == RecordKind::kMessages ||
             (kind == RecordKind::kPromptCompletion && is_chat_column(record, "prompt"))) {
    out = chat_example(record, kind);
  } else if (kind == RecordKind::kPromptCompletion) {
    out = string_example(record);
  } else {
    user_error(
        "{}: supervised training needs \"text\", \"messages\", \"prompt\" and \"completion\", or "
        "\"input_ids\"",
        record.where());
  }

  if (is_unfinished(record, "completion")) drop_end(out.ids, out.target, tokenizer_);

  const auto [begin, end] = insert_prefix(record, out.ids);
  out.prefix_begin = begin;
  out.prefix_tokens = end - begin;
  out.target.insert(out.target.begin() + begin, static_cast<size_t>(end - begin), false);

  const auto tokens = static_cast<int64_t>(out.ids.size());
  if (tokens > settings_.max_tokens) {
    if (settings_.overlong == "drop") return {};
    if (settings_.overlong == "error") {
      user_error(
          "{}: {} tokens, more than max_tokens {}; raise it or set overlong to \"truncate\" or \"drop\"",
          record.where(), tokens, settings_.max_tokens);
    }
    out.ids.resize(static_cast<size_t>(settings_.max_tokens));
    out.target.resize(static_cast<size_t>(settings_.max_tokens));
  }
  const auto first = std::find(out.target.begin(), out.target.end(), true);
  if (first == out.target.end()) {
    user_error(
        "{}: no token to learn from: {}", record.where(),
        tokens > settings_.max_tokens
            ? fmt::format("the answer begins behind max_tokens {} of the record's {} tokens; raise it or set "
                          "overlong to \"drop\"",
                          settings_.max_tokens, tokens)
            : "there is no assistant turn, completion or text");
  }
  out.prompt_tokens = first - out.target.begin();
  return out;
}

std::vector<int64_t> RecordEncoder::prompt(const Record& record) const {
  const RecordKind kind = record_kind(record);
  if (kind == RecordKind::kPreference) {
    Record asked{record.json, record.file, record.line, record.prefix};
    asked.json["prompt"] = preference_prompt(record);
    for (const char* answer : {"chosen", "rejected"}) asked.json.erase(answer);
    return prompt(asked);
  }
  std::vector<int64_t> ids;
  const bool given = has_column(record.json, "prompt");
  if (kind == RecordKind::kMessages || (given && is_chat_column(record, "prompt"))) {
    const ChatTemplate& chat = this->chat(record);
    const Json extra = variables(record);
    const Chat messages = chat_of(record, kind);
    const Json& prompt = asked(record, messages);
    ids = rendered(record, [&] { return chat.encode_prompt(tokenizer_, prompt, messages.open, extra); });
  } else if (given) {
    ids = encode_strings({record.json["prompt"].get<std::string>()}, true);
  } else {
    user_error("{}: generation needs \"prompt\" or \"messages\"", record.where());
  }
  const int64_t prefix_end = insert_prefix(record, ids).second;
  if (ids.empty()) user_error("{}: the prompt is empty", record.where());
  const int64_t excess = static_cast<int64_t>(ids.size()) - settings_.max_tokens;
  if (excess <= 0) return ids;
  if (settings_.overlong == "drop") return {};
  if (settings_.overlong == "error") {
    user_error(
        "{}: the prompt has {} tokens, more than the {} allowed; shorten it, or set overlong to \"truncate\" "
        "or \"drop\"",
        record.where(), ids.size(), settings_.max_tokens);
  }
  // What is answered stands at the end, so the beginning goes.
  const bool begins = tokenizer_.bos() && ids.front() == *tokenizer_.bos();
  const int64_t keep = std::max<int64_t>(prefix_end, begins ? 1 : 0);
  if (keep >= settings_.max_tokens)
    user_error("{}: max_tokens {} leave no room behind the prefix", record.where(), settings_.max_tokens);
  ids.erase(ids.begin() + keep, ids.begin() + keep + excess);
  return ids;
}

void append_message(Record& record, const Json& message) {
  if (record_kind(record) == RecordKind::kMessages) {
    record.json["messages"].push_back(message);
  } else if (!has_column(record.json, "prompt")) {
    user_error("{}: a conversation needs \"prompt\" or \"messages\"", record.where());
  } else if (is_chat_column(record, "prompt")) {
    record.json["prompt"].push_back(message);
  } else {
    record.json["prompt"] =
        record.json["prompt"].get<std::string>() + message["content"].get<std::string>() + "\n";
  }
}

void append_words(Record& record, const std::string& words) {
  const bool whole = record_kind(record) == RecordKind::kMessages;
  if (!whole && !has_column(record.json, "prompt"))
    user_error("{}: words behind the prompt need \"prompt\" or \"messages\"", record.where());
  if (!whole && !is_chat_column(record, "prompt")) {
    record.json["prompt"] = record.json["prompt"].get<std::string>() + words;
    return;
  }
  Json& chat = record.json[whole ? "messages" : "prompt"];
  for (size_t i = chat.size(); i-- > 0;) {
    if (chat[i]["role"] != "user") continue;
    Json& content = chat[i]["content"];
    if (content.is_array())
      content.push_back({{"type", "text"}, {"text", words}});
    else
      content = content.get<std::string>() + words;
    return;
  }
  user_error("{}: words behind the prompt need a message of role \"user\"", record.where());
}

std::vector<int64_t> RecordEncoder::behind(const Record& record, const Json& said, size_t answer) const {
  const RecordKind kind = record_kind(record);
  if (kind != RecordKind::kMessages && !is_chat_column(record, "prompt")) {
    std::string text = "\n";
    for (size_t i = answer + 1; i < said.size(); ++i) text += said[i]["content"].get<std::string>() + "\n";
    return tokenizer_.encode(text, {});
  }
  const Chat messages = chat_of(record, kind);
  Json whole = asked(record, messages);
  if (messages.open) whole.erase(whole.size() - 1);  // the answer's first words
  const size_t before = whole.size();
  for (const Json& message : said) whole.push_back(message);
  return rendered(record, [&] {
    return chat(record).encode_behind(tokenizer_, whole, before + answer, variables(record));
  });
}

Json answered(const Record& record, const std::string& text, bool whole) {
  const RecordKind kind = record_kind(record);
  Json out = record.json;
  erase_answer(out);
  for (const char* old : {"chosen", "rejected", "labels", "ratings"}) out.erase(old);
  const Json turn = {{"role", "assistant"}, {"content", text}};
  if (kind == RecordKind::kMessages) {
    out["messages"] = asked(record, chat_of(record, kind));
    out["messages"].push_back(turn);
  } else {
    if (kind == RecordKind::kPreference) out["prompt"] = preference_prompt(record);
    if (!has_column(out, "prompt"))
      user_error("{}: an answer needs \"prompt\" or \"messages\"", record.where());
    out["completion"] = out["prompt"].is_array() ? Json::array({turn}) : Json(text);
  }
  if (!whole) out["unfinished"] = {"completion"};
  return out;
}

std::string RecordEncoder::prompt_text(const Record& record) const {
  return tokenizer_.decode(prompt(record), true);
}

std::vector<int64_t> RecordEncoder::words(const std::string& text) const {
  return tokenizer_.encode(text, {.parse_special = true});
}

Json conversed(const Record& record, const Json& said) {
  Json out = answered(record, "", true);
  if (!out.contains("messages") && !(out.contains("prompt") && out["prompt"].is_array())) {
    user_error(
        "{}: a conversation behind a prompt that is a text cannot be written as one that is learnt from; "
        "give chat prompts",
        record.where());
  }
  Json messages = out.contains("messages") ? out["messages"] : out["prompt"];
  if (out.contains("messages")) messages.erase(messages.size() - 1);  // the empty answer
  for (const Json& message : said) messages.push_back(message);
  for (const char* key : {"prompt", "completion"}) out.erase(key);
  out["messages"] = std::move(messages);
  return out;
}

}  // namespace temper
