// The tools that start programs or read files.
#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "reward/child_process.h"
#include "temp_folder.h"
#include "test.h"
#include "tools_of.h"

using namespace temper;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Json shell(const std::string& script, const Json& more = Json::object()) {
  Json out = {{"kind", "command"}, {"name", "sh"}, {"command", {"/bin/sh", "-c", script}}};
  out.update(more);
  return out;
}

Json server(const std::string& mode, const std::string& file = "", double timeout_s = 20) {
  return {{"kind", "mcp"},
          {"command", {"python3", test_file("env/mcp_server.py"), mode, file}},
          {"timeout_s", timeout_s},
          {"start_timeout_s", mode == "mute" ? timeout_s : 60.0}};
}

std::unique_ptr<Tool> named(std::vector<std::unique_ptr<Tool>> tools, const std::string& name) {
  for (auto& tool : tools) {
    if (tool->signature().name == name) return std::move(tool);
  }
  FAIL("no tool " << name);
  return nullptr;
}

// What is thrown to a call that another thread interrupts.
std::string interrupted(Tool& tool, const Json& arguments) {
  std::string what;
  std::thread caller([&] {
    try {
      tool.call(arguments);
    } catch (const UserError& e) {
      what = e.what();
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  tool.interrupt();
  caller.join();
  return what;
}

}  // namespace

TEST_CASE("python: what it prints, and how it ended when it did not end well") {
  const auto tool = tool_of({{"kind", "python"}, {"timeout_s", 20}, {"output_bytes", 1000}});
  CHECK(tool->external());
  CHECK(tool->call({{"code", "print(6 * 7)"}}).text == "42\n");
  const ToolResult silent = tool->call({{"code", "x = 1"}});
  CHECK(silent.ok);
  CHECK(silent.text == "(It printed nothing.)");
  const ToolResult raised = tool->call({{"code", "print('a', end='')\n1/0"}});
  CHECK(!raised.ok);
  CHECK(raised.text.starts_with("a\nTraceback"));
  CHECK(contains(raised.text, "ZeroDivisionError"));
  CHECK(raised.text.ends_with("The program exited with 1."));
  const ToolResult loud = tool->call({{"code", "print('x' * 1000000)"}});
  CHECK(!loud.ok);
  CHECK(contains(loud.text, "The program printed more than 1000 bytes."));
  CHECK(loud.text.size() < 2000);
}

TEST_CASE("python: a program that hangs is ended, and a run that stops does not wait for one") {
  const auto hasty = tool_of({{"kind", "python"}, {"timeout_s", 0.5}});
  const auto start = std::chrono::steady_clock::now();
  const ToolResult hung = hasty->call({{"code", "import time\ntime.sleep(3600)"}});
  CHECK(!hung.ok);
  CHECK(hung.text == "The program ran for more than 0.5 seconds.");
  const auto patient = tool_of({{"kind", "python"}, {"timeout_s", 3600}});
  CHECK(interrupted(*patient, {{"code", "import time\ntime.sleep(3600)"}}) == "tool \"python\": interrupted");
  CHECK(since(start) < 60);
}

TEST_CASE("command: arguments in, result out") {
  CHECK(tool_of(shell("cat"))->call({{"a", 1}, {"b", "x"}}).text == "{\"a\":1,\"b\":\"x\"}\n");
  CHECK(tool_of(shell("printf 'no line end'"))->call(Json::object()).text == "no line end");
  CHECK(tool_of(shell("cat > /dev/null"))->call(Json::object()).text.empty());
  // A megabyte either way.
  const auto echo = tool_of(shell("cat", {{"output_bytes", 4000000}}));
  const std::string large(1 << 20, 'x');
  CHECK(echo->call({{"a", large}}).text == "{\"a\":\"" + large + "\"}\n");
}

TEST_CASE("command: what goes wrong is told") {
  const ToolResult failed = tool_of(shell("echo out; echo why >&2; exit 3"))->call(Json::object());
  CHECK(!failed.ok);
  CHECK(failed.text == "the program exited with 3: why\n");
  const ToolResult killed = tool_of(shell("kill -9 $$"))->call(Json::object());
  CHECK(contains(killed.text, "was killed by signal 9"));
  for (const char* script :
       {"yes", "head -c 100000000 /dev/zero", "cat; printf aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    CAPTURE(std::string(script));
    const ToolResult loud = tool_of(shell(script, {{"output_bytes", 20}}))->call(Json::object());
    CHECK(!loud.ok);
    CHECK(loud.text == "the program wrote more than 20 bytes");
  }
  const auto start = std::chrono::steady_clock::now();
  const ToolResult hung = tool_of(shell("sleep 3600", {{"timeout_s", 0.3}}))->call(Json::object());
  CHECK(hung.text == "the program gave no result within 0.3 seconds");
  CHECK(interrupted(*tool_of(shell("sleep 3600")), Json::object()) == "tool \"sh\": interrupted");
  CHECK(since(start) < 30);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "command"}, {"name", "x"}, {"command", {"temper-no-such-program"}}})
                           ->call(Json::object()),
                       doctest::Contains("cannot start the program \"temper-no-such-program\""), UserError);
}

