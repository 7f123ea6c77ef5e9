// What decides how long a run goes on, on what, and which weights it leaves.
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "run/checkpoint.h"
#include "runs.h"

using namespace temper;

namespace {

const std::vector<std::string> kHalf = {"data.eval_share=0.5", "eval.every=1"};

size_t steps_of(const std::vector<MetricsRow>& rows) {
  size_t steps = 0;
  for (const MetricsRow& row : rows) steps += row.split == "train" ? 1 : 0;
  return steps;
}

}  // namespace

TEST_CASE("controls: epochs become steps, of what is not held out") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 7);
  Json without = Json::parse(config);
  without["train"].erase("steps");
  const auto rows = runs(without.dump(), "epochs", {"train.epochs=2.5"});  // of 16 records in batches of 8
  CHECK(steps_of(rows) == 5);
  CHECK(rows.back().find("epoch") == 2.5);
  CHECK(runs.said("epochs").find("epoch 2.50/2.50") != std::string::npos);
  const Json resolved = read_json_file((runs.folder() / "epochs" / "config.json").string());
  CHECK(resolved["train"]["steps"] == 5);
  CHECK(resolved["train"]["epochs"].is_null());
  CHECK(steps_of(runs(without.dump(), "half", {"train.epochs=3", "data.eval_share=0.5"})) == 3);
  CHECK_THROWS_WITH_AS(runs(config, "both", {"train.epochs=1"}), doctest::Contains("train.epochs"),
                       UserError);
  CHECK_THROWS_WITH_AS(
      runs(without.dump(), "none", {"train.epochs=1", "data.eval_share=0.5", "data.eval=[\"train.jsonl\"]"}),
      doctest::Contains("data.eval_share"), UserError);
}

TEST_CASE("controls: records that are held out are not trained on, the same ones at every start") {
  DataSection data;
  data.eval_share = 0.25;
  const auto records = [] {
    std::vector<Record> out(16);
    for (int i = 0; i < 16; ++i) out[static_cast<size_t>(i)].json = {{"n", i}};
    return out;
  };
  const auto numbers = [](const Records& of) {
    std::vector<int> out;
    for (const Record& r : of) out.push_back(r.json["n"].get<int>());
    return out;
  };
  Records train = records(), again = records(), other = records();
  const auto held = numbers(data.take_held_out(train, 1));
  CHECK(held.size() == 4);
  CHECK(std::is_sorted(held.begin(), held.end()));
  std::set<int> all(held.begin(), held.end());
  for (const int n : numbers(train)) CHECK(all.insert(n).second);
  CHECK(all.size() == 16);
  CHECK(numbers(data.take_held_out(again, 1)) == held);
  CHECK(numbers(data.take_held_out(other, 2)) != held);
  Records one = std::vector<Record>(1);
  CHECK_THROWS_WITH_AS(data.take_held_out(one, 1), doctest::Contains("leave nothing to train on"), UserError);
}

TEST_CASE("controls: a run that gets no better ends early, and its best weights can be what it leaves") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 12);
  // A rate at which the held-out loss soon rises.
  const std::vector<std::string> wild =
      with(kHalf, {"optimizer.lr=0.3", "eval.patience=2", "checkpoint.best=true"});
  const auto rows = runs(config, "wild", with(wild, {"checkpoint.final=best"}));
  const size_t steps = steps_of(rows);
  REQUIRE(steps < 12);
  CHECK(runs.said("wild").find("stopping early") != std::string::npos);
  // The best evaluation was two before the last.
  std::vector<double> losses;
  for (const MetricsRow& row : rows)
    if (row.split == "eval") losses.push_back(*row.find("loss"));
  const auto best = static_cast<size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin());
  REQUIRE(losses.size() == steps + 1);
  CHECK(best + 2 == steps);
  // final/ gives the loss of that evaluation again.
  const std::string final_folder = (runs.folder() / "wild" / "final").string();
  Json again = Json::parse(config);
  again["model"] = {{"dtype", "f32"}, {"path", final_folder}};
  const auto first = runs(again.dump(), "again", with(kHalf, {"train.steps=1"}));
  CHECK(*first.front().find("loss") == doctest::Approx(losses[best]).epsilon(1e-5));
  // Without it final/ has the last weights; the run goes on to its end without patience.
  CHECK(steps_of(runs(config, "last", with(kHalf, {"optimizer.lr=0.3"}))) == 12);
  // Continued, it is still at its end.
  CHECK(steps_of(runs(config, "wild", with(wild, {"checkpoint.final=best"}), "must")) == steps);
  CHECK_THROWS_WITH_AS(runs(config, "bad", {"eval.patience=2"}), doctest::Contains("eval.patience"),
                       UserError);
  CHECK_THROWS_WITH_AS(runs(config, "bad", {"checkpoint.final=best"}), doctest::Contains("checkpoint.best"),
                       UserError);
}

TEST_CASE("controls: a file called stop ends a run after saving, and it can be continued") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 4);
  const auto whole = runs(config, "whole");
  std::filesystem::create_directories(runs.folder() / "stopped");
  runs.write("stopped/stop", "");
  CHECK_THROWS_AS(runs(config, "stopped", {}, "auto"), Interrupted);
  CHECK(!std::filesystem::exists(runs.folder() / "stopped" / "stop"));
  CHECK(!std::filesystem::exists(runs.folder() / "stopped" / "final"));
  check_same(runs(config, "stopped", {}, "must"), whole, 1e-12);
}
