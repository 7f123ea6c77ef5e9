#include "reward/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "reward/entries.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

// A shell program: for each line, $line is the request and $id its id; `body` answers.
std::vector<std::string> program(const std::string& body, const std::string& before = "") {
  return {"/bin/sh", "-c",
          before + "\nwhile IFS= read -r line; do id=${line#*'\"id\":'}; id=${id%%,*}\n" + body + "\ndone"};
}
const std::string kOne = "echo \"{\\\"id\\\": $id, \\\"score\\\": 1}\"";

ProcessOptions process_options(const std::vector<std::string>& command, double timeout_s = 5) {
  ProcessOptions o;
  o.command = command;
  o.timeout_s = timeout_s;
  return o;
}

bool alive(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(in, text)) return false;
  const size_t after = text.rfind(')');
  return after != std::string::npos && text[after + 2] != 'Z';
}

// Whether this process has a child that it did not reap.
bool has_zombie() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

std::string scoring_problem(Reward& reward, const std::vector<RewardItem>& batch) {
  try {
    reward.score(batch);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("process: scores come back to their items, whatever their order") {
  // Holds the first answer back until the third, and answers half, null and true.
  const auto reward = process_options(program(R"(n=$((n+1))
case $n in 1) first=$id;; 2) echo "{\"id\": $id, \"score\": null}";;
3) echo "{\"id\": $id, \"score\": 0.5, \"why\": \"x\"}"; echo "{\"score\": true, \"id\": $first}"; n=0;; esac)"))
                          .make();
  for (int round = 0; round < 3; ++round) {
    const auto scores = reward->score(items({"a", "b", "c", "d", "e", "f"}));
    CHECK(shown(scores) == "1 null 0.5 1 null 0.5");
  }
  CHECK(reward->score({}).empty());
  CHECK(reward->counters().at("restarts") == 0);
  CHECK(reward->counters().at("nulls") == 6);
}

TEST_CASE("process: the request holds the item and its record") {
  TempFolder folder;
  const std::string log = (folder / "log").string();
  const auto reward = process_options(program("printf '%s\\n' \"$line\" >> " + log + "; " + kOne)).make();
  const Json columns = {{"answer", 3}, {"prompt", {"a chat"}}, {"id", "mine"}};
  RewardItem item;
  item.prompt = "P\n";
  item.completion = "C\"\xff";
  item.raw_completion = "C<end>";
  item.columns = &columns;
  item.tokens = 7;
  item.truncated = true;
  reward->score({item});
  const Json seen = parse_json(folder.read("log"), "log");
  CHECK(seen["id"] == 0);
  CHECK(seen["prompt"] == "P\n");
  CHECK(seen["completion"] == "C\"\xef\xbf\xbd");
  CHECK(seen["raw_completion"] == "C<end>");
  CHECK(seen["tokens"] == 7);
  CHECK(seen["truncated"] == true);
  CHECK(seen["answer"] == 3);
  CHECK(seen["record_prompt"] == columns["prompt"]);
  CHECK(seen["record_id"] == "mine");
}

TEST_CASE("process: thousands of items in flight fill no pipe for good") {
  const auto reward =
      process_options(program("echo noise >&2; echo \"{\\\"id\\\": $id, \\\"score\\\": ${#line}}\"")).make();
  std::vector<RewardItem> batch = items(std::vector<std::string>(3000));
  for (size_t i = 0; i < batch.size(); ++i) batch[i].completion = std::string(i % 7 == 0 ? 2000 : 10, 'x');
  const auto scores = reward->score(batch);
  for (size_t i = 0; i < batch.size(); ++i) {
    REQUIRE(scores[i].value.has_value());
    CHECK((*scores[i].value > 1000) == (i % 7 == 0));
  }
  CHECK(reward->counters().at("restarts") == 0);
}

TEST_CASE("process: an item that hangs is tried twice and null; the others are scored") {
  const auto reward =
      process_options(program("case $line in *hang*) sleep 100;; *) " + kOne + ";; esac"), 0.3).make();
  const auto start = std::chrono::steady_clock::now();
  const auto scores = reward->score(items({"a", "hang", "b", "c", "d"}));
  CHECK(shown(scores) == "1 null 1 1 1");
  CHECK(since(start) < 5);
  CHECK(reward->counters().at("timeouts") == 2);
  CHECK(reward->counters().at("restarts") == 2);
  CHECK(reward->score(items({"a"})).at(0) == 1.0);
}

