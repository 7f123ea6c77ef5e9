// Runs in rounds: phases that feed each other, and what happens when they are interrupted.
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "report/report.h"
#include "runs.h"
#include "told.h"

using namespace temper;

namespace {

const char* const kRounds = R"({
  "task": "rounds", "threads": 1, "rounds": 2, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "eval": ["train.jsonl"], "max_tokens": 100},
  "rewards": [{"kind": "contains", "texts": ["4", "5", "6"]}],
  "phases": [
    {"kind": "generate", "name": "answers", "count": 6, "n": 4, "sampling": {"max_new_tokens": 6}},
    {"kind": "select", "name": "good", "rule": {"kind": "top", "k": 2}},
    {"kind": "train", "config": {"task": "sft", "optimizer": {"name": "adamw", "lr": 1e-2}, "schedule": "constant",
      "train": {"steps": 3, "batch_size": 4}, "checkpoint": {"every": 1}}},
    {"kind": "evaluate", "sampling": {"max_new_tokens": 6}}],
  "run": "rounds" })";

struct RoundRuns : Runs {
  RoundRuns() { (*this)(tiny_sft("train.jsonl", 20), "start"); }
  std::vector<Json> lines(const std::string& file) const {
    std::vector<Json> out;
    std::istringstream in(bytes(folder() / file));
    for (std::string line; std::getline(in, line);) out.push_back(Json::parse(line));
    return out;
  }
  // Everything that the run left and a person can read, and the weights.
  std::map<std::string, std::string> left(const std::string& name) const {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(folder() / name)) {
      const std::string file = fs::relative(entry.path(), folder() / name).string();
      if (file.ends_with(".jsonl") && !file.ends_with("metrics.jsonl")) out[file] = bytes(entry.path());
      if (file.ends_with(".safetensors") && file.find("checkpoints") == std::string::npos)
        out[file] = bytes(entry.path());
      if (file == "metrics.jsonl" || file.ends_with("phase.json")) out[file] = bytes(entry.path());
    }
    return out;
  }
};

