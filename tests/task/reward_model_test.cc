// Whole reward-model runs on a tiny model: every form of record, and the "model" reward on what they leave.
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "objective/reward/algorithm.h"
#include "reward/model_reward.h"
#include "run/metrics.h"
#include "task/registry.h"
#include "temp_folder.h"
#include "test.h"
#include "train/run.h"

using namespace temper;

namespace {

const char* const kRewardConfig = R"({
  "task": "reward_model", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["pairs.jsonl"], "eval": ["pairs.jsonl"], "max_tokens": 100},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 3, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "run" })";

// 16 sums; `line` writes the record of a + b.
template <class Line>
std::string records(Line line) {
  std::string out;
  for (int i = 0; i < 16; ++i) out += line(1 + i % 4, 1 + i / 4, i).dump() + "\n";
  return out;
}

std::string question(int a, int b) {
  return fmt::format("Add {} and {}:", a, b);
}
std::string text(int number) {
  return fmt::format(" {}", number);
}

Json pair(int a, int b, int i) {
  return {{"prompt", question(a, b)},
          {"chosen", text(a + b)},
          {"rejected", text(a + b + 1) + " no"},
          {"strength", 1 + i % 3}};
}
Json group(int a, int b, int i) {
  Json answers = Json::array(), labels = Json::array();
  for (int k = 0; k < 2 + i % 3; ++k) {
    answers.push_back(text(a + b + k) + (k > 0 ? " no" : ""));
    labels.push_back(k == 0);
  }
  return {{"prompt", question(a, b)}, {"completions", answers}, {"labels", labels}};
}
Json rated_record(int a, int b, int i) {
  Json ratings = {{"right", i % 2}, {"brief", i % 5 == 0 ? Json(nullptr) : Json(i % 3)}};
  if (i % 7 == 0) ratings["right"] = -100;
  return {{"prompt", question(a, b)}, {"completion", text(a + b + 1 - i % 2)}, {"ratings", ratings}};
}
Json steps(int a, int b, int i) {
  const bool right = i % 3 != 0;
  return {{"prompt", question(a, b)},
          {"completions", {text(a) + " and" + text(b), text(a + b + (right ? 0 : 1)) + (right ? "" : " no")}},
          {"labels", {true, right}}};
}

class RewardRuns {
 public:
  RewardRuns() {
    folder_.write("pairs.jsonl", records(pair));
    folder_.write("groups.jsonl", records(group));
    folder_.write("rated.jsonl", records(rated_record));
    folder_.write("steps.jsonl", records(steps));
    folder_.write("both.jsonl", records(pair) + records(rated_record));
  }

  std::vector<MetricsRow> operator()(const std::string& name, const std::string& data,
                                     std::vector<std::string> sets) {
    const std::string file = folder_.write(name + ".json", kRewardConfig);
    for (const char* part : {"train", "eval"})
      sets.push_back(fmt::format("data.{}=[\"{}.jsonl\"]", part, folder(data)));
    RunConfig run(task_registry());
    load_run_config(run, file, sets);
    run.run = folder(name);
    ConsoleOptions options;
    options.quiet = true;
    Console console(options);
    run_training(run, {"never", nullptr, &console});
    return read_metrics(run.run + "/" + MetricsLog::kMetricsFile);
  }
  std::string folder(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    return folder_.write(name, content);
  }

 private:
  TempFolder folder_;
};

void check_same_figures(const std::vector<MetricsRow>& a, const std::vector<MetricsRow>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].values.size() == b[i].values.size());
    for (size_t v = 0; v < a[i].values.size(); ++v) {
      const auto& [name, x] = a[i].values[v];
      CAPTURE(name);
      CHECK(std::abs(x - b[i].values[v].second) < 1e-5 * std::max(1.0, std::abs(x)));
    }
  }
}

