// External environments: programs that hold the other side of conversations, and those that misbehave.
#include "env/external_environment.h"

#include <chrono>
#include <future>

#include "base/error.h"
#include "env/line_client.h"
#include "temp_folder.h"
#include "test.h"
#include "wire_server.h"

using namespace temper;

namespace {

// Says back how often it was asked in this conversation; a word of the policy's makes it misbehave.
const char* const kGame = R"(
import json, os, sys, time
turns = {}
for line in sys.stdin:
    m = json.loads(line)
    number, out = m.get("conversation"), {"id": m.get("id")}
    if "reset" in m:
        turns[number] = 0
        out["messages"] = [{"role": "user", "content": "seed %d" % m["reset"]["seed"]}]
    elif "cut" in m:
        out["reward"] = -turns[number]
    elif "close" in m:
        turns.pop(number)
        continue
    else:
        text = m["step"]["text"]
        turns[number] += 1
        out.update(messages=[{"role": "user", "content": "turn %d of %d games" % (turns[number], len(turns))}], state="s%d" % turns[number],
                   reward=0.5, figures={"asked": 1})
        if text == "over": out = {"id": m["id"], "over": True, "reward": 1}
        if text == "nothing": out = {"id": m["id"]}
        if text == "nan": print('{"id": %d, "over": true, "reward": NaN}' % m["id"], flush=True); continue
        if text == "role": out["messages"] = [{"content": "x"}]
        if text == "number": out["messages"] = [{"role": "user", "content": 5}]
        if text == "late": time.sleep(0.4)
        if text == "hang": time.sleep(60)
        if text == "die": os._exit(3)
        if text == "flood": print("x" * 20000000, flush=True); continue
        if text == "chatter": print("loading ...", flush=True)
        if text == "megabyte": out["messages"][0]["content"] = "y" * 1000000
    print(json.dumps(out), flush=True)
)";

struct Game {
  explicit Game(double timeout_s = 0.25, double fail_share = 1.0) {
    options.command = {"python3", folder.write("game.py", kGame)};
    options.timeout_s = timeout_s;
    options.fail_share = fail_share;
    source = options.make();
  }
  std::unique_ptr<Environment> start() {
    return source->start({record, RandomStream(1, "test"), 77 << 11, false});
  }
  static PolicyTurn says(const std::string& text, bool last = false) {
    return {.text = text, .raw_text = text, .finish = FinishReason::kEnd, .tokens = 1, .last = last};
  }
  TempFolder folder;
  ProcessEnvironmentOptions options;
  Record record{{{"prompt", "p"}, {"answer", 4}}, "f.jsonl", 1};
  std::unique_ptr<EnvironmentSource> source;
};

}  // namespace

TEST_CASE("an external environment answers, judges and ends conversations") {
  Game game(10);
  const auto opening = game.source->opening(game.record, 77 << 11);
  REQUIRE(opening.size() == 1);
  CHECK(opening[0]["content"] == "seed 77");
  auto a = game.start(), b = game.start();
  Reply reply = a->reply(Game::says("hello"));
  CHECK(reply.messages.at(0)["content"] == "turn 1 of 2 games");  // the opening's own, and this one
  CHECK(reply.reward == 0.5);
  CHECK(reply.state == "s1");
  CHECK(reply.figures.at("asked") == 1);
  CHECK_FALSE(reply.over);
  CHECK(b->reply(Game::says("hello")).messages.at(0)["content"] == "turn 1 of 3 games");
  CHECK(a->reply(Game::says("chatter")).messages.at(0)["content"] == "turn 2 of 3 games");
  CHECK(a->reply(Game::says("megabyte")).messages.at(0)["content"].get<std::string>().size() == 1000000);
  reply = a->reply(Game::says("over"));
  CHECK(reply.over);
  CHECK(reply.reward == 1.0);
  a.reset();
  CHECK(b->cut().reward == -1.0);
  CHECK(b->reply(Game::says("hello")).messages.at(0)["content"] == "turn 2 of 2 games");
}

