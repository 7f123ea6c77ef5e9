// What a run folder promises between two starts: one process at a time, the same files, whole checkpoints.
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "inspect/inspect.h"
#include "run/files.h"
#include "run/folder.h"
#include "runs.h"
#include "test.h"
#include "told.h"
#include "train/config_paths.h"

using namespace temper;

namespace {

const std::vector<std::string> kSaving = {"train.steps=6", "checkpoint.every=1", "checkpoint.keep=9"};

// The run without its end and the checkpoints from step `from` on.
void tear(const fs::path& run, int from, int steps) {
  fs::remove_all(run / "final");
  for (int step = from; step <= steps; ++step)
    fs::remove_all(run / "checkpoints" / fmt::format("step-{}", step));
}

std::string flipped(std::string content, size_t at) {
  content.at(at) = static_cast<char>(content[at] ^ 4);
  return content;
}

void put(const fs::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary) << content;
}

// DONE as it was before there were checksums, so that damage is found when a checkpoint is taken up.
void forget_checksums(const fs::path& checkpoint) {
  const Done done = read_done(checkpoint.string());
  Json files = Json::object();
  for (const auto& [name, file] : done.files) files[name] = file.bytes;
  put(checkpoint / "DONE", Json{{"step", done.step}, {"files", files}}.dump());
}

}  // namespace

TEST_CASE("changed data is noticed on resume, named, refused, and accepted when asked") {
  Runs runs;
  runs.write("eval.jsonl", arithmetic());
  runs.write("chat.jinja", "{{ messages[0].content }}");
  const auto sets = with(kSaving, {"data.eval=[\"" + (runs.folder() / "eval.jsonl").string() + "\"]",
                                   "data.template=" + (runs.folder() / "chat.jinja").string()});
  const std::string config = tiny_sft("train.jsonl", 6);
  const auto rows = runs(config, "run", sets);
  const std::string data = bytes(runs.folder() / "train.jsonl");
  const auto resume = [&](bool accept) { return runs(config, "run", sets, "auto", accept); };
  const auto refused = [&](const char* name, const std::string& content, const std::string& told) {
    CAPTURE(name);
    const std::string before = bytes(runs.folder() / name);
    runs.write(name, content);
    const std::string text = problem([&] { resume(false); });
    CHECK(has(text, name));
    CHECK(has(text, told));
    CHECK(has(text, "--accept-changed-data"));
    runs.write(name, before);
    CHECK(problem([&] { resume(false); }).empty());
  };
  refused("train.jsonl", data.substr(0, data.size() / 2), "data.train");
  refused("train.jsonl", flipped(data, data.find("Add") + 4), "same size");
  refused("eval.jsonl", data.substr(0, data.find('\n') + 1), "data.eval");
  refused("chat.jinja", "{{ messages[0].role }}", "data.template");

  // Accepted, the run goes on, and the changed file is its own from its next checkpoint on.
  tear(runs.folder() / "run", 4, 6);
  runs.write("train.jsonl", data.substr(0, data.find('\n') + 1));
  CHECK_FALSE(problem([&] { resume(false); }).empty());
  CHECK(resume(true).size() == 6);
  CHECK(problem([&] { resume(false); }).empty());
}