// The "model" reward's scores of completions of one prompt.
std::vector<std::optional<double>> scores(const std::string& path, const Json& columns,
                                          const std::vector<std::string>& completions,
                                          const std::function<void(ModelRewardOptions&)>& change = {}) {
  ModelRewardOptions options;
  options.path = path;
  options.dtype = "f32";
  if (change) change(options);
  const auto reward = options.make();
  std::vector<RewardItem> items;
  for (const std::string& completion : completions) {
    RewardItem item;
    item.prompt = columns["prompt"].is_string() ? columns["prompt"].get<std::string>() : "";
    item.completion = completion;
    item.columns = &columns;
    items.push_back(item);
  }
  std::vector<std::optional<double>> out;
  for (const Score& score : reward->score(items)) out.push_back(score.value);
  return out;
}

}  // namespace

TEST_CASE(
    "reward model: a pair's loss begins near ln 2, the pairs are learnt, and final/ is what was measured") {
  RewardRuns runs;
  const auto rows = runs("bt", "pairs", {"train.steps=30", "eval.every=30"});
  CHECK(rows.front().split == "eval");
  CHECK(*rows.front().find("loss") == doctest::Approx(std::log(2.0)).epsilon(0.02));
  CHECK(rows.back().split == "eval");
  CHECK(*rows.back().find("accuracy") == 1.0);
  CHECK(*rows.back().find("n") == 16);
  CHECK(*rows.back().find("low") > 0.7);
  CHECK(*rows.back().find("loss") < 0.1);
  CHECK(*rows.back().find("by_strength/3") == 1.0);
  CHECK(*rows.back().find("by_strength_n/3") == 5);
  CHECK(*rows.back().find("calibration_error") < 0.2);
  const Json config = read_json_file(runs.folder("bt") + "/final/config.json");
  CHECK(config["architectures"][0] == "LlamaForSequenceClassification");
  CHECK(config["id2label"].size() == 1);
  const std::string report = read_file(runs.folder("bt") + "/report.html");
  CHECK(report.find("Calibration") != std::string::npos);
  CHECK(report.find("difference of scores") != std::string::npos);

  // The reward reads the same text in the same form, whatever the packing.
  const auto samples = read_samples(runs.folder("bt") + "/samples.jsonl", "eval");
  REQUIRE(samples.size() == 32);
  for (const int64_t tokens : {8192, 1}) {
    for (size_t i = 16; i < 32; i += 2) {
      const Json columns = pair(1 + static_cast<int>(i - 16) / 2 % 4, 1 + static_cast<int>(i - 16) / 8, 0);
      const auto found =
          scores(runs.folder("bt") + "/final", columns,
                 {columns["chosen"].get<std::string>(), columns["rejected"].get<std::string>()},
                 [&](ModelRewardOptions& o) { o.micro_batch_tokens = tokens; });
      CHECK(*found[0] == doctest::Approx(*samples[i].reward).epsilon(1e-4));
      CHECK(*found[1] == doctest::Approx(*samples[i + 1].reward).epsilon(1e-4));
    }
  }
  CHECK_FALSE(scores(runs.folder("bt") + "/final", pair(1, 1, 0), {" 2"},
                     [](ModelRewardOptions& o) { o.max_tokens = 3; })[0]);
}

TEST_CASE("reward model: every loss takes its steps, the same for any micro-batch and shared prompts") {
  RewardRuns runs;
  const std::pair<std::string, std::string> all[] = {{"bt", "pairs"},         {"margin_bt", "pairs"},
                                                     {"scaled_bt", "pairs"},  {"listwise", "groups"},
                                                     {"regression", "rated"}, {"process", "steps"}};
  CHECK(objective::reward_algorithm_registry().names().size() == std::size(all));
  for (const auto& [name, data] : all) {
    CAPTURE(name);
    const std::vector<std::string> sets = {"algorithm.name=" + name, "eval.every=3"};
    const auto with = [&](const std::string& more) {
      auto out = sets;
      out.push_back(more);
      return out;
    };
    const auto whole = runs(name + "-whole", data, sets);
    REQUIRE(whole.size() == 5);
    for (const MetricsRow& row : whole) CHECK(std::isfinite(*row.find("loss")));
    CHECK(*whole[1].find("grad_norm") > 0);
    check_same_figures(whole, runs(name + "-cut", data, with("train.micro_batch_tokens=30")));
    check_same_figures(whole, runs(name + "-own", data, with("train.share_prompts=false")));
  }
}

