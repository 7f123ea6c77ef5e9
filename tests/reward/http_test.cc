#include <chrono>
#include <future>
#include <mutex>

#include "base/error.h"
#include "base/json.h"
#include "reward/entries.h"
#include "reward/item_json.h"
#include "reward/remote/http_reward.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"
#include "wire_server.h"

using namespace temper;

namespace {

using Peer = WireServer::Peer;

HttpRewardOptions http_options(const std::string& url, int64_t retries = 0) {
  HttpRewardOptions o;
  o.remote.http.url = url;
  o.remote.http.retries = retries;
  o.remote.http.backoff_s = 0.02;
  o.remote.http.timeout_s = 20;
  o.remote.fail_share = 1;
  return o;
}

// Scores each item by the length of its completion.
std::string scored(const std::string& body) {
  Json out = Json::array();
  const Json request = parse_json(body, "request");
  for (const Json& item : request["items"])
    out.push_back({{"id", item["id"]}, {"score", item["completion"].get<std::string>().size()}});
  return dump_line({{"items", out}});
}

// The scores of five items of which the server answers the second request as it is told, and the first and
// third rightly; and what was counted.
std::string second(const WireServer::Handler& handler, std::map<std::string, int64_t>* counters = nullptr,
                   int64_t retries = 0) {
  const WireServer server([&](const Peer& peer) {
    if (has(peer.body, "bad"))
      handler(peer);
    else
      peer.answer(200, scored(peer.body));
  });
  HttpRewardOptions o = http_options(server.url(), retries);
  o.batch_size = 2;
  o.remote.in_flight = 1;
  o.remote.http.timeout_s = 0.5;
  o.remote.http.max_answer_bytes = 1 << 20;
  const auto reward = o.make();
  const std::string out = shown(reward->score(items({"x", "xx", "bad1", "bad22", "xxx"})));
  if (counters != nullptr) *counters = reward->counters();
  return out;
}

WireServer::Handler text(const std::string& body, int status = 200, const std::string& headers = "") {
  return [=](const Peer& peer) { peer.answer(status, body, headers); };
}

}  // namespace

TEST_CASE("http reward: the request, and scores that come back to their items") {
  std::vector<Json> seen;
  std::mutex mutex;
  const WireServer server([&](const Peer& peer) {
    const std::lock_guard lock(mutex);
    seen.push_back(parse_json(peer.body, "request"));
    // Backwards.
    Json out = Json::array();
    for (auto item = seen.back()["items"].rbegin(); item != seen.back()["items"].rend(); ++item) {
      const std::string completion = (*item)["completion"];
      out.push_back({{"id", (*item)["id"]},
                     {"score", completion == "none"  ? Json()
                               : completion == "yes" ? Json(true)
                                                     : Json(0.25)},
                     {"text", "why"}});
    }
    peer.answer(200, dump_line({{"items", out}, {"more", 1}}));
  });
  HttpRewardOptions o = http_options(server.url());
  o.batch_size = 3;
  o.remote.in_flight = 1;
  const auto reward = o.make();
  CHECK(reward->each_alone());
  CHECK(reward->external());
  const Json columns = {{"answer", 3}, {"prompt", {"a chat"}}, {"id", "mine"}};
  std::vector<RewardItem> batch = items({"yes", "none", "C\"\xff", "yes"});
  batch[2].prompt = "P\n";
  batch[2].raw_completion = "C<end>";
  batch[2].columns = &columns;
  batch[2].tokens = 7;
  batch[2].truncated = true;
  CHECK(shown(reward->score(batch)) == "1 null 0.25 1");
  const auto texts = reward->score(items({"none", "yes"}));
  CHECK(shown(texts) == "null 1");
  CHECK(texts[0].text == "why");
  CHECK(texts[1].text == "why");
  CHECK(reward->score({}).empty());
  REQUIRE(seen.size() == 3);
  CHECK(seen[0]["items"].size() == 3);
  CHECK(
      dump_line(seen[0]["items"][2]) ==
      "{\"id\":2,\"prompt\":\"P\\n\",\"completion\":\"C\\\"\xef\xbf\xbd\",\"raw_completion\":\"C<end>\","
      "\"tokens\":7,\"truncated\":true,\"answer\":3,\"record_prompt\":[\"a chat\"],\"record_id\":\"mine\"}");
  CHECK(seen[2]["items"][1]["id"] == 5);
  CHECK(reward->counters() == std::map<std::string, int64_t>{{"retries", 0},
                                                             {"timeouts", 0},
                                                             {"connection_errors", 0},
                                                             {"http_errors", 0},
                                                             {"malformed", 0},
                                                             {"nulls", 2}});
}

