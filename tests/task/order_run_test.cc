// Runs whose order of data reacts to them.
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "runs.h"
#include "told.h"

using namespace temper;

namespace {

using Sets = std::vector<std::string>;

const char* const kRlOrder = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["graded.jsonl"], "max_tokens": 60},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 6, "max_batch": 16},
  "rewards": [{"kind": "contains", "column": "needle"}], "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 6, "batch_size": 2}, "checkpoint": {"every": 0}, "samples_logged": 64, "run": "rl" })";

const char* const kSftOrder = R"({
  "task": "sft", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["graded.jsonl", "old.jsonl"], "max_tokens": 60},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 6, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "sft" })";

// Sixteen sums of two tasks. Whatever is said of the first eight is right.
std::string graded() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format(
        "{{\"prompt\": \"Add {} and {}:\", \"completion\": \" {}\", \"task\": \"{}\", \"level\": {}, "
        "\"needle\": {}}}\n",
        a, b, a + b, i < 8 ? "low" : "high", a + b, i < 8 ? R"("")" : R"(["4", "5", "6"])");
  }
  return out;
}

// Eight of another kind, which "start" knows well.
std::string old() {
  std::string out;
  for (int i = 0; i < 8; ++i)
    out += fmt::format(
        "{{\"prompt\": \"Say {}:\", \"completion\": \" 1\", \"task\": \"say\", \"level\": 1}}\n", i);
  return out;
}

struct OrderRuns : Runs {
  OrderRuns() {
    write("graded.jsonl", graded());
    write("old.jsonl", old());
    Json config = parse_json(tiny_sft("train.jsonl", 30), "start");
    config["data"]["train"].push_back("old.jsonl");
    (*this)(config.dump(), "start");
  }

  // By the line of its file, what prompts.jsonl has of a record.
  std::map<std::string, Json> history(const std::string& run) const {
    std::map<std::string, Json> out;
    std::istringstream in(bytes(folder() / run / "prompts.jsonl"));
    for (std::string line; std::getline(in, line);) {
      Json json = Json::parse(line);
      const std::string place = json["record"];
      out[place.substr(place.rfind('/') + 1)] = std::move(json);
    }
    return out;
  }

  // The records that the steps of a run of rl trained on, by their samples.
  std::map<int64_t, std::vector<int64_t>> trained_on(const std::string& run) const {
    std::map<int64_t, std::vector<int64_t>> out;
    std::istringstream in(bytes(folder() / run / "samples.jsonl"));
    int64_t row = 0;
    for (std::string line; std::getline(in, line); ++row) {
      const Json sample = Json::parse(line);
      const std::string prompt = sample["prompt"];
      if (row % 4 == 0) out[sample["step"]].push_back((prompt[4] - '1') + 4 * (prompt[10] - '1'));
    }
    return out;
  }

  Json state(const std::string& run, int step) const {
    return read_json_file((folder() / run / fmt::format("checkpoints/step-{}/state.json", step)).string());
  }

  // A run of six steps goes on after the third to the same bytes.
  void check_resumes(const char* config, Sets sets) {
    sets.insert(sets.end(), {"checkpoint.every=1", "checkpoint.keep=9"});
    for (const char* name : {"whole", "torn"}) {
      std::filesystem::remove_all(folder() / name);
      (*this)(config, name, sets);
    }
    for (const char* step : {"4", "5", "6"})
      std::filesystem::remove_all(folder() / "torn/checkpoints" / (std::string("step-") + step));
    std::filesystem::remove_all(folder() / "torn/final");
    std::filesystem::remove(folder() / "torn/prompts.jsonl");
    (*this)(config, "torn", sets, "must");
    CHECK(bytes(folder() / "whole/final/model.safetensors") ==
          bytes(folder() / "torn/final/model.safetensors"));
    if (std::filesystem::exists(folder() / "whole/samples.jsonl"))
      CHECK(bytes(folder() / "whole/samples.jsonl") == bytes(folder() / "torn/samples.jsonl"));
    const Json whole = state("whole", 6), torn = state("torn", 6);
    for (const char* member : {"order", "history", "cursor", "leftovers", "open"})
      CHECK(whole[member] == torn[member]);
    if (whole["order"].empty()) return;
    CHECK(bytes(folder() / "whole/prompts.jsonl") == bytes(folder() / "torn/prompts.jsonl"));
  }
};

std::string order(const std::string& json) {
  return "data.order=" + json;
}

const char* const kPassRate =
    R"({"kind": "pass_rate", "low": 0.05, "high": 0.95, "explore": 0.2, "keep": 0.3})";
const char* const kMastering = R"({"kind": "mastering_rate", "edges": [["low", "high"]], "window": 3})";
const char* const kMixCd =
    R"({"kind": "mix_cd", "files": ["old.jsonl"], "share": 0.25, "bins": 2, "memory": 0.7})";

}  // namespace

