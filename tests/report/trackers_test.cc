// What other programs get of a run. scripts/oracles/wandb_run.py reads whole runs with wandb's own classes.
#include "report/trackers.h"

#include <zlib.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "test.h"
#include "wire_server.h"

using namespace temper;

namespace {

TrackedRun some_run(int64_t steps) {
  TrackedRun run{"0123abcd", "mine", {{"task", "sft"}, {"model", {{"path", "base"}}}, {"seed", 3}},
                 1.75e9,     {},     true};
  for (int64_t step = 1; step <= steps; ++step) {
    MetricsRow row{step, "train", {{"loss", 1.0 / static_cast<double>(step)}}, {{"seconds", 2.0}}};
    if (step == 2) row.values.emplace_back("kl", std::numeric_limits<double>::quiet_NaN());
    run.rows.push_back(row);
    if (step % 2 == 0) run.rows.push_back({step, "eval", {{"accuracy", 0.5}}, {}});
  }
  return run;
}

// The records of a .wandb file, checked and put together.
std::vector<std::string> records_of(const std::string& file) {
  CHECK(file.substr(0, 7) == std::string(":W&B\xe1\xbe\0", 7));
  std::vector<std::string> out;
  std::string text;
  for (size_t at = 7; at < file.size();) {
    const size_t left = 32768 - at % 32768;
    if (left < 7) {
      CHECK(file.substr(at, left) == std::string(left, '\0'));
      at += left;
      continue;
    }
    uint32_t crc = 0;
    uint16_t size = 0;
    std::memcpy(&crc, file.data() + at, 4);
    std::memcpy(&size, file.data() + at + 4, 2);
    const auto kind = static_cast<unsigned char>(file[at + 6]);
    REQUIRE(at + 7 + size <= file.size());
    CHECK(::crc32(::crc32(0, &kind, 1), reinterpret_cast<const Bytef*>(file.data()) + at + 7, size) == crc);
    CHECK((kind == 1 || kind == 2) == text.empty());
    text += file.substr(at + 7, size);
    at += 7 + size;
    if (kind == 1 || kind == 4) out.push_back(std::exchange(text, {}));
  }
  CHECK(text.empty());
  return out;
}

}  // namespace

TEST_CASE(
    "trackers: a .wandb file has a header, the run, each step's numbers and the end, over block borders") {
  const auto records = records_of(wandb_file(some_run(400), "p"));
  // header, run, history and summary a step, exit
  REQUIRE(records.size() == 2 + 2 * 400 + 1);
  CHECK(records[1].find("0123abcd") != std::string::npos);
  CHECK(records[1].find("{\"path\":\"base\"}") != std::string::npos);
  CHECK(records[2].find("train/loss") != std::string::npos);
  CHECK(records[4].find("eval/accuracy") != std::string::npos);
  CHECK(records[4].find("train/kl") == std::string::npos);  // no number
  TrackedRun long_config = some_run(1);
  long_config.config["text"] = std::string(100000, 'x');
  CHECK(records_of(wandb_file(long_config, "p"))[1].find(std::string(100000, 'x')) != std::string::npos);
}

TEST_CASE("trackers: a run folder becomes an offline run once") {
  const TempFolder folder;
  fs::create_directory(folder / "run");
  folder.write("run/config.json", R"({"task":"sft"})");
  folder.write("run/metrics.jsonl",
               "{\"step\":1,\"split\":\"train\",\"loss\":0.5,\"time\":{\"seconds\":1}}\n{\"step\":2,");
  const TrackedRun run = read_tracked_run(folder.text("run"));
  CHECK(run.name == "run");
  CHECK(run.rows.size() == 1);
  CHECK_FALSE(run.done);
  CHECK(read_tracked_run(folder.text("run/")).id == run.id);
  const std::string made = write_wandb_run(run, "p", folder.text("wandb"));
  CHECK(fs::exists(made + "/run-" + run.id + ".wandb"));
  CHECK(read_file(made + "/run-" + run.id + ".wandb") == wandb_file(run, "p"));
  CHECK_THROWS_WITH_AS(write_wandb_run(run, "p", folder.text("wandb")), doctest::Contains("already"),
                       UserError);
  CHECK_THROWS_WITH_AS(read_tracked_run(folder.text("nowhere")), doctest::Contains("no run folder"),
                       UserError);
}

TEST_CASE(
    "trackers: MLflow's REST API gets an experiment, a run, parameters, metrics in parts, and the end") {
  std::mutex mutex;
  std::vector<std::pair<std::string, Json>> calls;
  WireServer server([&](const WireServer::Peer& peer) {
    const size_t begin = peer.head.find("/mlflow/") + 8;
    const std::string call = peer.head.substr(begin, peer.head.find(' ', begin) - begin);
    {
      std::lock_guard lock(mutex);
      calls.emplace_back(call, parse_json(peer.body, "body"));
    }
    if (call == "experiments/search") return peer.answer(200, "{}");
    if (call == "experiments/create") return peer.answer(200, R"({"experiment_id":"7"})");
    if (call == "runs/create") return peer.answer(200, R"({"run":{"info":{"run_id":"r1"}}})");
    peer.answer(200, "{}");
  });
  CHECK(send_to_mlflow(some_run(700), "mine", server.url("/")) == "r1");
  std::map<std::string, int> count;
  size_t metrics = 0;
  for (const auto& [call, body] : calls) {
    ++count[call];
    if (call == "runs/create") CHECK(body["experiment_id"] == "7");
    if (call != "runs/log-batch") continue;
    CHECK(body["run_id"] == "r1");
    if (body.contains("params")) CHECK(body["params"][1] == Json({{"key", "model.path"}, {"value", "base"}}));
    if (!body.contains("metrics")) continue;
    CHECK(body["metrics"].size() <= 1000);
    metrics += body["metrics"].size();
  }
  CHECK(metrics == 700 * 2 + 350);
  CHECK(count == std::map<std::string, int>{{"experiments/create", 1},
                                            {"experiments/search", 1},
                                            {"runs/create", 1},
                                            {"runs/log-batch", 3},
                                            {"runs/update", 1}});
  CHECK(calls.back().second["status"] == "FINISHED");
}

TEST_CASE("trackers: what an MLflow server refuses is one line") {
  WireServer server(
      [&](const WireServer::Peer& peer) { peer.answer(400, R"({"error_code":"INVALID_PARAMETER_VALUE"})"); });
  CHECK_THROWS_WITH_AS(send_to_mlflow(some_run(1), "mine", server.url("")), doctest::Contains("--mlflow: "),
                       UserError);
  WireServer odd([&](const WireServer::Peer& peer) { peer.answer(200, "{}"); });
  CHECK_THROWS_WITH_AS(send_to_mlflow(some_run(1), "mine", odd.url("")),
                       doctest::Contains("no \"experiment_id\""), UserError);
}