TEST_CASE("http reward: answers that are none, each with its count") {
  const auto check = [](const WireServer::Handler& handler, const std::string& scores,
                        const std::string& counter, int64_t count = 1) {
    std::map<std::string, int64_t> counters;
    CHECK(second(handler, &counters) == scores);
    CAPTURE(counter);
    for (const char* name : {"timeouts", "connection_errors", "http_errors", "malformed"})
      CHECK(counters.at(name) == (name == counter ? count : 0));
  };
  const std::string lost = "1 2 null null 3";
  check(text("<!DOCTYPE html><html>busy</html>"), lost, "malformed");
  check(text(""), lost, "malformed");
  check(text("{\"items\": [{\"id\": 2, \"score\""), lost, "malformed");
  check(text("[0.5, 0.5]"), lost, "malformed");
  check(text("{\"scores\": [0.5, 0.5]}"), lost, "malformed");
  check(text("{\"items\": {\"2\": 0.5}}"), lost, "malformed");
  check(text("{\"items\": []}"), lost, "malformed");
  check(text("{\"items\": [{\"id\": 2, \"score\": 0.5}]}"), "1 2 0.5 null 3", "malformed");
  check(text(R"({"items": [{"id": 2, "score": 0.5}, {"id": 3, "score": NaN}]})"), "1 2 0.5 null 3",
        "malformed");
  check(text(R"({"items": [{"id": 2, "score": 0.5}, {"id": 3, "score": 1e999}]})"), lost, "malformed");
  check(text(R"({"items": [{"id": 2, "score": 0.5}, {"id": 3, "score": "good"}]})"), "1 2 0.5 null 3",
        "malformed");
  check(text(R"({"items": [{"id": 2, "score": 0.5}, {"id": 3}]})"), "1 2 0.5 null 3", "malformed");
  // An item of another request, an item twice, one too many: the others count.
  check(text(R"({"items": [{"id": 2, "score": 0.5}, {"id": 0, "score": 9}, {"id": 3, "score": 0.5}]})"),
        "1 2 0.5 0.5 3", "malformed");
  check(text(R"({"items": [{"id": 2, "score": 0.5}, {"id": 2, "score": 9}, {"id": 3, "score": 0.5}]})"),
        "1 2 0.5 0.5 3", "malformed");
  check(text("bad request", 400), lost, "http_errors");
  check(text("gone", 404), lost, "http_errors");  // after an answer it is like any other
  check(text("", 302, "Location: http://example.org/\r\n"), lost, "http_errors");
  check(text("oops", 500), lost, "http_errors");
  check([](const Peer& peer) { peer.sleep(30); }, lost, "timeouts");
  check([](const Peer& peer) { peer.write("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"); }, lost,
        "connection_errors");
  check(
      [](const Peer& peer) {
        peer.write("HTTP/1.1 200 OK\r\n\r\n");
        const std::string block(1 << 16, ' ');
        while (peer.write(block)) {
        }
      },
      lost, "malformed");
}

TEST_CASE("http reward: what passes is tried again") {
  std::atomic<int> count = 0;
  std::map<std::string, int64_t> counters;
  const auto third = [&](const Peer& peer) {
    if (++count <= 2)
      peer.answer(500, "");
    else
      peer.answer(200, scored(peer.body));
  };
  CHECK(second(third, &counters, 2) == "1 2 4 5 3");
  CHECK(counters["retries"] == 2);
  CHECK(counters["http_errors"] == 0);
}

TEST_CASE("http reward: what waiting does not mend ends the run at once, in one line") {
  const auto told = [](const WireServer::Handler& handler) {
    const WireServer server(handler);
    const auto start = std::chrono::steady_clock::now();
    const auto reward = http_options(server.url(), 50).make();
    const std::string out = problem([&] { reward->score(items({"a", "b"})); });
    CHECK(out.find('\n') == std::string::npos);
    CHECK(since(start) < 5);
    CHECK(has(out, "reward http: " + server.url()));
    return out;
  };
  CHECK(has(told(text("no\nkey", 401)), "answered with status 401: no key"));
  CHECK(has(told(text("", 403)), "answered with status 403"));
  CHECK(has(told(text("", 404)), "answered with status 404"));
  CHECK(has(told(text("", 405)), "answered with status 405"));
  CHECK(has(told(text("", 301, "Location: /new\r\n")), "a redirect to /new, which is not followed"));
}

TEST_CASE("http reward: one that never answers, or too seldom, ends the run") {
  std::string url;
  {
    const WireServer gone([](const Peer&) {});
    url = gone.url();
  }
  const auto never = http_options(url, 6).make();
  const std::string told = problem([&] { never->score(items({"a"})); });
  CHECK(has(told, "no answer of the right kind in its first 7 attempts"));
  CHECK(has(told, "7 requests, 6 of them further attempts; 0 time-outs, 1 connections lost"));
  CHECK(has(told, "the last trouble: " + url + ": no connection"));
  // Without retries it takes five.
  const auto once = http_options(url).make();
  for (int i = 0; i < 4; ++i) CHECK(shown(once->score(items({"a"}))) == "null");
  CHECK(has(problem([&] { once->score(items({"a"})); }), "in its first 5 attempts"));
  // HTML is no answer either.
  const WireServer page(text("<html>"));
  HttpRewardOptions o = http_options(page.url());
  o.batch_size = 1;
  const auto html = o.make();
  const std::string pages = problem([&] { html->score(items(std::vector<std::string>(40, "a"))); });
  CHECK(has(pages, "no answer of the right kind in its first 5 attempts"));
  CHECK(has(pages, "no JSON {\"items\": [{\"id\", \"score\"}, ...]}: <html>"));

  // A share of nulls: 10 of 20 are allowed, 11 of 21 are not.
  const WireServer half([](const Peer& peer) {
    if (has(peer.body, "bad"))
      peer.answer(400, "bad");
    else
      peer.answer(200, scored(peer.body));
  });
  o = http_options(half.url());
  o.batch_size = 1;
  o.remote.in_flight = 1;
  o.remote.fail_share = 0.5;
  const auto reward = o.make();
  for (int i = 0; i < 10; ++i) CHECK(shown(reward->score(items({"good", "bad"}))) == "4 null");
  const std::string share = problem([&] { reward->score(items({"bad"})); });
  CHECK(has(share, "11 of its last 21 scores are null, more than fail_share 0.5 allows"));
  CHECK(has(share, "answered with status 400: bad"));
}