TEST_CASE(
    "reward model: groups, ratings and steps are learnt; the reward reads heads by name and steps by kind") {
  RewardRuns runs;
  const auto groups =
      runs("groups", "groups", {"algorithm.name=listwise", "train.steps=40", "eval.every=40"});
  CHECK(*groups.back().find("accuracy") > 0.95);

  const auto ratings =
      runs("rated", "rated", {"algorithm.name=regression", "train.steps=150", "eval.every=150"});
  CHECK(*ratings.back().find("error") < 0.5 * *ratings.front().find("error"));
  const std::string rated_final = runs.folder("rated") + "/final";
  const Json config = read_json_file(rated_final + "/config.json");
  CHECK(config["id2label"] == Json({{"0", "brief"}, {"1", "right"}}));
  const auto by = [&](const std::string& head) {
    return *scores(rated_final, rated_record(2, 1, 1), {" 3"},
                   [&](ModelRewardOptions& o) { o.head = head; })[0];
  };
  CHECK(by("right") == by("1"));
  CHECK(by("brief") == by(""));
  CHECK(by("right") != by("brief"));
  CHECK_THROWS_WITH_AS(by("kind"), doctest::Contains("brief, right"), UserError);

  const auto process = runs("steps", "steps", {"algorithm.name=process", "train.steps=60", "eval.every=60"});
  CHECK(*process.back().find("accuracy") > 0.9);
  CHECK(*process.back().find("n") == 32);
  const Json columns = steps(2, 2, 1);
  const std::string good = " 2 and 2\n 4", bad = " 2 and 2\n 5 no";
  for (const std::string how : {"min", "product", "mean", "last"}) {
    CAPTURE(how);
    const auto found = scores(runs.folder("steps") + "/final", columns, {good, bad, ""},
                              [&](ModelRewardOptions& o) { o.aggregate = how; });
    CHECK(*found[0] > *found[1]);
    CHECK(found[2].has_value());
  }
}

TEST_CASE("reward model: comparisons and ratings train one model together") {
  RewardRuns runs;
  const std::vector<std::string> sets = {
      "algorithm={\"name\": \"bt\", \"head\": 1, \"also\": [{\"name\": "
      "\"regression\", \"weight\": 0.5}]}"};
  const auto rows = runs("both", "both", sets);
  for (const MetricsRow& row : rows) {
    REQUIRE(row.find("bt/loss"));
    REQUIRE(row.find("regression/loss"));
    CHECK(*row.find("loss") ==
          doctest::Approx(*row.find("bt/loss") + 0.5 * *row.find("regression/loss")).epsilon(1e-5));
  }
  auto cut = sets;
  cut.push_back("train.micro_batch_tokens=30");
  check_same_figures(rows, runs("both-cut", "both", cut));
}

TEST_CASE("reward model: a verbaliser is a causal model; a LoRA trains its score head too") {
  RewardRuns runs;
  const std::vector<std::string> sets = {
      "score={\"mode\": \"verbaliser\", \"question\": \" good?\", \"yes\": \"1\", \"no\": \"2\"}"};
  auto longer = sets;
  longer.insert(longer.end(), {"train.steps=40", "eval.every=40"});
  const auto rows = runs("verbaliser", "pairs", longer);
  CHECK(*rows.back().find("accuracy") > 0.9);
  const std::string final = runs.folder("verbaliser") + "/final";
  CHECK(read_json_file(final + "/config.json")["architectures"][0] == "LlamaForCausalLM");
  const Json columns = pair(1, 2, 0);
  const auto found = scores(final, columns, {" 3", " 4 no"}, [](ModelRewardOptions& o) {
    o.score.mode = "verbaliser";
    o.score.question = " good?";
    o.score.yes = "1";
    o.score.no = "2";
  });
  CHECK(*found[0] > *found[1]);
  CHECK_THROWS_WITH_AS(runs("words", "pairs", {"score={\"mode\": \"verbaliser\"}"}),
                       doctest::Contains("score.yes"), UserError);

  const auto lora = runs("lora", "pairs",
                         {"model={\"path\": \"" + final + "\", \"dtype\": \"f32\"}", "train.steps=40",
                          "adapter={\"kind\": \"lora\", \"rank\": 4}", "optimizer.lr=1e-2", "eval.every=40"});
  CHECK(*lora.back().find("accuracy") > 0.9);
  const Json adapter = read_json_file(runs.folder("lora") + "/final/adapter_config.json");
  CHECK(adapter["task_type"] == "SEQ_CLS");
  CHECK(adapter["modules_to_save"] == Json::array({"score"}));
  const auto adapted = scores(runs.folder("lora") + "/final", columns, {" 3", " 4 no"});
  CHECK(*adapted[0] > *adapted[1]);
}