TEST_CASE("orders: a torn run of rl goes on with what its order took in") {
  OrderRuns runs;
  runs.check_resumes(kRlOrder, {order(kPassRate)});
  runs.check_resumes(kRlOrder, {order(R"({"kind": "rcs", "stage_steps": 4})")});
  runs.check_resumes(kRlOrder, {order(kMastering)});
}

TEST_CASE("orders: a torn run of sft goes on with what its order took in") {
  OrderRuns runs;
  runs.check_resumes(kSftOrder, {order(kMastering)});
  Json mix = parse_json(kMixCd, "order");
  mix["files"] = {(runs.folder() / "old.jsonl").string()};
  runs.check_resumes(kSftOrder, {order(mix.dump())});
  runs.check_resumes(kSftOrder, {order(R"({"kind": "power_law", "share": 0.25})")});
  runs.check_resumes(kSftOrder, {order(R"({"kind": "pacing", "column": "level", "until": 0.7})")});
}

TEST_CASE("rcs: the second stage has no prompt that was solved perfectly, and prompts.jsonl says why") {
  OrderRuns runs;
  const auto rows = runs(kRlOrder, "rcs", {order(R"({"kind": "rcs", "stage_steps": 3})")});
  REQUIRE(rows.size() == 6);
  const auto drawn = runs.trained_on("rcs");
  std::set<int64_t> solved;
  for (int64_t step = 1; step <= 6; ++step) {
    CHECK(*rows[step - 1].find("order/stage") == (step < 3 ? 1 : 2));
    REQUIRE(drawn.at(step).size() == 4);
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t record = drawn.at(step)[i];
      if (step <= 3) {
        CHECK(record == RecordOrder(16, 1, "shuffle").at(4 * (step - 1) + i));
        if (record < 8) solved.insert(record);
      } else {
        CHECK(solved.count(record) == 0);
      }
    }
  }
  REQUIRE(solved.size() >= 4);  // of eight, twelve of sixteen prompts were drawn
  const auto history = runs.history("rcs");
  int64_t draws = 0;
  for (const auto& [place, one] : history) {
    draws += one["draws"].get<int64_t>();
    CHECK(one["last"].size() == 4);
    const int64_t line = std::stoll(place.substr(place.find(':') + 1));
    if (line <= 8) CHECK(one["mean"] == 1.0);
  }
  CHECK(draws == 24);
}

TEST_CASE("orders: groups that are dropped are observed, and what was not sampled to its end waits") {
  OrderRuns runs;
  const Sets dapo = {order(R"({"kind": "rcs", "stage_steps": 6})"), "algorithm.name=dapo",
                     "algorithm.filter_max_rounds=1000"};
  runs.check_resumes(kRlOrder, dapo);
  const auto drawn = runs.trained_on("whole");
  for (const auto& [step, records] : drawn)
    for (const int64_t record : records) CHECK(record >= 8);  // equal rewards teach nothing
  const Json state = runs.state("whole", 6);
  const auto solved = state["order"]["solved"].get<std::set<int64_t>>();
  for (int64_t record = 0; record < 8; ++record) CHECK(solved.count(record) == 1);
  runs.check_resumes(kRlOrder, {order(kPassRate), "algorithm.correction=truncate", "rollout.step_tokens=3"});
}

TEST_CASE("orders: what is observed is the prompt without its hint") {
  OrderRuns runs;
  const Sets one = {order(kPassRate), "train.steps=1"};
  runs(kRlOrder, "plain", one);
  Sets hinted = one;
  hinted.push_back(R"(hint={"column": "task", "at_most": 1, "keep": 0})");
  const auto rows = runs(kRlOrder, "hinted", hinted);
  CHECK(*rows[0].find("hinted") == 1);
  CHECK(bytes(runs.folder() / "plain/samples.jsonl") != bytes(runs.folder() / "hinted/samples.jsonl"));
  CHECK(bytes(runs.folder() / "plain/prompts.jsonl") == bytes(runs.folder() / "hinted/prompts.jsonl"));
}

TEST_CASE("mix_cd: a quarter of each batch is rehearsed, and no micro-batch changes which") {
  OrderRuns runs;
  Json mix = parse_json(kMixCd, "order");
  mix["files"] = {(runs.folder() / "old.jsonl").string()};
  const auto whole = runs(kSftOrder, "whole", {order(mix.dump())});
  check_same(whole, runs(kSftOrder, "cut", {order(mix.dump()), "train.micro_batch_tokens=30"}), 1e-3);
  const auto a = runs.history("whole"), b = runs.history("cut");
  int64_t rehearsed = 0, draws = 0;
  REQUIRE(a.size() == b.size());
  for (const auto& [place, one] : a) {
    CHECK(one["draws"] == b.at(place)["draws"]);
    CHECK(one["mean"].get<double>() == doctest::Approx(b.at(place)["mean"].get<double>()).epsilon(1e-3));
    draws += one["draws"].get<int64_t>();
    if (place.starts_with("old")) rehearsed += one["draws"].get<int64_t>();
  }
  CHECK(draws == 48);
  CHECK(rehearsed == 12);
  const Json state = runs.state("whole", 6)["order"];
  REQUIRE(state["base"].size() == 8);
  size_t right = 0;
  for (const Json& one : state["base"]) right += one[1].get<bool>() ? 1 : 0;
  CAPTURE(state.dump());
  CHECK(right > 0);  // or alpha would be nothing but 0
}

