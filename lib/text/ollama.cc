#include "text/ollama.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

Json said(const char* role, const std::string& text) {
  return {{"role", role}, {"content", text}};
}

// Words that no template writes itself.
const char* const kSystem = "Wombat";
const char* const kQuestion = "Quokka";
const char* const kAnswer = "Numbat";
const char* const kFurther = "Bilby";

// The text around a word; nothing where it stands there not once.
std::optional<MessageWords::Around> around(const std::string& text, const std::string& word) {
  const size_t at = text.find(word);
  if (at == std::string::npos || text.find(word, at + 1) != std::string::npos) return std::nullopt;
  return MessageWords::Around{text.substr(0, at), text.substr(at + word.size())};
}

// `whole` behind `beginning`; nothing where it does not begin so.
std::optional<std::string> behind(const std::string& whole, const std::string& beginning) {
  if (whole.rfind(beginning, 0) != 0) return std::nullopt;
  return whole.substr(beginning.size());
}

std::string written(const MessageWords& words, const Json& messages) {
  std::string out;
  if (!words.default_system.empty() && messages.at(0)["role"] != "system")
    out += words.system->before + words.default_system + words.system->after;
  for (const Json& message : messages) {
    const std::string role = message["role"];
    const MessageWords::Around& around = role == "system" ? *words.system
                                         : role == "user" ? words.user
                                                          : words.assistant;
    out += around.before + message["content"].get<std::string>() + around.after;
  }
  return out + words.generation;
}

class Renderings {
 public:
  Renderings(const ChatTemplate& chat, const Tokenizer& tokenizer) : chat_(chat) {
    for (const auto& [name, text] : tokenizer.named_tokens()) tokens_[name] = text;
    if (tokenizer.bos()) begin_ = tokenizer.piece(*tokenizer.bos());
  }
  // Without the begin token. Nothing: the template refuses such a chat.
  std::optional<std::string> operator()(const Json& messages, bool generation) const {
    try {
      std::string text = chat_.render(messages, generation, tokens_).text;
      if (!begin_.empty() && text.rfind(begin_, 0) == 0) text.erase(0, begin_.size());
      return text;
    } catch (const UserError&) {
      return std::nullopt;
    }
  }

 private:
  const ChatTemplate& chat_;
  Json tokens_ = Json::object();
  std::string begin_;
};

std::optional<MessageWords> told_from(const Renderings& render) {
  const Json system = said("system", kSystem), question = said("user", kQuestion),
             answer = said("assistant", kAnswer), further = said("user", kFurther);
  MessageWords words;
  bool has_system = true;
  auto first = render(Json::array({system, question}), false);
  if (!first) {
    has_system = false;
    first = render(Json::array({question}), false);
  }
  const auto chat = [&](std::vector<Json> rest) {
    Json out = Json::array();
    if (has_system) out.push_back(system);
    for (Json& message : rest) out.push_back(std::move(message));
    return out;
  };
  const auto two = render(chat({question, answer}), false),
             three = render(chat({question, answer, further}), false),
             open = render(chat({question, answer, further}), true);
  if (!first || !two || !three || !open) return std::nullopt;
  const auto of_answer = behind(*two, *first), of_further = behind(*three, *two),
             generation = behind(*open, *three);
  if (!of_answer || !of_further || !generation) return std::nullopt;
  const auto assistant = around(*of_answer, kAnswer), user = around(*of_further, kFurther);
  if (!assistant || !user) return std::nullopt;
  words.assistant = *assistant, words.user = *user, words.generation = *generation;
  if (!has_system) return words;

  // The first two messages: the system's, and a question as any other.
  const std::string asked = words.user.before + kQuestion + words.user.after;
  if (first->size() < asked.size() || first->substr(first->size() - asked.size()) != asked)
    return std::nullopt;
  words.system = around(first->substr(0, first->size() - asked.size()), kSystem);
  if (!words.system) return std::nullopt;
  if (const auto plain = render(Json::array({question}), false); plain && *plain != asked) {
    const auto& [before, after] = *words.system;
    const size_t fixed = before.size() + after.size() + asked.size();
    if (plain->size() < fixed || plain->rfind(before, 0) != 0 ||
        plain->substr(plain->size() - asked.size() - after.size()) != after + asked)
      return std::nullopt;
    words.default_system = plain->substr(before.size(), plain->size() - fixed);
  }
  return words;
}

// Text of a Go template that stands for itself.
std::string go_text(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool opens = text.compare(i, 2, "{{") == 0;
    out += opens ? "{{ \"{{\" }}" : std::string(1, text[i]);
    i += opens ? 1 : 0;
  }
  return out;
}

std::string go_template(const MessageWords& words) {
  const auto message = [](const MessageWords::Around& a) {
    return go_text(a.before) + "{{ .Content }}" + go_text(a.after);
  };
  std::string out = "{{ range .Messages }}";
  if (words.system)
    out += "{{ if eq .Role \"system\" }}" + message(*words.system) + "{{ else if eq .Role \"user\" }}";
  else
    out += "{{ if eq .Role \"user\" }}";
  return out + message(words.user) + "{{ else if eq .Role \"assistant\" }}" + message(words.assistant) +
         "{{ end }}{{ end }}" + go_text(words.generation);
}

}  // namespace

std::optional<MessageWords> message_words(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const Renderings render(chat, tokenizer);
  const auto words = told_from(render);
  if (!words) return std::nullopt;
  const Json system = said("system", "Be brief."), one = said("user", "2 + 1?"),
             two = said("assistant", "It is 3."), three = said("user", "And one more?");
  std::vector<Json> chats = {Json::array({one}), Json::array({one, two, three})};
  if (words->system) {
    chats.push_back(Json::array({system, one}));
    chats.push_back(Json::array({system, one, two, three}));
  }
  for (const Json& messages : chats)
    if (render(messages, true) != written(*words, messages)) return std::nullopt;
  return words;
}

std::string ollama_modelfile(const std::string& gguf_file, const ChatTemplate* chat,
                             const Tokenizer& tokenizer, const std::vector<std::string>& stops) {
  const std::string quotes = "\"\"\"";
  std::string out = fmt::format("FROM ./{}\n", gguf_file);
  const auto words = chat == nullptr ? std::nullopt : message_words(*chat, tokenizer);
  const std::string text = words ? go_template(*words) : "";
  if (text.empty() || (text + words->default_system).find(quotes) != std::string::npos) {
    out += chat == nullptr
               ? "# The model has no chat template: it completes texts.\nTEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n"
               : "# The model's chat template is not a row of messages with words around them, so it is not "
                 "written here;\n# Ollama tells a known one from the GGUF file by itself.\n";
  } else {
    out += fmt::format("TEMPLATE {0}{1}{0}\n", quotes, text);
    if (!words->default_system.empty())
      out += fmt::format("SYSTEM {0}{1}{0}\n", quotes, words->default_system);
  }
  for (const std::string& stop : stops)
    if (stop.find('"') == std::string::npos && stop.find('\n') == std::string::npos)
      out += fmt::format("PARAMETER stop \"{}\"\n", stop);
  return out;
}

}  // namespace temper