TEST_CASE("a run of an earlier version goes on, with new fields at their defaults, or the error names it") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 6);
  runs(config, "run", kSaving);
  const fs::path run = runs.folder() / "run";
  const auto older = [&](const fs::path& file, const std::function<void(Json&)>& change) {
    Json json = Json::parse(bytes(file));
    json.erase("temper");
    change(json);
    put(file, json.dump());
  };
  older(run / "config.json", [](Json& json) {
    json.erase("samples_logged");
    json["data"].erase("special_tokens");
    json["data"].erase("columns");
    json["data"]["prompt_column"] = "prompt";
    json["train"].erase("epochs");
  });
  older(run / "data.json", [](Json&) {});
  tear(run, 4, 6);
  for (int step = 1; step < 4; ++step) {
    const fs::path checkpoint = run / "checkpoints" / fmt::format("step-{}", step);
    older(checkpoint / "state.json", [](Json&) {});
    write_done(checkpoint.string(), step);
  }
  CHECK(runs(config, "run", kSaving, "auto").size() == 6);

  older(run / "config.json", [](Json& json) { json["train"]["accumulation"] = 2; });
  const std::string text = problem([&] { runs(config, "run", kSaving, "auto"); });
  CHECK(has(text, "train.accumulation: 2 in the run, \"(absent)\" now"));
  CHECK(has(text, "another config; it was written by Temper 0.1 or before"));
  const std::string state = problem([] {
    RunState::from_json({{"temper", "0.0.9"}, {"step", 1}}, "state.json");
  });
  CHECK(has(state, "it was written by Temper 0.0.9"));
}

TEST_CASE("a run's files are the data, the model and all that a config field names as a path") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 1), "teacher", {"train.steps=1"});
  const std::string teacher = (runs.folder() / "teacher/final").string();
  Json config = Json::parse(tiny_sft("train.jsonl", 1));
  config["task"] = "distill";
  config["teachers"] = {{{"path", "teacher/final"}}, {{"path", "nowhere"}}};
  config["model"] = {{"path", "teacher/final"}};
  runs.write("distill.json", config.dump());
  RunConfig run(task_registry());
  load_run_config(run, (runs.folder() / "distill.json").string(), {});
  const auto files = run_files(config_paths(run));
  std::vector<std::string> fields;
  for (const RunFile& f : files) fields.push_back(f.field);
  CHECK(fields == std::vector<std::string>{"teachers.0.path", "model.path", "data.train"});
  CHECK(changed_files(to_json(files), files, "data.json").empty());
  // An adapter's scores are its base model's too.
  fs::create_directories(runs.folder() / "judge");
  runs.write("judge/adapter_config.json", Json{{"base_model_name_or_path", teacher}}.dump());
  RunConfig judged(task_registry());
  load_run_config(
      judged, (runs.folder() / "distill.json").string(),
      {"rewards=[{\"kind\": \"model\", \"path\": \"" + (runs.folder() / "judge").string() + "\"}]"});
  std::vector<std::string> paths;
  for (const RunFile& f : run_files(config_paths(judged))) {
    if (f.field == "rewards.0.path") paths.push_back(f.path);
  }
  CHECK(paths == std::vector<std::string>{(runs.folder() / "judge").string(), teacher});

  // Notes beside the weights are no part of a model.
  put(fs::path(teacher) / "README.md", "notes");
  CHECK(changed_files(to_json(files), run_files(config_paths(run)), "data.json").empty());
  put(fs::path(teacher) / "model.safetensors", flipped(bytes(fs::path(teacher) / "model.safetensors"), 5000));
  CHECK(changed_files(to_json(files), run_files(config_paths(run)), "data.json").size() == 2);
  CHECK_THROWS_AS(changed_files(Json::array(), files, "data.json"), UserError);
}

TEST_CASE("a second process in a run folder is refused, and leaves it alone") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 6), folder = (runs.folder() / "run").string();
  runs(config, "run", kSaving);
  const std::string before = bytes(runs.folder() / "run/metrics.jsonl");
  {
    const FileLock other(folder + "/lock", folder);
    const std::string text = problem([&] { runs(config, "run", kSaving, "auto"); });
    CHECK(has(text, "in use by process"));
    CHECK(has(text, folder));
  }
  CHECK(bytes(runs.folder() / "run/metrics.jsonl") == before);
  CHECK(problem([&] { runs(config, "run", kSaving, "auto"); }).empty());
}

