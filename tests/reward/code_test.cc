#include "reward/code.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "reward/program_text.h"
#include "test.h"

using namespace temper;

namespace {

CodeOptions code_options(const std::string& score) {
  CodeOptions o;
  o.score = score;
  o.workers = 4;
  o.limits.wall_s = 10;
  return o;
}

std::string shown_short(const std::vector<Score>& scores) {
  std::string out;
  for (const auto& score : scores)
    out += (out.empty() ? "" : " ") + (score.value ? fmt::format("{:.4g}", *score.value) : "null");
  return out;
}

std::string scores(const CodeOptions& o, const std::vector<std::string>& completions, const Json& columns) {
  std::vector<RewardItem> items;
  for (const std::string& text : completions) {
    items.emplace_back();
    items.back().completion = text;
    items.back().columns = &columns;
  }
  return shown_short(o.make()->score(items));
}

}  // namespace

TEST_CASE("code: which block of a completion is the program") {
  const std::vector<std::string> python = {"", "python"};
  CHECK(last_block("a\n```python\nx = 1\n```\nb\n```\ny = 2\n```\nc", python) == "y = 2\n");
  CHECK(last_block("```Python title=\"a\"\nx = 1\n```\n```text\nout\n```", python) == "x = 1\n");
  CHECK(last_block("```python\nx = 1\n", python) == "x = 1\n\n");
  CHECK(last_block("````\n```\nx\n```\n````", python) == "```\nx\n```\n");
  CHECK(last_block("``` x ```\n```\r\nx\r\n```\r\n", python) == "x\r\n");
  CHECK(last_block("```\n```", python) == "");
  CHECK_FALSE(last_block("no block", python).has_value());
  CHECK_FALSE(last_block("```text\nx\n```", python).has_value());
  CHECK_FALSE(last_block("", python).has_value());
}

TEST_CASE("code: outputs are compared by trimmed lines") {
  CHECK(same_output("1 \n 2\n\n", "1\n2"));
  CHECK(same_output("", "\n"));
  CHECK_FALSE(same_output("1\n\n2", "1\n2"));
  CHECK_FALSE(same_output("1 2", "1  2"));
  CHECK_FALSE(same_output("1.0", "1"));
}

TEST_CASE("code: assert lines, by all three scores, in the items' order") {
  const std::vector<std::string> completions = {
      "Here:\n```python\ndef f(x):\n    return x + 1\n```\nDone.",  // right
      "```python\ndef f(x):\n    return 2\n```",                    // one of three
      "```python\ndef f(x):\n    raise KeyError(x)\n```",           // an error
      "```python\ndef f(x)\n    return x\n```",                     // does not compile
      "def f(x):\n    return x + 1 if x else 1 // x",               // an error in one
      "```python\nimport os\nos._exit(0)\n```",                     // leaves before its tests
      read_file(test_file("reward/hostile/leaves_early.py")),
      // Fails behind its tests.
      "def f(x):\n    return x + 1\nimport atexit, os\natexit.register(lambda: os._exit(1))",
  };
  const Json columns = {{"tests", {"assert f(1) == 2", "assert f(0) == 1, 'zero'", "assert f(2) == 3"}}};
  CHECK(scores(code_options("all"), completions, columns) == "1 0 0 0 0 0 0 0");
  CHECK(scores(code_options("share"), completions, columns) == "1 0.3333 0 0 0.6667 0 0 0");
  CHECK(scores(code_options("coderl"), completions, columns) == "1 -0.3 -0.6 -1 -0.6 -0.6 -0.6 -0.6");
  const Json lines = {{"tests", "assert f(1) == 2\nassert f(0) == 1\n\nassert f(2) == 3\n"}};
  CHECK(scores(code_options("share"), {completions[1]}, lines) == "0.3333");
  const Json whole = {{"tests", "def check(g):\n    assert g(1) == 2\ncheck(f)\n"}};
  CHECK(scores(code_options("share"), {completions[0], completions[1]}, whole) == "1 1");
}

TEST_CASE("code: a test sees nothing of the one before it") {
  const std::string program = "seen = []\ndef f():\n    seen.append(1)\n    return len(seen)";
  const Json columns = {{"tests", {"assert f() == 1", "assert f() == 1", "assert open('x', 'x')"}}};
  CHECK(scores(code_options("share"), {program, program + "\nopen('y', 'x')"}, columns) == "1 1");
}

TEST_CASE("code: standard input and output") {
  const Json columns = {{"inputs", {"1 2\n", "3 4\n"}}, {"outputs", {"3\n", 7}}};
  const std::vector<std::string> completions = {
      "```\na, b = map(int, input().split())\nprint(a + b)\n```", "print(3)",
      "print(3)\nraise SystemExit(1)",  // what is right does not count before a failure
      "print(", "import time\ntime.sleep(1000)"};
  CodeOptions o = code_options("coderl");
  o.limits.wall_s = 3;
  const auto reward = o.make();
  std::vector<RewardItem> items;
  for (const std::string& text : completions) {
    items.emplace_back();
    items.back().completion = text;
    items.back().columns = &columns;
  }
  CHECK(shown_short(reward->score(items)) == "1 -0.3 -0.6 -1 -0.6");
  CHECK(reward->counters().at("timeouts") == 1);
  CHECK(scores(code_options("share"), {completions[0], completions[1]}, columns) == "1 0.5");
}