TEST_CASE("process: it is started again when it dies, and the item tried once more") {
  TempFolder folder;
  const std::string mark = (folder / "mark").string();
  const auto once = process_options(program("case $line in *die*) [ -e " + mark + " ] || { touch " + mark +
                                            "; kill -9 $$; };; esac; " + kOne))
                        .make();
  CHECK(shown(once->score(items({"a", "die", "b"}))) == "1 1 1");
  CHECK(once->counters().at("restarts") == 1);
  CHECK(once->counters().at("nulls") == 0);
  const auto always = process_options(program("case $line in *die*) exit 3;; esac; " + kOne)).make();
  CHECK(shown(always->score(items({"a", "die", "b"}))) == "1 null 1");
  CHECK(always->counters().at("restarts") == 2);
}

TEST_CASE("process: what it says beside a score comes with it") {
  const auto reward = process_options(program(R"(case $line in
*why*) printf '%s\n' "{\"id\": $id, \"score\": null, \"text\": \"no r\u00e9sum\u00e9\\nin it\"}";;
*none*) echo "{\"id\": $id, \"score\": 1, \"text\": null}";;
*number*) echo "{\"id\": $id, \"score\": 1, \"text\": 5}";;
esac)"))
                          .make();
  const auto scores = reward->score(items({"why", "none", "number"}));
  CHECK(shown(scores) == "null 1 null");
  CHECK(scores[0].text == "no r\xc3\xa9sum\xc3\xa9\nin it");
  CHECK(scores[1].text.empty());
  CHECK(scores[0].outcome.empty());
  CHECK(reward->counters().at("malformed") == 2);  // a text that is none, tried twice
}

TEST_CASE("process: lines that are no answer are passed over or count as failures") {
  const auto reward = process_options(program(R"(case $line in
*noise*) echo loading; echo '{"id": 999, "score": 1}'; echo '[1,'; echo; echo "{\"id\": $id, \"score\": 2}";;
*nan*) echo "{\"id\": $id, \"score\": NaN}";;
*text*) echo "{\"id\": $id, \"score\": \"good\"}";;
*none*) echo "{\"id\": $id}";;
*twice*) echo "{\"id\": $id, \"score\": 3}"; echo "{\"id\": $id, \"score\": 4}";;
esac)"))
                          .make();
  const auto scores = reward->score(items({"noise", "nan", "text", "none", "twice"}));
  CHECK(shown(scores) == "2 null null null 3");
  CHECK(reward->counters().at("restarts") == 0);
  CHECK(reward->counters().at("malformed") >= 7);
}

TEST_CASE("process: too many nulls stop the run, with the program's last words") {
  const auto reward = process_options(program("exit 7", "echo 'Traceback: no module named foo' >&2")).make();
  const auto start = std::chrono::steady_clock::now();
  CHECK(scoring_problem(*reward, items(std::vector<std::string>(19, "x"))).empty());
  const std::string text = scoring_problem(*reward, items({"x"}));
  CAPTURE(text);
  CHECK(has(text, "20 of its last 20 scores are null"));
  CHECK(has(text, "no module named foo"));
  CHECK(has(text, "exited with 7"));
  CHECK(text.find('\n') == std::string::npos);
  CHECK(since(start) < 20);

  // A share: 10 nulls of 20 are allowed, 11 of 21 are not.
  const auto half =
      process_options(program("case $line in *bad*) echo \"{\\\"id\\\": $id, \\\"score\\\": null}\";; *) " +
                              kOne + ";; esac"))
          .make();
  for (int i = 0; i < 10; ++i) CHECK(scoring_problem(*half, items({"good", "bad"})).empty());
  CHECK(has(scoring_problem(*half, items({"bad"})), "11 of its last 21 scores are null"));
}