TEST_CASE("command: options that are none are refused, all at once") {
  CHECK_THROWS_WITH_AS(
      tool_of({{"kind", "command"}, {"command", Json::array()}, {"parameters", {{"type", "array"}}}}),
      doctest::Contains("command: expected a program and its arguments, found none"), UserError);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "command"}, {"command", {"true"}}}),
                       doctest::Contains("name: missing; expected what the policy calls it by"), UserError);
  CHECK_THROWS_WITH_AS(tool_of(shell("true", {{"parameters", {{"type", "array"}}}})),
                       doctest::Contains("parameters: expected a JSON Schema with \"type\": \"object\""),
                       UserError);
  CHECK_THROWS_WITH_AS(tool_of(shell("true", {{"parameters", {{"type", "object"}, {"propertys", {}}}}})),
                       doctest::Contains("propertys"), UserError);
}

TEST_CASE("search: passages of files, the best first") {
  const TempFolder folder;
  const std::string text = folder.write(
      "a.txt", "The Rhine flows\ninto the North Sea.\n\n\nÉtretat lies at the sea.\n \nIron rusts.\n");
  const std::string lines =
      folder.write("b.jsonl", "{\"text\": \"It is a metal.\", \"title\": \"Iron\"}\n{\"text\": \"Lead.\"}\n");
  const auto tool = tool_of({{"kind", "search"}, {"files", {text, lines}}, {"results", 2}});
  CHECK(!tool->external());
  CHECK(tool->call({{"query", "étretat?"}}).text == "[1] Étretat lies at the sea.");
  CHECK(tool->call({{"query", "Where does the RHINE flow; into which sea"}}).text ==
        "[1] The Rhine flows\ninto the North Sea.\n\n[2] Étretat lies at the sea.");
  CHECK(tool->call({{"query", "iron metal"}}).text == "[1] Iron\nIt is a metal.\n\n[2] Iron rusts.");
  CHECK(tool->call({{"query", "gold"}}).text == "Nothing was found.");
  CHECK(tool->call({{"query", ""}}).text == "Nothing was found.");

  CHECK_THROWS_WITH_AS(tool_of({{"kind", "search"}, {"files", {folder.text("none.txt")}}}),
                       doctest::Contains("none.txt"), UserError);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "search"}, {"files", {folder.write("c.txt", "\n \n")}}}),
                       doctest::Contains("holds no passage"), UserError);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "search"}, {"files", {folder.write("d.txt", "?!\n")}}}),
                       doctest::Contains("there is no word in any passage"), UserError);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "search"}, {"files", {folder.write("e.txt", "\xff\n")}}}),
                       doctest::Contains("expected a text in UTF-8"), UserError);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "search"}, {"files", {lines}}, {"column", "body"}}),
                       doctest::Contains("body"), UserError);
}

TEST_CASE("http: arguments are posted, the answer's body is the result") {
  TempFolder folder;
  // A server of the standard library: /echo gives the body back, /bad 404, /slow never answers.
  const std::string script = folder.write("server.py", R"(
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/slow":
            time.sleep(3600)
        self.send_response(404 if self.path == "/bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
)");
  ChildProcess server({"python3", script});
  std::vector<std::string> lines;
  server.pump(ChildProcess::Clock::now() + std::chrono::seconds(60), lines);
  REQUIRE(lines.size() == 1);
  const auto tool = [&](const std::string& path, double timeout_s = 30) {
    return tool_of({{"kind", "http"},
                    {"name", "web"},
                    {"url", "http://127.0.0.1:" + lines[0] + path},
                    {"timeout_s", timeout_s},
                    {"retries", 0}});
  };
  CHECK(tool("/echo")->external());
  CHECK(tool("/echo")->call({{"a", "é"}}).text == "{\"a\":\"é\"}");
  const ToolResult bad = tool("/bad")->call(Json::object());
  CHECK(!bad.ok);
  CHECK(contains(bad.text, "404"));
  const ToolResult slow = tool("/slow", 0.3)->call(Json::object());
  CHECK(!slow.ok);
  CHECK(!slow.text.empty());
  CHECK(interrupted(*tool("/slow"), Json::object()) == "tool \"web\": interrupted");
  server.kill();
  CHECK(!tool("/echo")->call(Json::object()).ok);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "http"}, {"name", "web"}, {"url", "ftp://x"}}),
                       doctest::Contains("url"), UserError);
  CHECK_THROWS_WITH_AS(tool_of({{"kind", "http"}, {"url", "http://x"}}),
                       doctest::Contains("name: missing; expected what the policy calls it by"), UserError);
}