TEST_CASE("http reward: as many in flight as allowed, and no more") {
  std::atomic<int> now = 0, most = 0, expected = 32;
  const WireServer server([&](const Peer& peer) {
    const int running = ++now;
    for (int seen = most; seen < running && !most.compare_exchange_weak(seen, running);) {
    }
    // No answer before all are there, so that no slow start of a thread can hide one.
    for (int i = 0; i < 200 && most < expected; ++i) peer.sleep(0.05);
    peer.sleep(0.05);
    --now;
    peer.answer(200, scored(peer.body));
  });
  HttpRewardOptions o = http_options(server.url());
  o.batch_size = 1;
  const auto reward = o.make();
  const auto scores = reward->score(items(std::vector<std::string>(32, "abc")));
  for (const Score& score : scores) CHECK(score.value == 3.0);
  CHECK(most == 32);
  // And no more than it is allowed.
  o.remote.in_flight = 3;
  expected = 3;
  most = 0;
  const auto few = o.make();
  few->score(items(std::vector<std::string>(9, "abc")));
  CHECK(most <= 3);
}

TEST_CASE("http reward: the server is started again during a run") {
  auto server = std::make_unique<WireServer>([](const Peer& peer) { peer.answer(200, scored(peer.body)); });
  const int port = server->port();
  HttpRewardOptions o = http_options(server->url(), 10);
  o.remote.http.backoff_s = 0.1;
  o.batch_size = 1;
  const auto reward = o.make();
  CHECK(shown(reward->score(items({"a", "bb"}))) == "1 2");
  server.reset();
  auto scores = std::async(std::launch::async, [&] { return reward->score(items({"a", "bb", "ccc"})); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  server = std::make_unique<WireServer>([](const Peer& peer) { peer.answer(200, scored(peer.body)); }, port);
  CHECK(shown(scores.get()) == "1 2 3");
  CHECK(reward->counters().at("retries") > 0);
  CHECK(reward->counters().at("nulls") == 0);
}

TEST_CASE("http reward: whoever waits for it can leave") {
  const WireServer server([](const Peer& peer) { peer.sleep(60); });
  RewardEntry entry;
  entry.kind = "http";
  entry.options = std::make_unique<HttpRewardOptions>(http_options(server.url(), 10));
  std::vector<RewardEntry> entries;
  entries.push_back(std::move(entry));
  RewardSet rewards(entries);
  const auto start = std::chrono::steady_clock::now();
  int looks = 0;
  CHECK_THROWS_AS(rewards.score(items(std::vector<std::string>(100, "x")),
                                [&] {
                                  if (++looks == 3) throw Interrupted(15);
                                }),
                  Interrupted);
  CHECK(since(start) < 5);
}

TEST_CASE("http reward: its config") {
  const auto read = [](const std::string& json) {
    return problem([&] {
      RewardEntry entry;
      read_fields(entry, parse_json(json, "t"), "rewards.0", ".");
    });
  };
  CHECK(read(R"({"kind": "http", "url": "https://h/score", "headers": {"X-Key": "${K}"}})") == "");
  CHECK(has(read(R"({"kind": "http"})"), "url"));
  CHECK(has(read(R"({"kind": "http", "url": "h:80"})"), "url: expected http://host:port/path"));
  CHECK(has(read(R"({"kind": "http", "url": "http://h", "in_flight": 0})"), "in_flight"));
  ::setenv("WIRE_REWARD_KEY", "s3cret", 1);
  RewardEntry entry;
  read_fields(
      entry,
      parse_json(R"({"kind": "http", "url": "http://h", "headers": {"X-Key": "${WIRE_REWARD_KEY}"}})", "t"),
      "rewards.0", ".");
  entry.options->make();
  CHECK(has(dump_line(dump_fields(entry)), "${WIRE_REWARD_KEY}"));
  CHECK_FALSE(has(dump_line(dump_fields(entry)), "s3cret"));
  ::unsetenv("WIRE_REWARD_KEY");
  CHECK(problem([&] { entry.options->make(); }) ==
        "reward http.headers.X-Key: the environment has no WIRE_REWARD_KEY; set it before the start: export "
        "WIRE_REWARD_KEY=...");
}