TEST_CASE("mastering_rate: the loss of an example before the update is what is observed") {
  OrderRuns runs;
  const Sets sets = {"train.steps=1", order(R"({"kind": "mastering_rate", "measure": "probability"})"),
                     "optimizer.lr=0"};
  const auto rows = runs(kSftOrder, "one", sets);
  // The mean over examples of one target each is the loss; all completions here are a space and a digit.
  double sum = 0, count = 0;
  for (const auto& [place, one] : runs.history("one")) {
    sum += one["mean"].get<double>() * one["draws"].get<double>();
    count += one["draws"].get<double>();
  }
  CHECK(count == 8);
  CHECK(*rows[0].find("targets") / 8 == std::round(*rows[0].find("targets") / 8));
  CHECK(sum / count == doctest::Approx(*rows[0].find("loss")).epsilon(1e-4));
  double shares = 0;
  for (const char* task : {"low", "high", "say"}) shares += *rows[0].find(std::string("order/share/") + task);
  CHECK(shares == doctest::Approx(1));
}

TEST_CASE("orders: a run from before orders had fields goes on") {
  OrderRuns runs;
  const Sets sets = {"checkpoint.every=1", "checkpoint.keep=9"};
  runs(kSftOrder, "whole", sets);
  runs(kSftOrder, "older", sets);
  const auto file = runs.folder() / "older/config.json";
  Json config = Json::parse(bytes(file));
  CHECK(config["data"]["order"] == Json::object({{"kind", "shuffle"}}));
  config["data"]["order"] = "shuffle";
  write_file_atomic(file.string(), config.dump());
  for (const char* step : {"4", "5", "6"})
    std::filesystem::remove_all(runs.folder() / "older/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "older/final");
  runs(kSftOrder, "older", sets, "must");
  CHECK(bytes(runs.folder() / "whole/final/model.safetensors") ==
        bytes(runs.folder() / "older/final/model.safetensors"));
  config["data"]["order"] = "sequential";
  write_file_atomic(file.string(), config.dump());
  CHECK(has(problem([&] { runs(kSftOrder, "older", sets, "must"); }),
            "data.order.kind: \"sequential\" in the run, \"shuffle\" now"));
}

TEST_CASE(
    "orders: what a task does not observe or draw, and what a graph or a column lacks, is told at once") {
  OrderRuns runs;
  const auto refused = [&](const char* config, const Sets& sets) {
    std::filesystem::remove_all(runs.folder() / "refused");
    return problem([&] { runs(config, "refused", sets); });
  };
  CHECK(has(refused(kSftOrder, {order("rcs")}),
            "data.order: \"rcs\" needs rewards of sampled completions, which this run does not observe; use "
            "\"shuffle\", or a task that does (rl)"));
  CHECK(has(refused(kRlOrder, {order(R"({"kind": "mix_cd", "files": ["graded.jsonl"]})")}),
            "\"mix_cd\" needs losses of examples, which this run does not observe"));
  const char* const kPreference = R"({
    "task": "preference", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
    "data": {"train": ["pairs.jsonl"], "order": "pass_rate"}, "train": {"steps": 2}, "run": "p" })";
  runs.write("pairs.jsonl", arithmetic_pairs());
  CHECK(has(refused(kPreference, {}), "\"pass_rate\" needs rewards of sampled completions"));
  CHECK(
      has(refused(kPreference, {order("mastering_rate")}),
          "needs rewards of sampled completions or losses of examples, which this run does not observe; use "
          "\"shuffle\", or a task that does (sft, rl)"));
  CHECK(
      has(refused(kPreference, {order("pacing")}),
          "\"pacing\" reads columns and files of the records, but task \"preference\" draws what it makes"));
  runs(kPreference, "pairs", {order(R"({"kind": "subset", "share": 0.5})")});
  CHECK(has(refused(kRlOrder, {order(R"({"kind": "mastering_rate", "edges": [["a", "b"], ["b", "a"]]})")}),
            "data.order.edges: go in a circle"));
  CHECK(has(refused(kRlOrder, {order(R"({"kind": "mastering_rate", "edges": [["low", "harder"]]})")}),
            "task \"harder\" has no record; column \"task\" has low, high"));
  CHECK(has(refused(kRlOrder, {order(R"({"kind": "pacing", "column": "hardness"})")}),
            "graded.jsonl:1: has no column \"hardness\", which data.order needs"));
  CHECK(has(refused(kSftOrder, {order("pacing"), "data.weights=[1, 1]"}),
            "data.order: \"pacing\" draws from all files as it sees fit; leave out data.weights"));
  CHECK(has(refused(kRlOrder, {order("shufle")}), "data.order.kind: expected one of shuffle, sequential"));
}
