// A run's folder while it is written to.
#include "serve/live_run.h"

#include <atomic>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/lock.h"
#include "raw_client.h"
#include "serve/api_error.h"
#include "serve/line_tail.h"
#include "serve/server.h"
#include "served_fake.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

void append(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

std::string texts(const std::vector<LineTail::Line>& lines) {
  std::string out;
  for (const auto& line : lines) out += line.text + "@" + std::to_string(line.end) + " ";
  return out;
}

// A run's folder of 10 steps.
struct Run {
  Run() { folder.write("config.json", R"({"task": "sft", "model": {"path": "m"}, "train": {"steps": 10}})"); }
  TempFolder folder;
  std::string metrics = folder.text("metrics.jsonl"), samples = folder.text("samples.jsonl");
  void step(int step) const {
    append(metrics, "{\"step\":" + std::to_string(step) + ",\"split\":\"train\",\"loss\":1}\n");
  }
};

// Listens to a run's events in the background.
struct Listening {
  Listening(const LiveRun& run, const std::string& last_id = "")
      : thread([this, &run, last_id] {
          run.events(
              last_id, [this] { return ends.load(); },
              [this](const std::string& piece) {
                const std::lock_guard lock(mutex);
                heard += piece;
                return true;
              });
        }) {}
  ~Listening() {
    ends = true;
    thread.join();
  }
  std::string text() {
    const std::lock_guard lock(mutex);
    return heard;
  }
  bool hears(const std::string& what) {
    for (int i = 0; i < 1000 && text().find(what) == std::string::npos; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return text().find(what) != std::string::npos;
  }
  std::mutex mutex;
  std::string heard;
  std::atomic<bool> ends = false;
  std::thread thread;
};

}  // namespace

TEST_CASE("line tail: whole lines as they come") {
  TempFolder folder;
  const std::string path = folder.text("f");
  LineTail tail(path, 0);
  CHECK(tail.next(100).empty());
  append(path, "one\ntw");
  CHECK(texts(tail.next(100)) == "one@4 ");
  CHECK(tail.next(100).empty());
  append(path, "o\nthree\n");
  CHECK(texts(tail.next(100)) == "two@8 three@14 ");
  // A line longer than a piece, and lines that fit into one only in part.
  append(path, std::string(1000, 'x') + "\na\nb\n");
  const auto lines = tail.next(64);
  REQUIRE(!lines.empty());
  CHECK(lines[0].text == std::string(1000, 'x'));
  LineTail behind(path, 8);
  CHECK(texts(behind.next(8)) == "three@14 ");
  CHECK(!behind.cut_back());
  folder.write("f", "new\n");
  CHECK(behind.cut_back());
  behind.go_to(0);
  CHECK(texts(behind.next(8)) == "new@4 ");
}

TEST_CASE("live run: its state") {
  const Run run;
  CHECK(has(problem([] { LiveRun("/nowhere"); }), "/nowhere: expected the folder of a run"));
  const LiveRun live(run.folder.text());
  CHECK(live.state()["state"] == "stopped");
  run.step(1), run.step(2);
  append(run.metrics, "{\"step\":3,\"split\":\"tr");
  Json state = live.state();
  CHECK(state["step"] == 2);
  CHECK(state["steps"] == 10);
  CHECK(state["task"] == "sft");
  CHECK(state["final"] == false);
  CHECK_THROWS_AS(live.report(), ApiError);
  CHECK_THROWS_AS(live.ask_to_stop(), ApiError);
  CHECK(live.metrics(0) ==
        "{\"step\":1,\"split\":\"train\",\"loss\":1}\n{\"step\":2,\"split\":\"train\",\"loss\":1}\n");
  CHECK(live.metrics(36) == "{\"step\":2,\"split\":\"train\",\"loss\":1}\n");
  {
    const FileLock lock(run.folder.text("lock"), "the test");
    CHECK(live.state()["state"] == "training");
    CHECK(live.state()["can_stop"] == true);
    live.ask_to_stop();
    CHECK(std::filesystem::exists(run.folder / "stop"));
    CHECK(live.state()["state"] == "stopping");
  }
  CHECK(live.state()["state"] == "stopped");
  std::filesystem::create_directory(run.folder / "final");
  run.folder.write("final/DONE", "{}");
  CHECK(live.state()["state"] == "done");
  for (int i = 0; i < 5; ++i) append(run.samples, "{\"step\":" + std::to_string(i) + "}\n");
  CHECK(live.samples(2) == Json::parse(R"([{"step": 3}, {"step": 4}])"));
}

TEST_CASE("live run: events") {
  const Run run;
  run.step(1);
  const LiveRun live(run.folder.text());
  std::string id;
  {
    Listening listening(live);
    REQUIRE(listening.hears("event: metrics\ndata: {\"step\":1,"));
    CHECK(listening.text().starts_with("event: state\n"));
    append(run.samples, "{\"step\":1,\"completion\":\"a\"");
    run.step(2);
    CHECK(listening.hears("{\"step\":2,"));
    CHECK(listening.text().find("completion") == std::string::npos);
    append(run.samples, "}\n");
    CHECK(listening.hears("event: samples\ndata: {\"step\":1,\"completion\":\"a\"}"));
    const std::string all = listening.text();
    const size_t at = all.rfind("id: ") + 4;
    id = all.substr(at, all.find('\n', at) - at);
  }
  CHECK(id == "72-28");
  run.step(3);
  Listening again(live, id);
  CHECK(again.hears("{\"step\":3,"));
  CHECK(again.text().find("{\"step\":2,") == std::string::npos);
  // The run goes on from an older checkpoint.
  std::filesystem::resize_file(run.folder / "metrics.jsonl", 36);
  REQUIRE(again.hears("event: reset\n"));
  CHECK(again.hears("\"completion\":\"a\"}"));  // both begin anew
  CHECK(again.text().find("event: reset\n") == again.text().rfind("event: reset\n"));
  CHECK(again.hears("{\"step\":1,"));
  for (const char* wrong : {"x", "-", "1-", "-1", "1-2-3", "99999999999999999999-1"}) {
    CAPTURE(wrong);
    Listening from_start(live, wrong);
    CHECK(from_start.hears("{\"step\":1,"));
  }
}

TEST_CASE("live run: of many samples the newest come") {
  const Run run;
  const std::string long_text(1000, 'x');
  for (int i = 0; i < 1000; ++i)
    append(run.samples, "{\"step\":" + std::to_string(i) + ",\"completion\":\"" + long_text + "\"}\n");
  const LiveRun live(run.folder.text());
  Listening listening(live);
  REQUIRE(listening.hears("{\"step\":999,"));
  const std::string all = listening.text();
  CHECK(all.find("{\"step\":0,") == std::string::npos);
  CHECK(all.find("event: samples\ndata: {\"step\":") != std::string::npos);
  CHECK(live.samples(300).size() == 300);
  CHECK(live.samples(300).front()["step"] == 700);
}

TEST_CASE("live run: over HTTP, without a model") {
  const Run run;
  run.step(1);
  run.folder.write("report.html", "<p>report</p>");
  const LiveRun live(run.folder.text());
  ServerOptions options;
  options.port = 0;
  ApiServer server(options, nullptr, &live);
  server.start();
  const int port = std::stoi(server.url().substr(server.url().rfind(':') + 1));
  CHECK(ask(port, "GET", "/run/state").json()["steps"] == 10);
  CHECK(ask(port, "GET", "/run/metrics?from=0").body == "{\"step\":1,\"split\":\"train\",\"loss\":1}\n");
  CHECK(ask(port, "GET", "/run/metrics?from=x").status == 400);
  CHECK(ask(port, "GET", "/run/report").body == "<p>report</p>");
  CHECK(ask(port, "POST", "/run/stop").status == 409);
  const HttpAnswered none = ask(port, "POST", "/v1/chat/completions", "{}");
  CHECK(none.status == 503);
  CHECK(none.json()["error"]["code"] == "no_model");
  RawClient client(port);
  client.send(http_request("GET", "/run/events"));
  CHECK(client.receive("event: metrics").find("event: metrics") != std::string::npos);
  // The stream ends when the server does, and soon.
  std::thread stopping([&] { server.stop(10); });
  client.receive();
  CHECK(client.closed());
  stopping.join();
}
