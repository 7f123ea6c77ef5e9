// Whatever stands in a config in the place of what belongs there, reading it ends well or in a UserError.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "task/registry.h"
#include "temp_folder.h"
#include "test.h"
#include "train/config.h"

using namespace temper;

namespace {

// What load_run_config says; "" when it reads the config. Anything but a UserError goes on to the test.
std::string said(const std::string& path, const std::vector<std::string>& sets = {}) {
  try {
    RunConfig config(task_registry());
    load_run_config(config, path, sets);
    CHECK(config.updates() > 0);
    dump_fields(config);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

std::string said_of(const std::string& content) {
  const TempFolder folder;
  return said(folder.write("c.json", content));
}

// Every value with the keys that lead to it and the kinds of what holds it; an array's items count as one.
using Values = std::vector<std::pair<Json*, std::string>>;
void collect(Json& json, std::string keys, Values& all) {
  all.emplace_back(&json, keys);
  if (!json.is_structured()) return;
  for (const char* kind : {"name", "kind"})
    if (json.is_object() && json.contains(kind)) keys += " " + json[kind].dump();
  for (auto item = json.begin(); item != json.end(); ++item)
    collect(*item, keys + "." + (json.is_object() ? item.key() : "*"), all);
}

std::vector<std::string> shipped_configs() {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(TEMPER_SOURCE_DIR "/configs"))
    if (entry.path().extension() == ".json") out.push_back(entry.path().string());
  return out;
}

}  // namespace

TEST_CASE("config: every value of the shipped configs replaced by what does not belong there") {
  const TempFolder folder;
  const Json wrong[] = {nullptr,
                        true,
                        -1,
                        0,
                        INT64_MAX,
                        1e308,
                        -1e300,
                        "",
                        "x",
                        Json::array(),
                        Json::object(),
                        Json::array({"x"}),
                        Json::array({Json::object()}),
                        Json::array({nullptr})};
  int64_t read = 0, refused = 0;
  std::set<std::string> done;  // one field is read alike in every config of a task
  for (const std::string& file : shipped_configs()) {
    CAPTURE(file);
    RunConfig config(task_registry());
    try {
      load_run_config(config, file, {});
    } catch (const UserError&) {
      continue;  // a layer of others
    }
    Json json = dump_fields(config);
    Values all;
    collect(json, json["task"].get<std::string>(), all);
    for (size_t i = 0; i < all.size(); ++i) {
      if (!done.insert(all[i].second).second) continue;
      const Json value = *all[i].first;
      for (size_t w = 0; w < std::size(wrong); ++w) {
        *all[i].first = wrong[w];
        const std::string path = folder.write("c.json", json.dump());
        // As a config of its own, and as the layer below others.
        const std::string text = (i + w) % 2 == 0 ? said(path) : said(path, {"seed=3"});
        (text.empty() ? read : refused)++;
        *all[i].first = value;
      }
      if (value.is_structured()) {  // the pointers into it are no longer its own
        all.clear();
        collect(json, json["task"].get<std::string>(), all);
      }
    }
  }
  CHECK(read > 100);
  CHECK(refused > 1000);
}

TEST_CASE("config: parts that could not be read are not looked into") {
  const std::string head = R"({"model": {"path": "x"}, "data": {"train": ["x.jsonl"]}, )";
  const std::string also =
      said_of(head + R"("task": "preference", "algorithm": {"name": "dpo", "also": ["x"]}})");
  CHECK(also.ends_with("algorithm.also.0: expected an object, found \"x\""));
  CHECK(said_of(head + R"("task": "preference", "algorithm": {"also": [{"name": "dop"}]}})")
            .find("did you mean \"dpo\"") != std::string::npos);
  CHECK(said_of(head + R"("task": "reward_model", "algorithm": {"also": [{}]}})")
            .find("also.0.name: missing") != std::string::npos);
  CHECK(said_of(head + R"("task": "rl", "rewards": [{}]})").find("rewards.0.kind: missing") !=
        std::string::npos);
  const std::string kind = said_of(
      R"({"task": "sft", "model": {"path": "x", "quantise": "nf4"}, "data": {"train": ["x"]}, "adapter": {"kind": 3}, "inputs": [7]})");
  CHECK(kind.find("adapter.kind: expected a string") != std::string::npos);
  CHECK(kind.find("inputs.0: expected an object") != std::string::npos);
}

TEST_CASE("config: counts beyond all use are refused, and their products fit") {
  const std::string head =
      R"({"model": {"path": "x"}, "data": {"train": ["x.jsonl"]}, "rewards": [{"kind": "math"}], )";
  CHECK(said_of(head + R"("task": "rl", "train": {"steps": 3000000000}})").find("train.steps: expected") !=
        std::string::npos);
  CHECK(said_of(head + R"("task": "rl", "rollout": {"prompts_per_step": 1048576, "group_size": 4096,
      "max_new_tokens": 2147483647, "max_batch": 4096}, "train": {"steps": 2147483647, "updates_per_rollout": 100,
      "batch_size": 1}, "schedule": {"name": "cosine", "warmup": 1e300}})")
            .empty());
}
