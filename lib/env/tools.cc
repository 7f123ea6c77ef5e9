#include "env/tools.h"

#include <algorithm>

#include "base/error.h"
#include "env/introduce.h"
#include "jinja/text.h"
#include "reward/text/json_schema.h"
#include "text/tool_templates.h"

namespace temper {
namespace {

// The tools of a run, by name.
class Toolbox {
 public:
  explicit Toolbox(const ToolsOptions& options)
      : max_calls_(static_cast<size_t>(options.max_calls)), max_chars_(options.max_result_chars) {
    for (const ToolEntry& entry : options.tools) {
      for (std::unique_ptr<Tool>& tool : entry.options->make()) add(std::move(tool));
    }
  }

  // [{"type": "function", "function": {"name", "description", "parameters"}}]
  Json schemas() const {
    Json out = Json::array();
    for (const Held& held : tools_) {
      const ToolSignature& s = held.tool->signature();
      out.push_back(
          {{"type", "function"},
           {"function", {{"name", s.name}, {"description", s.description}, {"parameters", s.parameters}}}});
    }
    return out;
  }
  bool external() const {
    return std::any_of(tools_.begin(), tools_.end(), [](const Held& h) { return h.tool->external(); });
  }
  void interrupt() {
    for (const Held& held : tools_) held.tool->interrupt();
  }

  // What the policy reads of the call at this place in its turn.
  ToolResult result(const ToolCall& call, size_t place) const {
    ToolResult out = place < max_calls_
                         ? made(call)
                         : ToolResult{fmt::format("only {} calls are made in one turn", max_calls_), false};
    if (!out.ok) out.text = "error: " + out.text;
    out.text = cut_in_the_middle(out.text, max_chars_);
    return out;
  }

 private:
  struct Held {
    std::unique_ptr<Tool> tool;
    std::unique_ptr<JsonSchema> schema;  // null: the tool checks for itself
  };

  void add(std::unique_ptr<Tool> tool) {
    const ToolSignature& s = tool->signature();
    if (find(s.name) != nullptr) user_error("environment.tools: two tools are called \"{}\"", s.name);
    std::unique_ptr<JsonSchema> schema;
    if (s.checked) schema = std::make_unique<JsonSchema>(s.parameters, "tool \"" + s.name + "\"");
    tools_.push_back({std::move(tool), std::move(schema)});
  }

  const Held* find(const std::string& name) const {
    const auto found = std::find_if(tools_.begin(), tools_.end(),
                                    [&](const Held& h) { return h.tool->signature().name == name; });
    return found == tools_.end() ? nullptr : &*found;
  }

  ToolResult made(const ToolCall& call) const {
    if (!call.error.empty()) return {call.error, false};
    const Held* held = find(call.name);
    if (held == nullptr) {
      std::string names;
      for (const Held& h : tools_) names += (names.empty() ? "" : ", ") + h.tool->signature().name;
      return {fmt::format("there is no tool \"{}\"; there are: {}", call.name, names), false};
    }
    if (held->schema) {
      const std::string given = dump_line(call.arguments);
      if (!held->schema->fits(nlohmann::json::parse(given)).value_or(false)) {
        return {fmt::format("the arguments of \"{}\" do not fit: expected {}, found {}", call.name,
                            dump_line(held->tool->signature().parameters), given),
                false};
      }
    }
    return held->tool->call(call.arguments);
  }

  std::vector<Held> tools_;
  size_t max_calls_;
  int64_t max_chars_;
};

class ToolsConversation : public Environment {
 public:
  // by_user: results come as the user's words.
  ToolsConversation(const Toolbox& tools, ToolFormat format, bool by_user)
      : tools_(tools), format_(format), by_user_(by_user) {}

  Reply reply(const PolicyTurn& turn) override {
    ToolCalls read = read_tool_calls(format_, turn.text, turn.raw_text);
    Reply out{.figures = {{"tool_calls", 0.0}, {"tool_errors", 0.0}}};
    out.over = read.calls.empty() || turn.last;
    if (read.calls.empty()) return out;
    Json calls = Json::array();
    for (size_t i = 0; i < read.calls.size(); ++i) {
      ToolCall& call = read.calls[i];
      if (call.id.empty()) call.id = next_id();
      const Json arguments = call.error.empty() ? call.arguments : Json(call.written);
      calls.push_back({{"id", call.id},
                       {"type", "function"},
                       {"function", {{"name", call.name}, {"arguments", arguments}}}});
      if (out.over) continue;
      const ToolResult result = tools_.result(call, i);
      if (!by_user_) {
        out.messages.push_back(
            {{"role", "tool"}, {"name", call.name}, {"content", result.text}, {"tool_call_id", call.id}});
      } else if (out.messages.empty()) {
        out.messages.push_back({{"role", "user"}, {"content", result.text}});
      } else {
        out.messages[0]["content"] = out.messages[0]["content"].get<std::string>() + "\n" + result.text;
      }
      out.figures["tool_calls"] += 1;
      out.figures["tool_errors"] += result.ok ? 0 : 1;
    }
    out.messages.insert(
        out.messages.begin(),
        Json{{"role", "assistant"}, {"content", read.content}, {"tool_calls", std::move(calls)}});
    return out;
  }