TEST_CASE("reward model: bt takes a record's margin off the difference") {
  RewardRuns runs;
  // -logsigmoid(delta - margin) of the one pair that the step takes, as TRL's RewardTrainer has it; null is
  // none.
  for (const double margin : {0.0, 5.0, -1.5, std::nan("")}) {
    const std::string name = fmt::format("margin{}", margin);
    runs.write(name + ".jsonl", records([&](int a, int b, int i) {
                 Json one = pair(a, b, i);
                 one["margin"] = margin == margin ? Json(margin) : Json(nullptr);
                 return one;
               }));
    const auto rows = runs(name, name, {"train.batch_size=1", "train.steps=1"});
    const double delta = *rows[0].find("margin"), taken = margin == margin ? margin : 0.0;
    CHECK(*rows[0].find("loss") == doctest::Approx(std::log1p(std::exp(taken - delta))).epsilon(1e-5));
  }
}

TEST_CASE("reward model: what the data lacks is one clear line before training") {
  RewardRuns runs;
  const auto refusal = [&](const std::string& name, const std::string& data,
                           const std::vector<std::string>& sets) -> std::string {
    try {
      runs(name, data, sets);
    } catch (const UserError& error) {
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
      return error.what();
    }
    return "no error";
  };
  const auto has = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    return text.find(part) != std::string::npos;
  };
  CHECK(has(refusal("form", "groups", {}), "groups.jsonl:1"));
  CHECK(has(refusal("form2", "groups", {}), "bt needs \"chosen\" and \"rejected\""));
  CHECK(has(refusal("head", "pairs", {"algorithm.head=3"}), "algorithm.head: 3"));
  CHECK(
      has(refusal("none", "pairs", {"algorithm={\"name\": \"bt\", \"also\": [{\"name\": \"regression\"}]}"}),
          "no record is for regression"));
  CHECK(has(
      refusal("kinds", "groups", {"algorithm={\"name\": \"listwise\", \"also\": [{\"name\": \"process\"}]}"}),
      "one of the two"));
  Json weak = pair(1, 2, 0);
  weak.erase("strength");
  runs.write("weak.jsonl", records(pair) + weak.dump() + "\n");
  CHECK(has(refusal("strength", "weak", {"algorithm.name=margin_bt"}),
            "weak.jsonl:17: there is no \"strength\""));
  Json words = rated_record(1, 2, 1);
  words["ratings"]["right"] = "high";
  runs.write("words.jsonl", records(rated_record) + words.dump() + "\n");
  CHECK(has(refusal("words", "words", {"algorithm.name=regression"}), "words.jsonl:17: ratings.right"));
  runs.write("alike.jsonl", records([](int a, int b, int i) {
               Json out = group(a, b, i);
               for (Json& label : out["labels"]) label = true;
               return out;
             }));
  CHECK(has(refusal("alike", "alike", {"algorithm.name=listwise"}), "nothing to compare"));
  CHECK(has(refusal("pad", "pairs", {"score.pad_token=<nobody>"}), "<nobody>"));
}