TEST_CASE("a conversation whose answer is late, wrong or missing ends without a reward, and others go on") {
  for (const char* fault : {"nothing", "nan", "role", "number", "late"}) {
    CAPTURE(fault);
    Game game;
    auto other = game.start();
    CHECK_FALSE(other->reply(Game::says("hello")).over);
    const Reply reply = game.start()->reply(Game::says(fault));
    CHECK(reply.over);
    CHECK_FALSE(reply.reward.has_value());
    CHECK(reply.figures.at("failed") == 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // until it is awake again
    CHECK_FALSE(other->reply(Game::says("hello")).over);
  }
}

TEST_CASE("a program that ends or falls silent is started again for later conversations") {
  for (const char* fault : {"die", "hang", "flood"}) {
    CAPTURE(fault);
    Game game(0.5);
    auto other = game.start();
    CHECK_FALSE(other->reply(Game::says("hello")).over);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(game.start()->reply(Game::says(fault)).over);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
    const Reply lost = other->reply(Game::says("hello"));  // what knew it is gone
    CHECK(lost.over);
    CHECK_FALSE(lost.reward.has_value());
    CHECK(game.start()->reply(Game::says("hello")).messages.at(0)["content"] == "turn 1 of 1 games");
  }
}

TEST_CASE("past a share of failed conversations, and without any answer, the run stops in one line") {
  Game game(0.25, 0.5);
  for (int i = 0; i < 9; ++i) CHECK(game.start()->reply(Game::says("over")).over);
  for (int i = 0; i < 10; ++i) CHECK(game.start()->reply(Game::says("role")).over);
  CHECK_THROWS_WITH_AS(
      [&] {
        for (int i = 0; i < 3; ++i) game.start()->reply(Game::says("role"));
      }(),
      doctest::Contains("too many of its last conversations failed"), UserError);

  LineClient dead({"/bin/sh", "-c", "echo no such module >&2; exit 7"}, 5, 5);
  int64_t answers = 0;
  const auto ask = [&] {
    for (int i = 0; i < 9; ++i) answers += dead.ask({{"reset", 1}}) ? 1 : 0;
  };
  CHECK_THROWS_WITH_AS(ask(), doctest::Contains("exited with 7; it wrote: no such module"), UserError);
  CHECK(answers == 0);
}

TEST_CASE("many threads ask at once, and an interruption ends their waiting") {
  Game game(10);
  std::vector<std::future<std::string>> all;
  for (int i = 0; i < 12; ++i) {
    all.push_back(std::async(std::launch::async, [&] {
      auto one = game.start();
      std::string said;
      for (int turn = 0; turn < 20; ++turn)
        said = one->reply(Game::says("hello")).messages.at(0)["content"].get<std::string>();
      return said.substr(0, 7);
    }));
  }
  for (auto& one : all) CHECK(one.get() == "turn 20");
  auto waiting = std::async(std::launch::async, [&] { return game.start()->reply(Game::says("hang")).over; });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  game.source->interrupt();
  REQUIRE(waiting.wait_for(std::chrono::seconds(5)) == std::future_status::ready);
  CHECK_THROWS_WITH_AS(waiting.get(), doctest::Contains("interrupted"), UserError);
}

TEST_CASE("a server holds conversations by POSTs, and one that misbehaves costs a conversation") {
  std::atomic<int> closed = 0;
  WireServer server([&](const WireServer::Peer& peer) {
    const Json asked = Json::parse(peer.body);
    if (asked.contains("close")) {
      ++closed;
      return peer.answer(200, "{}");
    }
    if (asked.contains("reset"))
      return peer.answer(200, R"({"messages": [{"role": "user", "content": "go"}]})");
    const auto text = asked["step"]["text"].get<std::string>();
    if (text == "over") return peer.answer(200, R"({"over": true, "reward": 0.25, "figures": {"hits": 2}})");
    if (text == "html") return peer.answer(200, "<html>busy</html>");
    if (text == "nan") return peer.answer(200, R"({"over": true, "reward": NaN})");
    if (text == "broken") return peer.answer(500, "oh");
    if (text == "hang") {
      peer.sleep(30);
      return;
    }
    peer.answer(200, R"({"messages": [{"role": "user", "content": "on"}], "state": "s"})");
  });
  HttpEnvironmentOptions options;
  options.http.url = server.url("/");
  options.http.timeout_s = 0.5, options.http.retries = 1, options.http.backoff_s = 0.01;
  options.fail_share = 1.0;
  const auto source = options.make();
  const Record record{{{"prompt", "p"}}, "f.jsonl", 1};
  const auto says = [](const std::string& text) { return Game::says(text); };
  CHECK(source->opening(record, 5).at(0)["content"] == "go");
  CHECK(source->external());
  {
    auto one = source->start({record, RandomStream(1, "test"), 5, false});
    CHECK(one->reply(says("hello")).messages.at(0)["content"] == "on");
    const Reply reply = one->reply(says("over"));
    CHECK(reply.over);
    CHECK(reply.reward == 0.25);
    CHECK(reply.figures.at("hits") == 2);
  }
  CHECK(closed == 1);
  for (const char* fault : {"html", "nan", "broken", "hang"}) {
    CAPTURE(fault);
    auto one = source->start({record, RandomStream(1, "test"), 5, false});
    const Reply reply = one->reply(says(fault));
    CHECK(reply.over);
    CHECK_FALSE(reply.reward.has_value());
    CHECK(reply.figures.at("failed") == 1);
  }
}

TEST_CASE("a server that refuses, or is not there, stops the run in one line") {
  WireServer server([&](const WireServer::Peer& peer) { peer.answer(403, "no"); });
  HttpEnvironmentOptions options;
  options.http.url = server.url("/");
  options.http.retries = 0;
  const Record record{{{"prompt", "p"}}, "f.jsonl", 1};
  CHECK_THROWS_WITH_AS(options.make()->opening(record, 5), doctest::Contains("403"), UserError);
  options.http.url = "http://127.0.0.1:9/";
  options.http.timeout_s = 1;
  const auto source = options.make();
  CHECK_THROWS_AS(source->opening(record, 5), UserError);
  CHECK_THROWS_WITH_AS(source->opening(record, 5), doctest::Contains("5 questions and no answer"), UserError);
}
