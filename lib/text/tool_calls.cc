#include "text/tool_calls.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json_end.h"

namespace temper {
namespace {

constexpr size_t kNotFound = std::string_view::npos;
constexpr const char* kBlank = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == kNotFound) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// The bytes up to the end of what is thought: through the last </think>, all of it when a <think> does not
// end.
size_t thoughts(std::string_view text) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const size_t close = text.rfind(kClose), said = close == kNotFound ? 0 : close + kClose.size();
  return text.find(kOpen, said) == kNotFound ? said : text.size();
}

// Whether a call begins at `at`: an object whose first key is "name" or "type", or a list of such.
bool begins_call(std::string_view text, size_t at) {
  if (at >= text.size() || (text[at] != '{' && text[at] != '[')) return false;
  if (text[at] == '[') {
    at = text.find_first_not_of(kBlank, at + 1);
    if (at == kNotFound || text[at] != '{') return false;
  }
  at = text.find_first_not_of(kBlank, at + 1);
  if (at == kNotFound) return false;
  return text.substr(at).starts_with("\"name\"") || text.substr(at).starts_with("\"type\"");
}

class CallReader {
 public:
  ToolCalls take() { return std::move(out); }
  bool full() const { return out.calls.size() >= kMaxToolCalls; }
  // What stands behind the last call that is read.
  void refuse(std::string_view rest) {
    add({.error = fmt::format("more than {} calls", kMaxToolCalls), .written = std::string(trimmed(rest))});
  }

  // A call, or a list of them, in JSON.
  void read(std::string_view text) {
    text = trimmed(text);
    Json json;
    try {
      json = parse_json(std::string(text), "the call");
    } catch (const UserError& e) {
      return add({.error = e.what(), .written = std::string(text)});
    }
    if (!json.is_array()) return add(call_of(json, text));
    for (const Json& one : json) {
      if (full()) return refuse(dump_line(one));
      add(call_of(one, dump_line(one)));
    }
  }

  // A call whose name stands apart from its arguments.
  void read_named(std::string_view name, std::string_view id, std::string_view arguments) {
    ToolCall call{.name = std::string(name), .id = std::string(id)};
    call.written = std::string(trimmed(arguments));
    take_arguments(call, call.written);
    add(std::move(call));
  }

  void add(ToolCall call) { out.calls.push_back(std::move(call)); }

  ToolCalls out;

 private:
  static void take_arguments(ToolCall& call, const Json& given) {
    if (given.is_object()) {
      call.arguments = given;
      return;
    }
    if (given.is_string()) {
      try {
        call.arguments = parse_json(given.get<std::string>(), "the arguments");
      } catch (const UserError& e) {
        call.error = e.what();
        return;
      }
      if (call.arguments.is_object()) return;
      call.arguments = Json::object();
    }
    call.error = "the arguments are no JSON object";
  }

  static ToolCall call_of(const Json& json, std::string_view text) {
    ToolCall call{.written = std::string(text)};
    if (!json.is_object()) {
      call.error = "the call is no JSON object with \"name\" and \"arguments\"";
      return call;
    }
    if (const auto id = json.find("id"); id != json.end() && id->is_string()) call.id = *id;
    const auto name = json.find("name");
    if (name == json.end() || !name->is_string()) {
      call.error = "the call has no \"name\"";
      return call;
    }
    call.name = *name;
    for (const char* key : {"arguments", "parameters"}) {
      if (const auto given = json.find(key); given != json.end()) {
        take_arguments(call, *given);
        break;
      }
    }
    return call;
  }
};

ToolCalls read_hermes(std::string_view text) {
  constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";
  CallReader reader;
  while (true) {
    const size_t open = text.find(kOpen);
    reader.out.content += text.substr(0, open);
    if (open == kNotFound) return reader.take();
    if (reader.full()) {
      reader.refuse(text.substr(open));
      return reader.take();
    }
    text.remove_prefix(open + kOpen.size());
    const size_t close = text.find(kClose);
    reader.read(text.substr(0, close));
    if (close == kNotFound) return reader.take();
    text.remove_prefix(close + kClose.size());
  }
}

ToolCalls read_llama3(std::string_view text) {
  constexpr std::string_view kTag = "<|python_tag|>";
  CallReader reader;
  const size_t tag = text.find(kTag);
  if (tag == kNotFound && !begins_call(trimmed(text), 0)) return {{}, std::string(text)};
  if (tag != kNotFound) reader.out.content = text.substr(0, tag);
  std::string_view rest = trimmed(tag == kNotFound ? text : text.substr(tag + kTag.size()));
  while (true) {
    if (reader.full()) {
      reader.refuse(rest);
      return reader.take();
    }
    const bool opens = !rest.empty() && (rest.front() == '{' || rest.front() == '[');
    const auto end = opens ? json_end(rest, 0) : std::nullopt;
    reader.read(rest.substr(0, end.value_or(kNotFound)));
    if (!end) return reader.take();
    rest = trimmed(rest.substr(*end));
    if (!rest.starts_with(';')) return reader.take();
    rest = trimmed(rest.substr(1));
    if (rest.empty() || rest.starts_with("<|")) return reader.take();
  }
}

