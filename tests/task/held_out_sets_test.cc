// Sets of held-out data of which each has a loss of its own, in runs of every task.
#include "base/error.h"
#include "runs.h"
#include "told.h"

using namespace temper;

namespace {

struct SetRuns : Runs {
  SetRuns() {
    write("pairs.jsonl", arithmetic_pairs());
    std::string texts;
    for (int i = 0; i < 6; ++i) texts += fmt::format("{{\"text\": \"Add {} and more words\"}}\n", i);
    write("texts.jsonl", texts);
    write("more.jsonl", "{\"prompt\": \"Add 7 and 7:\", \"completion\": \" 14\"}\n");
    write("long.jsonl", "{\"text\": \"" + std::string(400, 'x') + "\"}\n");
    (*this)(tiny_sft("train.jsonl", 1), "start");
  }
  std::string file(const std::string& name) const { return "\"" + (folder() / name).string() + "\""; }
  std::string losses(const std::string& sets) const { return "eval.losses=[" + sets + "]"; }
  std::string set(const std::string& name, const std::string& files) const {
    return "{\"name\": \"" + name + "\", \"files\": [" + files + "]}";
  }
  // A task's config, from a model that all share.
  std::string config(const std::string& task, const std::string& data) const {
    Json json = Json::parse(tiny_sft(data, 2));
    json["task"] = task;
    json["model"] = {{"path", (folder() / "start/final").string()}, {"dtype", "f32"}};
    json["eval"] = {{"every", 1}};
    if (task == "rl") {
      json["rewards"] = Json::array({{{"kind", "contains"}, {"texts", {"1"}}}});
      json["rollout"] = {{"prompts_per_step", 2}, {"group_size", 2}, {"max_new_tokens", 4}};
      json["train"].erase("batch_size");
    }
    if (task == "distill") json["teachers"] = Json::array({{{"path", (folder() / "start/final").string()}}});
    if (task == "reward_model") {
      json["score"] = {{"mode", "verbaliser"}, {"question", " good?"}, {"yes", "1"}, {"no", "2"}};
      json["train"]["batch_size"] = 2;
    }
    return json.dump();
  }
};

}  // namespace

TEST_CASE("held-out sets: every task measures the loss of each, whatever its own figures are") {
  SetRuns runs;
  const std::string sets =
      runs.losses(runs.set("old", runs.file("texts.jsonl")) + ", " +
                  runs.set("new", runs.file("train.jsonl") + ", " + runs.file("more.jsonl")));
  double old_loss = 0, new_loss = 0;
  for (const auto& [task, data] :
       std::vector<std::pair<std::string, std::string>>{{"sft", "train.jsonl"},
                                                        {"preference", "pairs.jsonl"},
                                                        {"rl", "train.jsonl"},
                                                        {"distill", "train.jsonl"},
                                                        {"reward_model", "pairs.jsonl"}}) {
    CAPTURE(task);
    const auto rows = runs(runs.config(task, data), task, {sets, "data.eval=[" + runs.file(data) + "]"});
    REQUIRE(rows.size() == 5);  // before, and after each of two steps
    for (const MetricsRow& row : rows) {
      CHECK(row.find("loss/old").has_value() == (row.split == "eval"));
      if (row.split != "eval") continue;
      CHECK(*row.find("perplexity/new") == doctest::Approx(std::exp(*row.find("loss/new"))).epsilon(1e-12));
      CHECK(row.values.size() > 4);  // the task's own too
    }
    // The same model before training, so the same losses.
    if (task == "sft") {
      old_loss = *rows.front().find("loss/old");
      new_loss = *rows.front().find("loss/new");
      CHECK(old_loss != new_loss);
      CHECK(*rows.back().find("loss/new") < 0.9 * new_loss);
      CHECK(has(runs.said("sft"), "before training: held-out loss"));
      CHECK(has(runs.said("sft"), fmt::format("; loss/old {:.4f}, loss/new {:.4f}", old_loss, new_loss)));
    }
    CHECK(*rows.front().find("loss/old") == doctest::Approx(old_loss).epsilon(1e-5));
    CHECK(*rows.front().find("loss/new") == doctest::Approx(new_loss).epsilon(1e-5));
  }
}

