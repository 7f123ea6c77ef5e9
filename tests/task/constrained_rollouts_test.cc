// Rollouts whose texts a constraint shapes.
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "grammar/regex.h"
#include "runs.h"
#include "told.h"

using namespace temper;

namespace {

const char* const kConstrained = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 12, "regex": " ?[1-9][0-9]{0,2}"},
  "algorithm": {"name": "grpo", "correction": "truncate"}, "rewards": [{"kind": "contains", "texts": ["7", "8"]}],
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 3, "batch_size": 4}, "checkpoint": {"every": 1, "keep": 9}, "run": "rl" })";

}  // namespace

TEST_CASE(
    "rl learns from constrained texts, weighed by what the constraint allowed; a torn run goes on the same") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 8), "start");
  const auto rows = runs(kConstrained, "whole");
  REQUIRE(rows.size() == 3);
  for (const MetricsRow& row : rows) {
    const auto weight = row.find("correction_weight");
    REQUIRE(weight);
    CHECK(*weight > 0);
    CHECK(*weight < 0.999);  // below 1: some of each distribution is ruled out
  }
  const Automaton automaton = regex_automaton(" ?[1-9][0-9]{0,2}", "regex");
  std::istringstream in(bytes(runs.folder() / "whole/samples.jsonl"));
  int texts = 0;
  for (std::string line; std::getline(in, line);) {
    const Json sample = Json::parse(line);
    const std::string text = sample.at("completion");
    CAPTURE(text);
    CHECK(automaton.matches(text));
    ++texts;
  }
  CHECK(texts > 10);
  runs(kConstrained, "torn");
  for (const char* step : {"2", "3"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kConstrained, "torn", {}, "must");
  for (const char* file : {"samples.jsonl", "final/model.safetensors"})
    CHECK(bytes(runs.folder() / "whole" / file) == bytes(runs.folder() / "torn" / file));
}

TEST_CASE("rl: each record's own constraint shapes its completions, in rollouts and evaluations") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 8), "start");
  std::string own, wrong;
  for (int i = 0; i < 16; ++i) {
    Json record = {{"prompt", i % 2 == 0 ? "letters" : "digits"},
                   {"own", i % 2 == 0 ? "[x-z]{3}" : "[1-9]{2}"}};
    own += record.dump() + "\n";
    if (i == 2) record.erase("own");
    wrong += record.dump() + "\n";
  }
  runs.write("own.jsonl", own);
  runs.write("wrong.jsonl", wrong);
  const auto config = [](const char* train, const char* eval) {
    Json out = Json::parse(kConstrained);
    out["rollout"].erase("regex");
    out["rollout"]["regex_column"] = "own";
    out["data"]["train"] = {train};
    out["data"]["eval"] = {eval};
    out["eval"] = {{"every", 3}};
    return out.dump();
  };
  runs(config("own.jsonl", "own.jsonl"), "own");
  std::istringstream samples(bytes(runs.folder() / "own/samples.jsonl"));
  int letters = 0, digits = 0;
  for (std::string line; std::getline(samples, line);) {
    const Json sample = Json::parse(line);
    const std::string prompt = sample.at("prompt"), text = sample.at("completion");
    CAPTURE(text);
    const bool asks_letters = prompt.find("letters") != std::string::npos;
    CHECK(regex_automaton(asks_letters ? "[x-z]{3}" : "[1-9]{2}", "regex").matches(text));
    ++(asks_letters ? letters : digits);
  }
  CHECK(letters > 4);
  CHECK(digits > 4);
  for (const auto& [train, eval] : {std::pair("wrong.jsonl", "own.jsonl"), {"own.jsonl", "wrong.jsonl"}}) {
    const std::string refused = config(train, eval);
    CHECK(has(problem([&] { runs(refused, "refused"); }), "wrong.jsonl:3: no column \"own\""));
  }
}

TEST_CASE("rl: what a constraint does not go with is said before the run") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 1), "start");
  const auto refused = [&](const std::vector<std::string>& sets) {
    try {
      runs(kConstrained, "refused", sets);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto has = [](const std::string& text, const char* what) {
    return text.find(what) != std::string::npos;
  };
  CHECK(has(refused({"algorithm.correction=none"}), "constrained samples are not the policy's own"));
  CHECK(has(refused({"rollout.step_tokens=4"}), "a constraint sees a text from its beginning"));
  CHECK(has(refused({"rollout.regex=a("}), "rollout.regex: the regular expression \"a(\", at byte 2"));
  CHECK(has(refused({R"(rollout.json_schema={"not": {}})", "rollout.regex="}),
            "rollout.json_schema: /: \"not\""));
  runs.write("schema.json", R"({"type": "integer", "minimum": 3, "maximum": 2})");
  CHECK(has(refused({"rollout.json_schema=schema.json", "rollout.regex="}), "schema.json"));
}