// text: behind [TOOL_CALLS]. Returns what follows the call; none: it has no end.
std::optional<std::string_view> read_mistral_call(CallReader& reader, std::string_view text) {
  constexpr std::string_view kId = "[CALL_ID]", kArguments = "[ARGS]";
  text = trimmed(text);
  if (text.starts_with('[') && !text.starts_with(kId) && !text.starts_with(kArguments)) {
    const auto end = json_end(text, 0);
    reader.read(text.substr(0, end.value_or(kNotFound)));
    return end ? std::optional(text.substr(*end)) : std::nullopt;
  }
  const size_t brace = text.find('{');
  const std::string_view head = text.substr(0, brace);
  const size_t id = head.find(kId), mark = head.find(kArguments);
  const std::string_view name = trimmed(head.substr(0, std::min(id, mark)));
  std::string_view call_id;
  if (id < mark) call_id = trimmed(head.substr(0, mark).substr(id + kId.size()));
  const std::string_view arguments = mark != kNotFound ? trimmed(text.substr(mark + kArguments.size()))
                                                       : text.substr(std::min(brace, text.size()));
  const auto end = arguments.starts_with('{') ? json_end(arguments, 0) : std::nullopt;
  reader.read_named(name, call_id, arguments.substr(0, end.value_or(kNotFound)));
  return end ? std::optional(arguments.substr(*end)) : std::nullopt;
}

ToolCalls read_mistral(std::string_view raw) {
  constexpr std::string_view kMark = "[TOOL_CALLS]";
  CallReader reader;
  size_t mark = raw.find(kMark);
  reader.out.content = raw.substr(0, mark);
  while (mark != kNotFound) {
    raw.remove_prefix(mark + kMark.size());
    if (reader.full()) {
      reader.refuse(raw);
      break;
    }
    const auto rest = read_mistral_call(reader, raw);
    if (!rest) break;
    raw = *rest;
    mark = raw.find(kMark);
  }
  return reader.take();
}

// A line that opens or closes a ``` block.
bool is_fence(std::string_view line) {
  line = trimmed(line);
  return line == "```" || line == "```json";
}

ToolCalls read_json_calls(std::string_view text) {
  CallReader reader;
  bool called = false;  // the last thing in sight: a fence behind it closes its block
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, line_end);
    const size_t first = line.find_first_not_of(kBlank);
    if (first != kNotFound && begins_call(text, first)) {
      if (reader.full()) {
        reader.refuse(text);
        break;
      }
      const auto end = json_end(text, first);
      reader.read(text.substr(first, end ? *end - first : kNotFound));
      if (!end) break;
      text.remove_prefix(*end);
      const size_t more = text.find_first_not_of(" \t\r");  // the line's end is no content
      if (more != kNotFound && text[more] == '\n') text.remove_prefix(more + 1);
      called = true;
      continue;
    }
    const size_t next = std::min(line_end + 1, text.size());
    if (is_fence(line)) {
      // Of a block that holds a call, neither of its fences is content.
      const size_t behind = text.find_first_not_of(kBlank, next);
      const bool opens = behind != kNotFound && begins_call(text, behind);
      if (!opens && !called) reader.out.content += text.substr(0, next);
      called = opens;
    } else {
      if (!trimmed(line).empty()) called = false;
      reader.out.content += text.substr(0, next);
    }
    text.remove_prefix(next);
  }
  return reader.take();
}

}  // namespace

const std::vector<std::string>& tool_format_names() {
  static const std::vector<std::string> names = {"hermes", "llama3", "mistral", "json"};
  return names;
}

ToolFormat tool_format(const std::string& name) {
  const auto& names = tool_format_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    user_error("expected one of hermes, llama3, mistral, json as a format of tool calls, found \"{}\"", name);
  return static_cast<ToolFormat>(found - names.begin());
}

ToolCalls read_tool_calls(ToolFormat format, std::string_view text, std::string_view raw_text) {
  // Marks that are special tokens stand in the raw text alone.
  const auto with = [&](std::string_view mark) {
    return text.find(mark) == kNotFound && raw_text.find(mark) != kNotFound ? raw_text : text;
  };
  const char* const kMarks[] = {"<tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "{"};
  const std::string_view all = with(kMarks[static_cast<size_t>(format)]);
  const size_t thought = thoughts(all);
  const std::string_view said = all.substr(thought);
  ToolCalls out;
  switch (format) {
    case ToolFormat::kHermes:
      out = read_hermes(said);
      break;
    case ToolFormat::kLlama3:
      out = read_llama3(said);
      break;
    case ToolFormat::kMistral:
      out = read_mistral(said);
      break;
    case ToolFormat::kJson:
      out = read_json_calls(said);
      break;
  }
  out.content = std::string(trimmed(std::string(all.substr(0, thought)) + out.content));
  return out;
}

}  // namespace temper
