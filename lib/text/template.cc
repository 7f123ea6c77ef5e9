#include "text/template.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "jinja/evaluator.h"
#include "text/template_impl.h"

namespace temper {

using jinja::Text;
using jinja::Value;

namespace {

// ChatML with its assistant turns marked. turn_end_token: what ends a turn where <|im_end|> is no special
// token.
constexpr const char* kChatml = R"({%- if tools %}
    {{- raise_exception('the built-in chatml template has no tools; give a template file that has') }}
{%- endif %}
{%- macro text(content) %}
    {%- if content is string %}
        {{- content }}
    {%- else %}
        {%- for part in content or [] %}{{- part.text if part.type == 'text' else
            raise_exception('the built-in chatml template shows text only') }}{% endfor %}
    {%- endif %}
{%- endmacro %}
{%- set end = turn_end_token or '<|im_end|>' %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{- text(message.content) + end }}{% endgeneration %}
    {%- else %}
        {{- text(message.content) + end }}
    {%- endif %}
    {{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
)";

std::string one_line(std::string message) {
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  if (message.size() > 400) {
    size_t cut = 400;
    while ((static_cast<unsigned char>(message[cut]) & 0xC0) == 0x80) --cut;
    message = message.substr(0, cut) + " ...";
  }
  return message;
}

// A role that is a plain word can spell no special token, and templates put together tokens from it: '<|' +
// role + '|>'.
bool is_one_word(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// A message as transformers hands it to the template: nothing null, reasoning under all its names.
Json normalized(const Json& message) {
  Json out = Json::object();
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (!message.contains(name) || message[name].is_null()) continue;
    out["thinking"] = message[name];
    for (const auto& [key, value] : message.items()) {
      if (!value.is_null()) out[key] = value;
    }
    out["reasoning_content"] = message[name];
    return out;
  }
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) out[key] = value;
  }
  return out;
}

Value messages_value(const Json& messages, size_t count) {
  std::vector<Value> out;
  for (size_t i = 0; i < count; ++i) {
    const jinja::Tag tag = jinja::kFirstMessage + static_cast<jinja::Tag>(i);
    jinja::Dict dict;
    const Json message = normalized(messages[i]);
    for (const auto& [key, value] : message.items()) {
      const bool trusted = key == "role" && is_one_word(value);
      dict.names.emplace(key, dict.items.size());
      dict.items.emplace_back(Value(Text(key, tag)),
                              jinja::from_json(value, trusted ? jinja::kLiteral : tag));
    }
    out.push_back(Value::dict(std::move(dict)));
  }
  return Value::sequence(std::move(out));
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& source, const std::string& where)
    : impl_(std::make_unique<Impl>()) {
  impl_->where = where;
  impl_->built_in = source == "chatml";
  try {
    impl_->tree = jinja::parse_template(impl_->built_in ? kChatml : source);
  } catch (const jinja::Error& e) {
    user_error("{}: {}", where, one_line(e.what()));
  }
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

bool ChatTemplate::has_generation_spans() const {
  return impl_->tree.has_generation;
}

Text ChatTemplate::Impl::render(const Json& messages, size_t count, bool generation_prompt,
                                const Json& extra) const {
  if (!messages.is_array()) user_error("{}: messages must be a list of objects", where);
  for (size_t i = 0; i < count; ++i) {
    if (!messages[i].is_object())
      user_error("{}: message {} is not an object with \"role\" and \"content\"", where, i);
  }
  if (!extra.is_null() && !extra.is_object())
    user_error("{}: the template's variables must be an object", where);
  jinja::Evaluator evaluator;
  try {
    std::vector<std::pair<std::string, Value>> variables = {
        {"messages", messages_value(messages, count)},
        {"tools", Value()},
        {"documents", Value()},
        {"add_generation_prompt", Value(generation_prompt)}};
    if (extra.is_object()) {
      for (const auto& [name, value] : extra.items()) {
        if (name == "messages" || name == "add_generation_prompt") {
          user_error("{}: the variable \"{}\" is set by Temper and cannot be given", where, name);
        }
        Value given = jinja::from_json(value, name.ends_with("_token") ? jinja::kLiteral : jinja::kHandedIn);
        if (name == "tools" || name == "documents") {
          variables[name == "tools" ? 1 : 2].second = std::move(given);
        } else {
          variables.emplace_back(name, std::move(given));
        }
      }
    }
    return evaluator.render(tree, std::move(variables));
  } catch (const jinja::Error& e) {
    user_error("{}: line {}: {}", where, std::max(evaluator.line(), 1), one_line(e.what()));
  }
}

RenderedChat ChatTemplate::render(const Json& messages, bool generation_prompt, const Json& extra) const {
  const Text text = impl_->render(messages, messages.size(), generation_prompt, extra);
  return {text.str(), spans_of(text, jinja::kGeneration), spans_of(text, ~jinja::kGeneration)};
}

Spans spans_of(const Text& text, jinja::Tag bits) {
  Spans out;
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    if ((run.tag & bits) != 0) {
      if (!out.empty() && out.back().second == begin) {
        out.back().second = run.end;
      } else {
        out.emplace_back(begin, run.end);
      }
    }
    begin = run.end;
  }
  return out;
}

ChatTemplate resolve_template(const Tokenizer& tokenizer, const std::string& choice) {
  if (choice == "chatml") return ChatTemplate("chatml", "the built-in chatml template");
  if (choice != "auto") return ChatTemplate(read_file(choice, 16 << 20), choice);
  const std::string own = tokenizer.chat_template();
  if (own.empty()) {
    user_error(
        "the tokenizer has no chat template; expected chat_template in tokenizer_config.json or a "
        "chat_template.jinja; give a template: \"chatml\" or the path of a .jinja file");
  }
  return ChatTemplate(own, "the tokenizer's chat template");
}

}  // namespace temper
