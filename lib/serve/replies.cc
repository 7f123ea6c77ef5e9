#include "serve/replies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace temper {
namespace {

constexpr double kNever = -9999.0;  // OpenAI's stand-in for the log of 0, which JSON cannot say

Json logprob_json(float logp) {
  return std::isfinite(logp) ? Json(static_cast<double>(logp)) : Json(kNever);
}

Json token_json(const TokenLogprob& token, const TokenSpelling& spelling) {
  const std::string bytes = spelling.bytes(token.id);
  Json numbers = Json::array();
  for (const char byte : bytes) numbers.push_back(static_cast<int>(static_cast<unsigned char>(byte)));
  return {{"token", bytes}, {"logprob", logprob_json(token.logp)}, {"bytes", std::move(numbers)}};
}

size_t characters_before(const std::string& text, size_t byte) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size())),
                    [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Json reply(const ReplyHead& head, const char* chat_object, Json choices) {
  return {{"id", head.id},
          {"object", head.kind == ReplyKind::kChat ? chat_object : "text_completion"},
          {"created", head.created_s},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

}  // namespace

std::string TokenSpelling::bytes(int64_t id) const {
  if (tokenizer_.is_special(id)) return tokenizer_.decode({id}, true);
  std::call_once(once_, [&] {
    try {
      texts_ = std::make_unique<TokenTexts>(tokenizer_, tokenizer_.vocab_size());
    } catch (const UserError&) {  // its texts do not add up from its tokens': each is spelt alone
    }
  });
  return texts_ != nullptr && id < texts_->vocab() ? texts_->text(id, false) : tokenizer_.decode({id}, true);
}

std::string finish_reason(FinishReason reason, bool calls) {
  if (calls) return "tool_calls";
  return reason == FinishReason::kLength || reason == FinishReason::kOpen ? "length" : "stop";
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt},
          {"completion_tokens", usage.completion},
          {"total_tokens", usage.prompt + usage.completion},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached}}}};
}

Json calls_json(const std::vector<ToolCall>& calls, const ReplyHead& head, int64_t choice) {
  const std::string own = head.id.substr(head.id.find('-') + 1);
  Json out = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    out.push_back({{"id", fmt::format("call_{}_{}_{}", own, choice, i)},
                   {"type", "function"},
                   {"function", {{"name", calls[i].name}, {"arguments", dump_line(calls[i].arguments)}}}});
  }
  return out;
}

Json chat_logprobs(const std::vector<SpokenToken>& tokens, const TokenSpelling& spelling) {
  Json content = Json::array();
  for (const SpokenToken& spoken : tokens) {
    Json entry = token_json(spoken.token, spelling), top = Json::array();
    for (const TokenLogprob& other : spoken.top) top.push_back(token_json(other, spelling));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

Json completion_logprobs(const std::vector<SpokenToken>& tokens, const std::string& text,
                         const TokenSpelling& spelling) {
  Json names = Json::array(), logps = Json::array(), tops = Json::array(), offsets = Json::array();
  for (const SpokenToken& spoken : tokens) {
    // A key for each token, also of bytes that are no characters.
    const auto name = [&](int64_t id) {
      return Json::parse(dump_line(spelling.bytes(id))).get<std::string>();
    };
    Json top = Json::object();
    for (const TokenLogprob& other : spoken.top) {
      std::string key = name(other.id);
      if (top.contains(key)) key = fmt::format("token_id:{}", other.id);
      top[key] = logprob_json(other.logp);
    }
    names.push_back(name(spoken.token.id));
    logps.push_back(logprob_json(spoken.token.logp));
    tops.push_back(top.empty() ? Json(nullptr) : std::move(top));
    offsets.push_back(characters_before(text, spoken.offset));
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(logps)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json chat_choice(int64_t index, const std::string& content, const Json& calls, const Json& logprobs,
                 const std::string& finish) {
  Json message{{"role", "assistant"}, {"content", content}};
  if (!calls.empty()) {
    if (content.empty()) message["content"] = nullptr;
    message["tool_calls"] = calls;
  }
  return {
      {"index", index}, {"message", std::move(message)}, {"logprobs", logprobs}, {"finish_reason", finish}};
}

Json completion_choice(int64_t index, const std::string& text, const Json& logprobs,
                       const std::string& finish) {
  return {{"text", text}, {"index", index}, {"logprobs", logprobs}, {"finish_reason", or_null(finish)}};
}

Json chat_piece(int64_t index, const Json& delta, const Json& logprobs, const std::string& finish) {
  return {{"index", index}, {"delta", delta}, {"logprobs", logprobs}, {"finish_reason", or_null(finish)}};
}

Json whole_reply(const ReplyHead& head, Json choices, const Usage& usage) {
  Json out = reply(head, "chat.completion", std::move(choices));
  out["usage"] = usage_json(usage);
  return out;
}

Json reply_piece(const ReplyHead& head, Json choices, bool usage_asked) {
  Json out = reply(head, "chat.completion.chunk", std::move(choices));
  if (usage_asked) out["usage"] = nullptr;
  return out;
}

Json usage_piece(const ReplyHead& head, const Usage& usage) {
  Json out = reply(head, "chat.completion.chunk", Json::array());
  out["usage"] = usage_json(usage);
  return out;
}

std::string event_text(const Json& data) {
  return "data: " + dump_line(data) + "\n\n";
}

Json model_json(const ModelEntry& model, int64_t created_s) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", created_s},
          {"owned_by", "temper"},
          {"parent", or_null(model.parent)}};
}

Json models_json(const std::vector<ModelEntry>& models, int64_t created_s) {
  Json data = Json::array();
  for (const ModelEntry& model : models) data.push_back(model_json(model, created_s));
  return {{"object", "list"}, {"data", std::move(data)}};
}

std::string metrics_text(const ServiceFigures& f) {
  std::string out;
  const auto add = [&](const char* name, const char* type, const char* help, int64_t value) {
    out += fmt::format("# HELP temper_{0} {1}\n# TYPE temper_{0} {2}\ntemper_{0} {3}\n", name, help, type,
                       value);
  };
  add("requests_total", "counter", "Requests since the start.", f.requests);
  add("requests_refused_total", "counter", "Of these, refused.", f.refused);
  add("requests_cancelled_total", "counter", "Of these, given up by who asked.", f.cancelled);
  add("prompt_tokens_total", "counter", "Tokens of prompts read.", f.prompt_tokens);
  add("completion_tokens_total", "counter", "Tokens decoded.", f.tokens);
  add("samples_active", "gauge", "Samples that are being decoded.", f.active);
  add("samples_waiting", "gauge", "Samples that wait for a place.", f.waiting);
  return out;
}

}  // namespace temper