std::string replaced(const std::string& from, const std::string& to) {
  std::string out = kRounds;
  const size_t at = out.find(from);
  REQUIRE(at != std::string::npos);
  return out.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("rounds: phases feed each other, and each round begins with the model of the one before") {
  RoundRuns runs;
  const auto rows = runs(kRounds, "a");
  const auto answers = runs.lines("a/rounds/01/1-answers/lines.jsonl");
  REQUIRE(answers.size() == 6);
  CHECK(answers[0]["completions"].size() == 4);
  CHECK(answers[0]["rewards"].size() == 4);
  CHECK(answers[0].contains("reference"));
  // Other prompts in the second round.
  std::set<std::string> first, second;
  for (const Json& line : answers) first.insert(line["prompt"].get<std::string>());
  for (const Json& line : runs.lines("a/rounds/02/1-answers/lines.jsonl"))
    CHECK(first.count(line["prompt"].get<std::string>()) == 0);
  const auto good = runs.lines("a/rounds/01/2-good/lines.jsonl");
  CHECK(runs.lines("a/rounds/01/3-train/data.jsonl").size() == good.size());
  // The second training starts from the first one's weights.
  const Json config = Json::parse(bytes(runs.folder() / "a/rounds/02/3-train/run/config.json"));
  CHECK(config["model"]["path"].get<std::string>().ends_with("a/rounds/01/3-train/run/final"));
  CHECK(config["optimizer"]["lr"] == 1e-2);
  CHECK(config["threads"] == 1);
  CHECK(bytes(runs.folder() / "a/final/model.safetensors") ==
        bytes(runs.folder() / "a/rounds/02/3-train/run/final/model.safetensors"));
  // The base is evaluated before the first round.
  std::vector<int64_t> steps;
  for (const MetricsRow& row : rows)
    if (row.split == "eval") steps.push_back(row.step);
  CHECK(steps == std::vector<int64_t>{0, 1, 2});
  CHECK(rows.front().find("reward"));
  CHECK(report_html((runs.folder() / "a").string()).find("good/selected") != std::string::npos);
}

TEST_CASE("rounds: whatever phase was interrupted, the run ends with the same bytes") {
  RoundRuns runs;
  runs(kRounds, "a");
  const auto whole = runs.left("a");
  const fs::path folder = runs.folder() / "a/rounds";
  const auto goes_on = [&](const std::string& what) {
    CAPTURE(what);
    fs::remove_all(runs.folder() / "a/final");
    runs(kRounds, "a", {}, "auto");
    const auto now = runs.left("a");
    REQUIRE(now.size() == whole.size());
    for (const auto& [file, content] : whole) {
      CAPTURE(file);
      CHECK((now.at(file) == content));
    }
  };
  fs::remove_all(folder / "02");
  goes_on("between rounds");
  fs::remove_all(folder / "02/4-evaluate");
  fs::remove(folder / "02/3-train/phase.json");
  goes_on("after a training");
  fs::remove_all(folder / "02/4-evaluate");
  fs::remove(folder / "02/3-train/phase.json");
  fs::remove_all(folder / "02/3-train/run/final");
  fs::remove_all(folder / "02/3-train/run/checkpoints/step-3");
  goes_on("in a training");
  fs::remove_all(folder / "01");
  fs::remove_all(folder / "02");
  goes_on("in the first round");
}

TEST_CASE("rounds: what is sampled in parts is the same in parts") {
  RoundRuns runs;
  std::string many;
  for (int i = 0; i < 150; ++i) many += fmt::format("{{\"prompt\": \"Add {} and 1:\"}}\n", i);
  runs.write("many.jsonl", many);
  const std::string config =
      R"({"task": "rounds", "threads": 1, "rounds": 1, "model": {"path": "start/final", "dtype": "f32"},
    "data": {"train": ["many.jsonl"], "max_tokens": 100},
    "phases": [{"kind": "generate", "n": 2, "logprobs": true, "sampling": {"max_new_tokens": 4}}], "run": "g"})";
  runs(config, "g");
  const fs::path folder = runs.folder() / "g/rounds/01/1-generate";
  const std::string whole = bytes(folder / "lines.jsonl");
  CHECK(runs.lines("g/rounds/01/1-generate/lines.jsonl").size() == 150);
  // The first part is there, the rest is not.
  std::string part;
  size_t at = 0;
  for (int line = 0; line < 64; ++line) at = whole.find('\n', at) + 1;
  fs::remove(folder / "lines.jsonl");
  fs::remove(folder / "phase.json");
  write_file_atomic((folder / "part-00000.jsonl").string(), whole.substr(0, at));
  runs(config, "g", {}, "auto");
  CHECK(bytes(folder / "lines.jsonl") == whole);
  CHECK_FALSE(fs::exists(folder / "part-00000.jsonl"));
}

TEST_CASE("rounds: what the training of a round sees of real data and of earlier rounds") {
  RoundRuns runs;
  const auto count = [&](const std::string& policy) {
    runs(replaced(R"({"kind": "train", )", R"({"kind": "train", "data_policy": ")" + policy + R"(", )"),
         policy);
    std::vector<size_t> out;
    for (const char* round : {"01", "02"})
      out.push_back(runs.lines(policy + "/rounds/" + round + "/3-train/data.jsonl").size());
    return out;
  };
  const auto selected = [&](const std::string& run, const char* round) {
    return runs.lines(run + "/rounds/" + round + "/2-good/lines.jsonl").size();
  };
  const auto replace = count("replace"), accumulate = count("accumulate"), keep = count("keep_real");
  CHECK(replace == std::vector<size_t>{selected("replace", "01"), selected("replace", "02")});
  CHECK(accumulate == std::vector<size_t>{16 + selected("accumulate", "01"),
                                          16 + selected("accumulate", "01") + selected("accumulate", "02")});
  CHECK(keep == std::vector<size_t>{16 + selected("keep_real", "01"), 16 + selected("keep_real", "02")});
}