TEST_CASE("process: a program that is not there") {
  const auto start = [](const std::vector<std::string>& command) {
    try {
      process_options(command).make();
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(has(start({"temper-no-such-program"}),
            "cannot start the program \"temper-no-such-program\": No such file"));
  TempFolder folder;
  CHECK(has(start({folder.write("plain", "x")}), "Permission denied"));
  CHECK(has(start({folder.path().string()}), "cannot start"));
  std::vector<std::string> problems;
  ProcessOptions().check(problems, "rewards.0");
  CHECK(has(problems.at(0), "rewards.0.command: missing"));
  problems.clear();
  process_options({"python3 reward.py"}).check(problems, "rewards.0");
  CHECK(has(problems.at(0), "strings of their own"));
}

TEST_CASE("process: nothing of it stays behind") {
  TempFolder folder;
  const std::string pids = (folder / "pids").string();
  {
    const auto reward =
        process_options(program(kOne, "trap '' TERM INT HUP; sleep 1000 & echo $! $$ > " + pids)).make();
    CHECK(reward->score(items({"a"})).at(0) == 1.0);
  }
  std::ifstream in(pids);
  int helper = 0, leader = 0;
  in >> helper >> leader;
  REQUIRE(leader > 0);
  for (int i = 0; i < 100 && (alive(helper) || alive(leader)); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK_FALSE(alive(helper));
  CHECK_FALSE(alive(leader));
  CHECK_FALSE(has_zombie());
}

TEST_CASE("process: it gets none of our descriptors, and one that reads nothing kills nobody") {
  const int leak = ::open("/dev/null", O_RDONLY);  // without close-on-exec
  const auto reward =
      process_options(program("set -- /proc/$$/fd/*; echo \"{\\\"id\\\": $id, \\\"score\\\": $#}\"")).make();
  const auto open = reward->score(items({"a"})).at(0).value;
  ::close(leak);
  CHECK(*open <= 4);  // its three, and perhaps one of the shell's own
  auto deaf = process_options({"/bin/sh", "-c", "exec 0<&-; sleep 0.2; exit 1"}, 2);
  deaf.fail_share = 1;
  const auto scores =
      deaf.make()->score(items({std::string(1 << 20, 'x')}));  // more than a pipe holds: SIGPIPE
  CHECK_FALSE(scores.at(0).value.has_value());
}

TEST_CASE("process: a flood of output is no answer") {
  auto flood = process_options({"/bin/sh", "-c", "while :; do echo flood; echo flood >&2; done"}, 0.3);
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(flood.make()->score(items({"x"})).at(0).value.has_value());
  CHECK(since(start) < 5);
  auto endless = process_options({"/bin/sh", "-c", "exec tr '\\0' x < /dev/zero"}, 5);
  CHECK_FALSE(endless.make()->score(items({"x"})).at(0).value.has_value());
  CHECK(since(start) < 20);
  // Why it was killed is told.
  endless.fail_share = 0;
  const std::string text = scoring_problem(*endless.make(), items(std::vector<std::string>(20, "x")));
  CHECK(has(text, "it last wrote a line longer than 16 MB and was killed"));
}

TEST_CASE("process: one that never answers, or falls silent, ends the run soon, however large the batch") {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> many(500, "x");
  const std::string never =
      scoring_problem(*process_options({"/bin/sleep", "1000"}, 0.1).make(), items(many));
  CHECK(has(never, "it has never given an answer; so far 5 time-outs"));
  CHECK(has(never, "it last gave no answer in time"));
  // One answer, then none: the item that waited longest is tried again at once, so nulls come soon.
  auto once = process_options(program("[ -e \"$0\" ] || { " + kOne + "; touch \"$0\"; }; exit 3"));
  TempFolder folder;
  once.command.push_back((folder / "mark").string());
  once.fail_share = 0.1;
  const std::string silent = scoring_problem(*once.make(), items(many));
  CHECK(has(silent, "19 of its last 20 scores are null"));
  CHECK(has(silent, "so far 0 time-outs, 38 restarts"));
  CHECK(since(start) < 60);
}

TEST_CASE("process: whoever waits for it can leave") {
  RewardEntry entry;
  entry.kind = "process";
  entry.options = std::make_unique<ProcessOptions>(process_options({"/bin/sleep", "1000"}, 600));
  std::vector<RewardEntry> entries;
  entries.push_back(std::move(entry));
  RewardSet rewards(entries);
  const auto start = std::chrono::steady_clock::now();
  int looks = 0;
  CHECK_THROWS_AS(rewards.score(items({"x"}),
                                [&] {
                                  if (++looks == 3) throw Interrupted(15);
                                }),
                  Interrupted);
  CHECK(since(start) < 5);
}
