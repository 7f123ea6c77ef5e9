#include "env/tools/mcp.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/version.h"
#include "env/line_client.h"
#include "env/tools/command.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;
const char* const kRevision = "2025-06-18";
constexpr int kPages = 1000;  // of a list of tools
constexpr int kTries = 2;     // of a call in which the server ended

// What the server asks of us: a ping is answered, of other requests that there is no such method.
Json answer_to(const Json& said) {
  if (!said.contains("id")) return nullptr;  // a notification
  Json out = {{"jsonrpc", "2.0"}, {"id", said["id"]}};
  if (said["method"] == "ping") {
    out["result"] = Json::object();
  } else {
    out["error"] = {{"code", -32601}, {"message", "no such method"}};
  }
  return out;
}

class McpServer {
 public:
  explicit McpServer(const McpOptions& options)
      : client_(options.command, options.timeout_s, options.start_timeout_s, answer_to),
        timeout_(options.timeout_s) {}

  // The answer to a request, {"result"} or {"error"}; none, and why.
  std::optional<Json> ask(const std::string& method, const Json& params, std::string& why) {
    for (int tries = 0; tries < kTries; ++tries) {
      const auto begin = Clock::now();
      const auto life = ready(why);
      if (!life) continue;
      const auto asked = Clock::now();
      auto answer = client_.ask({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}}, *life);
      if (answer) return answer;
      if (Clock::now() - asked >= timeout_) {
        why = fmt::format("the server gave no answer within {:g} seconds", timeout_.count());
        return std::nullopt;
      }
      why = "the server ended";
      if (Clock::now() - begin >= 2 * timeout_) break;
    }
    return std::nullopt;
  }
  void interrupt() { client_.interrupt(); }
  std::string name() const { return client_.name(); }

 private:
  // The life of the server that has shaken hands; none, and why.
  std::optional<int64_t> ready(std::string& why) {
    const std::lock_guard lock(mutex_);
    const int64_t life = client_.life();
    if (life == greeted_) return life;
    const Json params = {{"protocolVersion", kRevision},
                         {"capabilities", Json::object()},
                         {"clientInfo", {{"name", "temper"}, {"version", version()}}}};
    const auto answer = client_.ask({{"jsonrpc", "2.0"}, {"method", "initialize"}, {"params", params}}, life);
    if (!answer || !answer->contains("result")) {
      why = answer ? "it refused \"initialize\": " + dump_line(*answer).substr(0, 200)
                   : "it did not answer \"initialize\"";
      return std::nullopt;
    }
    client_.tell({{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}}, life);
    greeted_ = life;
    return life;
  }

  LineClient client_;
  const std::chrono::duration<double> timeout_;
  std::mutex mutex_;
  int64_t greeted_ = -1;
};

ToolResult result_of(const Json& answer) {
  if (!answer.contains("result") || !answer["result"].is_object()) {
    const Json error = answer.value("error", Json::object());
    const bool told = error.is_object() && error.contains("message") && error["message"].is_string();
    return {told ? error["message"].get<std::string>() : "the server gave neither a result nor an error",
            false};
  }
  const Json& result = answer["result"];
  ToolResult out;
  const Json content = result.value("content", Json::array());
  for (const Json& part : content.is_array() ? content : Json::array()) {
    if (!part.is_object()) continue;
    const Json type = part.value("type", Json()), text = part.value("text", Json());
    if (!out.text.empty()) out.text += '\n';
    out.text += text.is_string() ? text.get<std::string>() : "(" + dump_line(type) + " that cannot be shown)";
  }
  if (out.text.empty() && result.contains("structuredContent"))
    out.text = dump_line(result["structuredContent"]);
  out.ok = result.value("isError", Json(false)) != true;
  return out;
}

class McpTool : public Tool {
 public:
  McpTool(ToolSignature signature, std::shared_ptr<McpServer> server)
      : Tool(std::move(signature)), server_(std::move(server)) {}
  ToolResult call(const Json& arguments) override {
    std::string why;
    const auto answer =
        server_->ask("tools/call", {{"name", signature().name}, {"arguments", arguments}}, why);
    return answer ? result_of(*answer) : ToolResult{why, false};
  }
  bool external() const override { return true; }
  void interrupt() override { server_->interrupt(); }

 private:
  std::shared_ptr<McpServer> server_;
};

ToolSignature signature_of(const Json& tool, const std::string& server) {
  const bool sound = tool.is_object() && tool.value("name", Json()).is_string() &&
                     tool.value("inputSchema", Json()).is_object();
  if (!sound)
    user_error("tool server {}: expected a tool with \"name\" and \"inputSchema\", found {}", server,
               dump_line(tool).substr(0, 200));
  const Json description = tool.value("description", Json(""));
  ToolSignature out{tool["name"], description.is_string() ? description.get<std::string>() : "",
                    tool["inputSchema"]};
  const std::string problem = parameters_problem(out.parameters);
  if (!problem.empty()) {
    log_warning("tool server {}: the arguments of \"{}\" are checked by the server alone: {}", server,
                out.name, problem);
    out.checked = false;
  }
  return out;
}

std::vector<ToolSignature> listed(McpServer& server) {
  std::vector<ToolSignature> out;
  Json params = Json::object();
  for (int page = 0; page < kPages; ++page) {
    std::string why;
    const auto answer = server.ask("tools/list", params, why);
    const Json result = answer ? answer->value("result", Json()) : Json();
    const Json tools = result.is_object() ? result.value("tools", Json()) : Json();
    if (!tools.is_array()) {
      user_error("tool server {}: it does not list its tools: {}", server.name(),
                 answer ? dump_line(*answer).substr(0, 200) : why);
    }
    for (const Json& tool : tools) out.push_back(signature_of(tool, server.name()));
    const Json next = result.value("nextCursor", Json());
    if (!next.is_string()) return out;
    params["cursor"] = next;
  }
  user_error("tool server {}: its list of tools has more than {} pages", server.name(), kPages);
}

}  // namespace

void McpOptions::fields(FieldVisitor& v) {
  v.field("command", command, {.help = "the server and its arguments", .required = true});
  v.field("only", only, {.help = "the names of the tools to offer; none: all"});
  v.field("timeout_s", timeout_s, {.help = "for one answer", .unit = "s", .min = 0.01, .max = 86400});
  v.field("start_timeout_s", start_timeout_s,
          {.help = "for the first one of a server that was started", .unit = "s", .min = 0.01, .max = 86400});
}

void McpOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (command.empty() || command[0].empty())
    problems.push_back(where + ".command: expected a program and its arguments, found none");
}

std::vector<std::unique_ptr<Tool>> McpOptions::make() const {
  const auto server = std::make_shared<McpServer>(*this);
  std::vector<ToolSignature> offered = listed(*server);
  std::string names;
  for (const ToolSignature& tool : offered) names += (names.empty() ? "" : ", ") + tool.name;
  for (const std::string& name : only) {
    const bool there =
        std::any_of(offered.begin(), offered.end(), [&](const ToolSignature& t) { return t.name == name; });
    if (!there) user_error("tool server {}: it has no tool \"{}\"; it has: {}", server->name(), name, names);
  }
  std::vector<std::unique_ptr<Tool>> out;
  for (ToolSignature& tool : offered) {
    if (only.empty() || std::find(only.begin(), only.end(), tool.name) != only.end())
      out.push_back(std::make_unique<McpTool>(std::move(tool), server));
  }
  if (out.empty()) user_error("tool server {}: it has no tools", server->name());
  return out;
}

}  // namespace temper