TEST_CASE("held-out sets: the loss is that of the task's own held-out data where the files are the same") {
  SetRuns runs;
  const std::string same = "data.eval=[" + runs.file("train.jsonl") + "]";
  const auto rows = runs(runs.config("sft", "texts.jsonl"), "same",
                         {same, runs.losses(runs.set("again", runs.file("train.jsonl"))), "eval.limit=5"});
  for (const MetricsRow& row : rows)
    if (row.split == "eval") CHECK(*row.find("loss") == *row.find("loss/again"));
  // Their files are part of the run.
  runs.write("train.jsonl", arithmetic_pairs());
  CHECK(has(problem([&] {
              runs(runs.config("sft", "texts.jsonl"), "same",
                   {same, runs.losses(runs.set("again", runs.file("train.jsonl"))), "eval.limit=5"}, "must");
            }),
            "eval.losses.0.files"));
  runs.write("train.jsonl", arithmetic());
  // Alone, they are what "best" is about.
  const auto alone = runs(runs.config("sft", "texts.jsonl"), "alone",
                          {runs.losses(runs.set("again", runs.file("train.jsonl"))), "eval.limit=5",
                           "checkpoint.best=true", "checkpoint.every=1", "checkpoint.keep=1"});
  REQUIRE(alone.size() == rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].split != "eval") continue;
    CHECK(*alone[i].find("loss/again") == *rows[i].find("loss/again"));
    CHECK(!alone[i].find("loss"));
  }
  CHECK(has(runs.said("alone"), "before training: loss/again"));
  // Also where completions would be sampled and scored, of held-out prompts that there are not.
  const auto rl = runs(runs.config("rl", "train.jsonl"), "rl-alone",
                       {runs.losses(runs.set("texts", runs.file("texts.jsonl")))});
  CHECK(rl.front().find("loss/texts"));
  CHECK(!rl.front().find("reward"));
  const std::string report = bytes(runs.folder() / "alone/report.html");
  CHECK(has(report, "Held-out loss: again"));
}

TEST_CASE("held-out sets: what is too long is counted, and what cannot be measured is refused at once") {
  SetRuns runs;
  const std::string sft = runs.config("sft", "train.jsonl");
  const auto rows =
      runs(sft, "some",
           {runs.losses(runs.set("mixed", runs.file("texts.jsonl") + ", " + runs.file("long.jsonl")))});
  CHECK(*rows.front().find("left_out/mixed") == 1);
  CHECK(has(runs.said("some"), "1 of 7 held-out records of \"mixed\" are longer than max_tokens 100"));

  const auto refused = [&](const std::string& config, const std::string& sets) {
    return problem([&] { runs(config, "refused", {runs.losses(sets)}); });
  };
  CHECK(
      has(refused(sft, runs.set("x", runs.file("long.jsonl"))), "eval.losses: x: none of the 1 records of"));
  CHECK(has(refused(sft, runs.set("x", runs.file("none.jsonl"))), "none.jsonl"));
  CHECK(has(refused(sft, runs.set("x", "")), "eval.losses.0.files: name at least one file"));
  CHECK(has(refused(sft, runs.set("", runs.file("texts.jsonl"))), "eval.losses.0.name: is empty"));
  const std::string texts = runs.set("x", runs.file("texts.jsonl"));
  CHECK(has(refused(sft, texts + ", " + texts), "eval.losses.1.name: \"x\" is there twice"));
  runs.write("prompts.jsonl", "{\"prompt\": \"Add 1 and 1:\"}\n");
  CHECK(has(refused(sft, runs.set("x", runs.file("prompts.jsonl"))), "prompts.jsonl:1"));
  Json scored = Json::parse(runs.config("reward_model", "pairs.jsonl"));
  scored.erase("score");
  CHECK(has(refused(scored.dump(), texts), "eval.losses: a model that scores with a head of its own"));
}