 private:
  // Nine letters and digits, as Mistral's templates want them.
  std::string next_id() { return fmt::format("call{:05}", ++ids_ % 100000); }

  const Toolbox& tools_;
  ToolFormat format_;
  bool by_user_;
  int64_t ids_ = 0;
};

class ToolsSource : public EnvironmentSource, public Introduced {
 public:
  explicit ToolsSource(const ToolsOptions& options)
      : tools_(options),
        format_name_(options.format),
        describe_(options.describe),
        results_(options.results) {}

  void meet(const Tokenizer& tokenizer, const ChatTemplate* chat) override {
    if (format_name_ != "auto")
      format_ = tool_format(format_name_);
    else if (chat != nullptr)
      format_ = tool_format_of(*chat, tokenizer);
    const bool shows = chat != nullptr && shows_tools(*chat, tokenizer);
    if (describe_ == "template" && !shows) {
      user_error(
          "environment.describe: the chat template says nothing of tools; set it to \"system\", or to "
          "\"none\" for a model that knows its tools");
    }
    if (describe_ == "auto") describe_ = shows ? "template" : "system";
    by_user_ =
        results_ == "user" || (results_ == "auto" && chat != nullptr && !shows_results(*chat, tokenizer));
  }
  std::unique_ptr<Environment> start(const ConversationStart&) override {
    return std::make_unique<ToolsConversation>(tools_, format_, by_user_);
  }
  std::optional<std::string> check(const Record& record) const override {
    const bool text = record_kind(record) != RecordKind::kMessages && has_column(record.json, "prompt") &&
                      !is_chat_column(record, "prompt");
    if (text && describe_ == "template") {
      user_error(
          "{}: the prompt is a text, for which no chat template says what tools there are; give chat "
          "prompts, "
          "or set environment.describe to \"system\" or \"none\"",
          record.where());
    }
    return std::nullopt;
  }
  Json tools() const override { return describe_ == "template" ? tools_.schemas() : Json(); }
  std::string system() const override {
    return describe_ == "system" ? tools_text(format_, tools_.schemas()) : "";
  }
  bool external() const override { return tools_.external(); }
  void interrupt() override { tools_.interrupt(); }

 private:
  Toolbox tools_;
  std::string format_name_, describe_, results_;
  ToolFormat format_ = ToolFormat::kJson;
  bool by_user_ = false;
};

}  // namespace

std::string cut_in_the_middle(const std::string& text, int64_t most_chars) {
  std::string whole = text;
  if (!jinja::valid_utf8(whole)) whole = Json::parse(dump_line(text)).get<std::string>();
  const std::vector<size_t> starts = jinja::code_point_starts(whole);
  const auto chars = static_cast<int64_t>(starts.size()) - 1;
  if (chars <= most_chars) return whole;
  const int64_t head = most_chars - most_chars / 2, tail = most_chars / 2;
  return fmt::format("{}\n[{} characters are left out here]\n{}",
                     whole.substr(0, starts[static_cast<size_t>(head)]), chars - most_chars,
                     whole.substr(starts[static_cast<size_t>(chars - tail)]));
}

void ToolsOptions::fields(FieldVisitor& v) {
  EnvironmentOptions::fields(v);
  v.list("tools", tools, "what the policy can call");
  v.field("format", format,
          {.help = "how it writes a call; auto: as its chat template writes one, else json",
           .choices = {"auto", "hermes", "llama3", "mistral", "json"}});
  v.field(
      "describe", describe,
      {.help = "what tells the policy of the tools: its chat template, a system message (in front of a "
               "string prompt the same words), or none; auto: the template where it does, else the system "
               "message",
       .choices = {"auto", "template", "system", "none"}});
  v.field(
      "results", results,
      {.help = "whose messages results are: tool, one a call; user, one for all of a turn; auto: tool where "
               "the chat template shows that role",
       .choices = {"auto", "tool", "user"}});
  v.field("max_calls", max_calls, {.help = "calls of a turn that are made", .min = 1, .max = kMaxToolCalls});
  v.field("max_result_chars", max_result_chars,
          {.help = "a longer result loses its middle", .unit = "characters", .min = 1, .max = 1 << 24});
}

void ToolsOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (tools.empty())
    problems.push_back(where + ".tools: expected at least one, as {\"kind\": \"calculator\"}");
}

std::unique_ptr<EnvironmentSource> ToolsOptions::make() const {
  return std::make_unique<ToolsSource>(*this);
}

}  // namespace temper