TEST_CASE("rounds: a training with an adapter goes on from the merged model") {
  RoundRuns runs;
  runs(replaced(R"("task": "sft", )", R"("task": "sft", "adapter": {"kind": "lora", "rank": 2}, )"), "lora");
  const Json config = Json::parse(bytes(runs.folder() / "lora/rounds/02/3-train/run/config.json"));
  CHECK(config["model"]["path"].get<std::string>().ends_with("lora/rounds/01/3-train/model"));
  CHECK(fs::exists(runs.folder() / "lora/rounds/01/3-train/model/model.safetensors"));
  CHECK_FALSE(fs::exists(runs.folder() / "lora/final/adapter_config.json"));
}

TEST_CASE("rounds: from the base each time, and no more models than asked for") {
  RoundRuns runs;
  runs(replaced(R"({"kind": "train", )", R"({"kind": "train", "from": "base", )"), "base", {"keep_models=1"});
  const Json config = Json::parse(bytes(runs.folder() / "base/rounds/02/3-train/run/config.json"));
  CHECK(config["model"]["path"].get<std::string>().ends_with("start/final"));
  CHECK_FALSE(fs::exists(runs.folder() / "base/rounds/01/3-train/run/final"));
  CHECK(fs::exists(runs.folder() / "base/final/model.safetensors"));
}

TEST_CASE("rounds: asked prompts, and answers in a column of their own") {
  RoundRuns runs;
  runs(R"({"task": "rounds", "threads": 1, "rounds": 1, "model": {"path": "start/final", "dtype": "f32"},
    "data": {"train": ["train.jsonl"], "max_tokens": 100}, "rewards": [{"kind": "contains", "texts": ["3"]}],
    "phases": [{"kind": "generate", "name": "draft", "column": "draft", "score": false, "sampling": {"max_new_tokens": 4}},
               {"kind": "generate", "name": "better", "prompts": "draft", "ask": "{prompt}{draft} {{{answer}}}:", "n": 3,
                "column": "refinements", "sampling": {"max_new_tokens": 4}}], "run": "ask"})",
       "ask");
  const Json first = runs.lines("ask/rounds/01/2-better/lines.jsonl")[0];
  CHECK(first["draft"].is_string());
  CHECK(first["draft_prompt"] == first["prompt"]);
  CHECK(first["refinements"].size() == 3);
  CHECK(first["refinements_rewards"].size() == 3);
  CHECK(first["refinements_prompt"] ==
        first["prompt"].get<std::string>() + first["draft"].get<std::string>() + " {2}:");
  CHECK(first["completion"] == " 2");
}

TEST_CASE("rounds: feedback that is missing, a grid of one, a model that always writes the same") {
  RoundRuns runs;
  const auto config = [](const std::string& phases) {
    return R"({"task": "rounds", "threads": 1, "rounds": 1, "model": {"path": "start/final", "dtype": "f32"},
      "data": {"train": ["train.jsonl"], "max_tokens": 100}, "rewards": [{"kind": "contains", "texts": ["3"]}], "phases": [)" +
           phases + R"(], "run": "x"})";
  };
  const std::string missing = problem([&] {
    runs(config(R"({"kind": "generate", "ask": "{prompt} {feedback}:", "sampling": {"max_new_tokens": 4}})"),
         "missing");
  });
  CAPTURE(missing);
  CHECK(has(missing, "train.jsonl:1: has no column \"feedback\", which \"ask\" names"));
  CHECK(has(problem([&] { runs(config(R"({"kind": "generate", "ask": "{prompt"})"), "open"); }),
            "without its }"));

  const auto rows =
      runs(config(R"({"kind": "tune", "count": 4, "n": 2, "temperatures": [1], "thresholds": [0.5],
                                    "sampling": {"max_new_tokens": 4}},
                                   {"kind": "generate", "sampling_from": "tune", "sampling": {"max_new_tokens": 4}})"),
           "one");
  CHECK(rows.front().find("tune/temperature").value() == 1);
  CHECK(runs.lines("one/rounds/01/1-tune/grid.jsonl").size() == 1);

  // Greedy answers of a prompt are the same: no pair is made of them, and one is kept.
  const std::string same = problem([&] {
    runs(config(R"({"kind": "generate", "n": 4, "sampling": {"max_new_tokens": 4, "temperature": 0}},
                   {"kind": "select", "name": "once", "rule": "top"},
                   {"kind": "select", "name": "pairs", "from": ["generate"], "rule": "pairs"},
                   {"kind": "train", "config": {"task": "preference", "train": {"steps": 1, "batch_size": 2}}})"),
         "same");
  });
  CAPTURE(same);
  CHECK(has(same, "there is nothing to train on: the phases pairs left no lines"));
  CHECK(runs.lines("same/rounds/01/2-once/lines.jsonl").size() == 16);
}