TEST_CASE("damage that is found while a checkpoint is taken up leaves no trace in the run") {
  Runs runs;
  const auto full = Json::parse(tiny_sft("train.jsonl", 6));
  for (const Json& adapter :
       {Json{{"kind", "full"}}, Json{{"kind", "lora"}, {"rank", 2}},
        Json{{"kind", "increlora"}, {"rank", 1}, {"target", 3}, {"warmup", 2}, {"interval", 1}, {"top", 2}},
        Json{{"kind", "lisa"}, {"every", 2}, {"blocks", 1}, {"state", "keep"}}}) {
    const std::string kind = adapter["kind"];
    CAPTURE(kind);
    Json config = full;
    config["adapter"] = adapter;
    const auto rows = runs(config.dump(), kind, kSaving);
    const fs::path whole = runs.folder() / kind, torn = runs.folder() / (kind + "-torn");
    const char* weights =
        kind == "full" || kind == "lisa" ? "final/model.safetensors" : "final/adapter_model.safetensors";
    // A checksum that differs; and, without checksums, a tensor that is missing in what is read last.
    for (const bool checksums : {true, false}) {
      CAPTURE(checksums);
      fs::remove_all(torn);
      fs::copy(whole, torn, fs::copy_options::recursive);
      tear(torn, 6, 6);
      const fs::path checkpoint = torn / "checkpoints/step-5";
      if (!checksums) forget_checksums(checkpoint);
      const fs::path file = checkpoint / (checksums ? "trainable.safetensors" : "optimizer.safetensors");
      const std::string content = bytes(file);
      put(file, flipped(content, checksums ? content.size() - 9 : content.find("/step")));
      check_same(rows, runs(config.dump(), kind + "-torn", kSaving, "must"), 0x1p-60);
      CHECK(bytes(torn / weights) == bytes(whole / weights));
    }
  }
}

TEST_CASE("final is whole or not there, and inspection reads every byte") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 6), folder = (runs.folder() / "run").string();
  runs(config, "run", kSaving);
  Json seen = inspect_run(folder);
  CHECK(seen["finished"] == true);
  CHECK_FALSE(seen.contains("problem"));
  for (const Json& row : seen["checkpoints"]) CHECK(row["whole"] == true);

  const fs::path weights = runs.folder() / "run/final/model.safetensors";
  const std::string whole = bytes(weights);
  put(weights, flipped(whole, whole.size() - 1));
  const fs::path moments = runs.folder() / "run/checkpoints/step-4/optimizer.safetensors";
  put(moments, flipped(bytes(moments), fs::file_size(moments) - 1));
  seen = inspect_run(folder);
  CHECK(seen["finished"] == false);
  CHECK(has(seen["problem"], "model.safetensors"));
  CHECK(seen["checkpoints"][3]["whole"] == false);
  CHECK(has(seen["checkpoints"][3]["problem"], "optimizer.safetensors"));
  CHECK(seen["state"]["step"] == 6);

  // Started again, a damaged end is written anew, one that is whole is left as it is, and what a killed
  // process left half written is gone.
  fs::create_directories(folder + "/final.tmp");
  fs::create_directories(folder + "/checkpoints/step-3.tmp");
  put(folder + "/report.html.12.tmp", "half");
  runs(config, "run", kSaving, "auto");
  CHECK(bytes(weights) == whole);
  for (const char* left : {"/final.tmp", "/checkpoints/step-3.tmp", "/report.html.12.tmp"})
    CHECK_FALSE(fs::exists(folder + left));
  put(folder + "/final/notes.md", "mine");
  runs(config, "run", kSaving, "auto");
  CHECK(fs::exists(folder + "/final/notes.md"));
}

TEST_CASE("logs that were deleted between two starts begin anew") {
  Runs runs;
  const std::string config = tiny_sft("train.jsonl", 6);
  runs(config, "run", kSaving);
  const fs::path run = runs.folder() / "run";
  tear(run, 4, 6);
  for (const char* name : {MetricsLog::kMetricsFile, MetricsLog::kSamplesFile, MetricsLog::kEventsFile})
    fs::remove(run / name);
  const auto rows = runs(config, "run", kSaving, "must");
  REQUIRE(rows.size() == 3);
  CHECK(rows.front().step == 4);
}