TEST_CASE("code: the outcome and the words of the worst test") {
  const Json columns = {{"tests", {"assert f(1) == 2", "assert f(0) == 1, 'zero'", "assert f(2) == 3"}}};
  const std::vector<std::string> completions = {
      "print('\xc3\xa9')\ndef f(x):\n    return x + 1",
      "def f(x):\n    return 2",
      "def f(x):\n    raise KeyError(x)",
      "def f(x)\n    return x",
      "import sys\ndef f(x):\n    sys.stdout.buffer.write(b'\\xff' + b'a' * 9000 + b'z')\n    sys.exit(3)",
  };
  std::vector<RewardItem> items;
  for (const std::string& text : completions) {
    items.emplace_back();
    items.back().completion = text;
    items.back().columns = &columns;
  }
  const std::vector<std::string> outcomes = {"compile_error", "runtime_error", "failed_test", "passed"};
  for (const char* how : {"all", "share", "coderl"}) {
    CAPTURE(how);
    const auto reward = code_options(how).make();
    CHECK(reward->outcomes() == outcomes);
    const auto scores = reward->score(items);
    CHECK(scores[0].outcome == "passed");
    CHECK(scores[0].text == "standard output:\n\xc3\xa9");
    CHECK(scores[1].outcome == "failed_test");
    CHECK(scores[1].text.starts_with("exit code 1\nstandard error:\nTraceback (most recent call last):\n"));
    CHECK(scores[1].text.find("\nAssertionError: zero") != std::string::npos);
    CHECK(scores[1].text.find("File \"program.py\"") != std::string::npos);  // not where it was run
    CHECK(scores[2].outcome == "runtime_error");
    CHECK(scores[2].text.find("KeyError: 1") != std::string::npos);
    CHECK(scores[3].outcome == "compile_error");
    CHECK(scores[3].text.find("SyntaxError") != std::string::npos);
    CHECK(scores[4].outcome == "runtime_error");
    const std::string a(2047, 'a');
    CHECK(scores[4].text ==
          "exit code 3\nstandard output:\n\xef\xbf\xbd" + a + "\n[4906 bytes left out]\n" + a + "z");
    CHECK((reward->score(items) == scores));  // no word of chance in it
  }
  const Json none = {{"tests", Json::array()}};
  items = {items[0]};
  items[0].columns = &none;
  const auto unknown = code_options("all").make()->score(items);
  CHECK(unknown[0].outcome.empty());
  CHECK(unknown[0].text.empty());
}

TEST_CASE("code: texts are cut between characters") {
  std::string text(2047, 'a');
  text += "\xc3\xa9";  // across the end of the head
  text += std::string(100, 'b') + "\xc3\xa9" + std::string(2047, 'c');
  CHECK(head_and_tail(text) == std::string(2047, 'a') + "\n[104 bytes left out]\n" + std::string(2047, 'c'));
  CHECK(head_and_tail(text.substr(0, 2148)) == text.substr(0, 2148));
  CHECK(head_and_tail(std::string(4096, '\x80')).size() == 3 * 4096);
  CHECK(head_and_tail("") == "");
}

TEST_CASE("code: another interpreter") {
  CodeOptions o = code_options("coderl");
  o.languages = {"sh"};
  o.command = {"sh"};
  std::vector<std::string> problems;
  o.check(problems, "r");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].starts_with("r.compile_command: is Python's, but the command is sh"));
  o.compile_command = {"sh", "-n"};
  o.finish = "echo {a}\"\"{b}";
  const Json columns = {{"tests", {"[ \"$(f)\" = 1 ] || { echo FAILED >&2; exit 1; }"}}};
  o.failure = "FAILED";
  CHECK(scores(o,
               {"```sh\nf() { echo 1; }\n```", "```sh\nf() { echo 2; }\n```", "```sh\nf() {\n```",
                "```sh\nexit 0\n```"},
               columns) == "1 -0.3 -1 -0.6");
}

TEST_CASE("code: what a record must have") {
  const auto reward = code_options("all").make();
  CHECK_THROWS_WITH_AS(reward->check({{"answer", 1}}), doctest::Contains("neither a column \"tests\""),
                       UserError);
  CHECK_THROWS_WITH_AS(reward->check({{"inputs", {"1"}}}), doctest::Contains("\"outputs\""), UserError);
  CHECK(reward->check({{"tests", Json::array()}}).has_value());
  CHECK(reward->check({{"inputs", {"1"}}, {"outputs", {"1", "2"}}}).has_value());
  CHECK_FALSE(reward->check({{"tests", {"assert True"}}}).has_value());
  CHECK(scores(code_options("all"), {"x = 1"}, {{"tests", Json::array()}}) == "null");
  CHECK_THROWS_AS(scores(code_options("all"), {"x = 1", "x = 2"}, {{"answer", 1}}), UserError);
  CodeOptions missing;
  missing.command = {"no-such-interpreter"};
  CHECK_THROWS_WITH_AS(missing.make(), doctest::Contains("no program \"no-such-interpreter\""), UserError);
}