TEST_CASE("rounds: the optimizer's state goes on or begins anew") {
  RoundRuns runs;
  const auto weights = [&](const std::string& moments) {
    runs(replaced(R"({"kind": "train", )", R"({"kind": "train", "moments": ")" + moments + R"(", )"),
         moments);
    return std::pair{bytes(runs.folder() / (moments + "/rounds/01/3-train/run/final/model.safetensors")),
                     bytes(runs.folder() / (moments + "/rounds/02/3-train/run/final/model.safetensors"))};
  };
  const auto fresh = weights("fresh"), kept = weights("keep");
  CHECK((fresh.first == kept.first));
  CHECK((fresh.second != kept.second));
}

TEST_CASE("rounds: mistakes are told before anything is done") {
  RoundRuns runs;
  const auto told_of = [&](const std::string& config) { return problem([&] { runs(config, "wrong"); }); };
  const auto says = [&](const std::string& config, const std::string& what) {
    const std::string text = told_of(config);
    CAPTURE(text);
    CHECK(text.find(what) != std::string::npos);
  };
  says(replaced(R"("name": "good", )", R"("name": "good", "from": ["anwers"], )"),
       "phases.1.from: no phase \"anwers\" leaves lines; those that do: answers, good");
  says(replaced(R"("task": "sft", )", R"("task": "sft", "run": "x", )"),
       "phases.2.config.run: follows from the rounds' own");
  says(replaced(R"("task": "sft", )", R"("task": "sft", "data": {"train": ["x"]}, )"),
       "phases.2.config.data: the lines of the phases in \"data\" are trained on");
  says(replaced(R"("task": "sft", )", R"("task": "rounds", )"),
       "phases.2.config.task: rounds do not go into rounds");
  says(replaced(R"("lr": 1e-2)", R"("lr": -1)"), "phases.2.config: optimizer.lr");
  says(replaced(R"("steps": 3)", R"("stepps": 3)"),
       "phases.2.config: train.stepps: unknown key; did you mean \"steps\"?");
  says(replaced(R"("name": "good")", R"("name": "go/od")"), "phases.1.name: \"go/od\" names a folder");
  says(replaced(R"("name": "good")", R"("name": "answers")"),
       "phases.1.name: phase 0 has the name \"answers\", too");
  says(replaced(R"("rounds": 2, )", R"("rounds": 2, "optimizer": {"name": "adamw"}, )"),
       "optimizer: unknown key");
  says(replaced(R"("path": "start/final")", R"("init": {"vocab": 280})"),
       "model.path: rounds start from a model");
  says(replaced(R"("path": "start/final")", R"("path": "nowhere")"), "nowhere");
}

TEST_CASE("rounds: a round that selects nothing is told, and the run goes on when that is mended") {
  RoundRuns runs;
  const std::string strict = replaced(R"("k": 2)", R"("k": 2, "min": 7)");
  const std::string text = problem([&] { runs(strict, "none"); });
  CAPTURE(text);
  CHECK(text.find("round 1, train: there is nothing to train on: the phases good left no lines") !=
        std::string::npos);
  CHECK(fs::exists(runs.folder() / "none/rounds/01/1-answers/lines.jsonl"));
  // The config is part of the run.
  CHECK(problem([&] {
          runs(kRounds, "none", {}, "auto");
        }).find("phases.1.rule.min: 7.0 in the run, null now") != std::string::npos);
}