TEST_CASE("mcp: a server's tools, of all pages") {
  const auto tools = tools_of(server("good"));
  REQUIRE(tools.size() == 9);
  CHECK(tools[0]->signature().name == "echo");
  CHECK(tools[0]->signature().description == "says it again");
  CHECK(tools[1]->signature().parameters["required"] == Json::array({"a", "b"}));
  CHECK(tools[0]->external());
  const auto call = [&](size_t i, const Json& arguments) { return tools[i]->call(arguments); };
  CHECK(call(0, {{"text", "é\n"}}).text == "é\n");
  CHECK(call(1, {{"a", 2}, {"b", 3}}).text == "5");
  const ToolResult failed = call(2, Json::object()), raised = call(3, Json::object());
  CHECK(!failed.ok);
  CHECK(failed.text == "it did not work");
  CHECK(!raised.ok);
  CHECK(raised.text == "cannot do tools/call");
  CHECK(call(5, Json::object()).text == "Look:\n(\"image\" that cannot be shown)");
  CHECK(call(6, Json::object()).text == "{\"a\":1}");
  CHECK(call(7, Json::object()).text == call(7, Json::object()).text);  // one server for all
  CHECK(tools[0]->signature().checked);
  CHECK(!tools[8]->signature().checked);
  CHECK(call(8, {{"at", "x"}}).text == "{\"at\": \"x\"}");
}

TEST_CASE("mcp: asked by many threads at once") {
  const auto echo = named(tools_of(server("good")), "echo");
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string text = std::to_string(100 * t + i);
        right += echo->call({{"text", text}}).text == text ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 160);
}

TEST_CASE("mcp: a server that hangs or dies costs its call alone") {
  const auto start = std::chrono::steady_clock::now();
  const auto tools = tools_of(server("good", "", 3));
  const std::string pid = tools[7]->call(Json::object()).text;
  const ToolResult hung = tools[4]->call(Json::object());
  CHECK(!hung.ok);
  CHECK(hung.text == "the server gave no answer within 3 seconds");
  // It still hangs, so the next call is in vain too; then it is ended, and another one is started.
  CHECK(!tools[7]->call(Json::object()).ok);
  const ToolResult next = tools[7]->call(Json::object());
  CHECK(next.ok);
  CHECK(next.text != pid);

  const TempFolder folder;
  const auto once = named(tools_of(server("dies_once", folder.text("died"))), "echo");
  CHECK(once->call({{"text", "x"}}).text == "x");  // tried again
  const auto always = named(tools_of(server("dies")), "echo");
  for (int i = 0; i < 3; ++i) {
    const ToolResult died = always->call({{"text", "x"}});
    CHECK(!died.ok);
    CHECK(died.text == "the server ended");
  }
  CHECK(interrupted(*named(tools_of(server("good")), "hang"), Json::object()).ends_with("interrupted"));
  CHECK(since(start) < 120);
}

TEST_CASE("mcp: servers that are none are refused when the run begins") {
  CHECK_THROWS_WITH_AS(tools_of(server("no_tools")), doctest::Contains("it has no tools"), UserError);
  CHECK_THROWS_WITH_AS(tools_of(server("refuses")),
                       doctest::Contains("it refused \"initialize\": {\"jsonrpc\":\"2.0\",\"id\":"),
                       UserError);
  CHECK_THROWS_WITH_AS(tools_of(server("no_list")), doctest::Contains("cannot do tools/list"), UserError);
  CHECK_THROWS_WITH_AS(tools_of(server("mute", "", 0.5)),
                       doctest::Contains("it did not answer \"initialize\""), UserError);
  CHECK_THROWS_WITH_AS(tools_of({{"kind", "mcp"}, {"command", {"temper-no-such-program"}}}),
                       doctest::Contains("cannot start the program"), UserError);
  CHECK_THROWS_WITH_AS(tools_of({{"kind", "mcp"}, {"command", {"/bin/sh", "-c", "exit 3"}}}),
                       doctest::Contains("it does not list its tools"), UserError);
  Json entry = server("good");
  entry["only"] = {"add", "echo"};
  CHECK(tools_of(entry).size() == 2);
  entry["only"] = {"ad"};
  CHECK_THROWS_WITH_AS(tools_of(entry), doctest::Contains("it has no tool \"ad\"; it has: echo, add, fail"),
                       UserError);
}
