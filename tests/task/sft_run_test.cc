// Supervised runs: every loss and every input transform of tiny models.
#include "base/error.h"
#include "objective/supervised/supervised.h"
#include "runs.h"
#include "task/sft/inputs.h"

using namespace temper;

namespace {

const std::string kSftScored = tiny_sft("scored.jsonl", 4);

// Sums with right answers of reward 1 and wrong ones of reward -1, and what input transforms read.
std::string scored() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4, slip = i % 3 == 0 ? 1 : 0;
    Json line = {{"prompt", fmt::format("Add {} and {}:", a, b)},
                 {"completion", fmt::format(" {}", a + b + slip)},
                 {"reward", slip == 0 ? 1 : -1},
                 {"refinements", {" 0", fmt::format(" {}", a + b)}},
                 {"scores", {0.2, 0.7}}};
    if (slip != 0) line["feedback"] = fmt::format("off by {}", slip);
    out += line.dump() + "\n";
  }
  return out;
}

struct SftRuns : Runs {
  SftRuns() { write("scored.jsonl", scored()); }
};

std::vector<double> losses(const std::vector<MetricsRow>& rows) {
  std::vector<double> out;
  for (const MetricsRow& row : rows) out.push_back(*row.find("loss"));
  return out;
}

// A run of 4 steps against one that is cut into small micro-batches and one that recomputes its blocks.
void check_cuts(SftRuns& runs, const std::string& name, const std::vector<std::string>& sets) {
  CAPTURE(name);
  const auto with = [&](const std::string& more) {
    auto all = sets;
    all.push_back(more);
    return all;
  };
  const auto whole = runs(kSftScored, name, sets);
  REQUIRE(whole.size() == 4);
  for (const MetricsRow& row : whole) {
    CHECK(std::isfinite(*row.find("loss")));
    CHECK(*row.find("grad_norm") > 0);
    CHECK(*row.find("skipped") == 0);
  }
  check_same(whole, runs(kSftScored, name + "-cut", with("train.micro_batch_tokens=16")), 1e-5);
  check_same(whole, runs(kSftScored, name + "-recomputed", with("model.checkpointing=all")), 1e-5);
}

}  // namespace

TEST_CASE("every supervised loss trains, for any micro-batch") {
  SftRuns runs;
  for (const std::string& name : objective::supervised_registry().names()) {
    std::vector<std::string> sets = {"loss.name=" + name};
    if (name == "nll") sets.push_back("loss.label_smoothing=0.1");
    check_cuts(runs, name, sets);
  }
}

TEST_CASE("every input transform trains, for any micro-batch, and a killed run ends with the same bytes") {
  SftRuns runs;
  for (const std::string& name : input_registry().names()) {
    std::string entry = "\"kind\": \"" + name + "\"";
    if (name == "conditional") entry += ", \"drop\": 0.4";
    if (name == "masked_thought" || name == "bash") entry += ", \"rise\": 0.5";
    if (name == "rac") entry += ", \"max_new_tokens\": 8";
    const std::vector<std::string> sets = {"inputs=[{" + entry + "}]"};
    check_cuts(runs, name, sets);

    auto saving = sets;
    saving.push_back("checkpoint.every=1");
    saving.push_back("checkpoint.keep=9");
    const auto whole = runs(kSftScored, name + "-whole", saving);
    const auto folder = runs.folder() / (name + "-whole"), torn = runs.folder() / (name + "-torn");
    std::filesystem::copy(folder, torn, std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(torn / "final");
    for (const char* step : {"step-3", "step-4"}) std::filesystem::remove_all(torn / "checkpoints" / step);
    check_same(whole, runs(kSftScored, name + "-torn", saving, "must"), 0x1p-60);
    CHECK(bytes(folder / "final/model.safetensors") == bytes(torn / "final/model.safetensors"));
  }
}

TEST_CASE("label smoothing keeps the model from certainty") {
  SftRuns runs;
  const std::vector<std::string> longer = {
      "train.steps=150", "train.batch_size=16",
      "data.train=[\"" + (runs.folder() / "train.jsonl").string() + "\"]"};
  auto smooth = longer;
  smooth.push_back("optimizer.lr=3e-3");
  smooth.push_back("loss.label_smoothing=0.2");
  CHECK(losses(runs(kSftScored, "sharp", longer)).back() < 0.2);
  // The cross entropy with 0.8 on the target and the rest on all of 280 tokens is at least 1.62.
  CHECK(losses(runs(kSftScored, "smooth", smooth)).back() > 1.6);
}

TEST_CASE("noise on embeddings is fresh in every step and gone with alpha 0") {
  SftRuns runs;
  const std::vector<std::string> still = {"train.steps=2", "optimizer.lr=0", "train.batch_size=16"};
  const auto with = [&](const std::string& alpha) {
    auto all = still;
    all.push_back("inputs=[{\"kind\": \"neftune\", \"alpha\": " + alpha + "}]");
    return losses(runs(kSftScored, "noise-" + alpha, all));
  };
  const auto plain = losses(runs(kSftScored, "plain", still)), none = with("0"), noisy = with("5");
  CHECK(plain[0] == doctest::Approx(plain[1]).epsilon(1e-6));
  CHECK(none == plain);
  CHECK(noisy[0] != plain[0]);
  CHECK(std::abs(noisy[0] - noisy[1]) > 1e-4);
}

TEST_CASE("rewards filter records, weigh them, and stand before them as control tokens") {
  SftRuns runs;
  runs.write("good.jsonl", [] {
    std::string out, line;
    std::istringstream in(scored());
    while (std::getline(in, line)) {
      if (line.find("\"reward\":1,") != std::string::npos) out += line + "\n";
    }
    return out;
  }());
  // Both train their tokenizer on the same texts.
  runs(kSftScored, "base", {"train.steps=1"});
  const auto file = [&](const char* name) { return "\"" + (runs.folder() / name).string() + "\""; };
  const std::string base = "model={\"path\": " + file("base/final") + ", \"dtype\": \"f32\"}";
  const auto filtered = runs(kSftScored, "filtered", {base, "inputs=[{\"kind\": \"filter\", \"min\": 0.5}]"});
  check_same(filtered, runs(kSftScored, "good", {base, "data.train=[" + file("good.jsonl") + "]"}), 1e-9);
  CHECK_THROWS_WITH_AS(runs(kSftScored, "none", {base, "inputs=[{\"kind\": \"filter\", \"min\": 2}]"}),
                       doctest::Contains("no record"), UserError);

  // What follows the control token is learnt: wrong answers behind <|bad|> alone.
  const std::string inputs = "inputs=[{\"kind\": \"conditional\"}]";
  const auto rows =
      runs(kSftScored, "conditional",
           {base, inputs, "train.steps=60", "data.eval=[" + file("good.jsonl") + "]", "eval.every=60",
            "eval.max_new_tokens=8", "rewards=[{\"kind\": \"contains\", \"texts\": [\"1\"]}]"});
  CHECK(rows.front().split == "eval");
  CHECK(*rows.back().find("loss") < 0.5 * *rows.front().find("loss"));
  const std::string samples = bytes(runs.folder() / "conditional/samples.jsonl");
  CHECK(samples.find("<|good|>Add 1 and") != std::string::npos);

  runs.write("scored.jsonl",
             "{\"prompt\": \"p\", \"completion\": \"c\", \"reward\": 1}\n"
             "{\"prompt\": \"p\", \"completion\": \"c\"}\n");
  for (const std::vector<std::string>& sets : {std::vector<std::string>{inputs},
                                               {"inputs=[{\"kind\": \"filter\"}]"},
                                               {"loss.name=rwr"},
                                               {"loss.name=unlikelihood"}}) {
    auto all = sets;
    all.push_back(base);
    CHECK_THROWS_WITH_AS(runs(kSftScored, "lacking-" + sets[0].substr(0, 9) + sets[0].substr(10, 6), all),
                         doctest::Contains("scored.jsonl:2: has no column \"reward\""), UserError);
  }
}

TEST_CASE("mml takes all solutions of a prompt at once, in one micro-batch") {
  SftRuns runs;
  std::string several;
  for (int i = 0; i < 24; ++i) {
    several += fmt::format("{{\"prompt\": \"Add {} and 2:\", \"completion\": \" {}{}\"}}\n", i % 6, i % 6 + 2,
                           i / 6 == 0   ? ""
                           : i / 6 == 1 ? "."
                           : i / 6 == 2 ? " apples"
                                        : " = sum");
  }
  runs.write("scored.jsonl", several);
  const std::string vocab = "model.init.vocab=300";
  const std::vector<std::string> sets = {"loss.name=mml", "loss.beta=0.5", "train.batch_size=3", vocab};
  check_cuts(runs, "mml", sets);
  const auto rows =
      runs(kSftScored, "mml-longer", {"loss.name=mml", "train.batch_size=6", "train.steps=60", vocab});
  CHECK(*rows.back().find("loss") < 0.2 * *rows.front().find("loss"));
  // All 24 solutions of the 6 prompts.
  const auto tokens = runs(kSftScored, "nll", {"train.batch_size=24", "train.steps=1", vocab});
  CHECK(*rows.front().find("targets") == *tokens.front().find("targets"));
}

TEST_CASE("a value head learns the rewards beside the language model and is not part of what is saved") {
  SftRuns runs;
  const auto rows =
      runs(kSftScored, "awr", {"loss.name=phf_awr", "loss.alpha=0", "train.steps=60", "train.batch_size=16"});
  CHECK(*rows.front().find("loss") > 0.9);  // mean of R^2, R = 1 or -1
  CHECK(*rows.back().find("loss") < 0.3);
  CHECK(bytes(runs.folder() / "awr/final/model.safetensors").find("score.weight") == std::string::npos);
}

TEST_CASE("shares of files over training") {
  SftRuns runs;
  std::string words;
  for (int i = 0; i < 8; ++i) words += fmt::format("{{\"text\": \"word {} of a longer text\"}}\n", i);
  runs.write("words.jsonl", words);
  const auto file = [&](const char* name) { return "\"" + (runs.folder() / name).string() + "\""; };
  const std::string files = "data.train=[" + file("scored.jsonl") + ", " + file("words.jsonl") + "]";
  const auto targets = [&](const std::string& name, std::vector<std::string> sets) {
    sets.insert(sets.begin(), {files, "train.steps=6", "model.init.vocab=320"});
    std::vector<double> out;
    for (const MetricsRow& row : runs(kSftScored, name, sets)) out.push_back(*row.find("targets"));
    return out;
  };
  const auto sums = targets("sums", {"data.weights=[1, 0]"});
  const auto texts = targets("texts", {"data.weights=[0, 2]"});
  const auto moving = targets("moving", {"data.weights=[1, 0]", "data.end_weights=[0, 1]"});
  CHECK(sums[0] == doctest::Approx(8 * 3).epsilon(0.5));
  CHECK(texts[0] > 2 * sums[0]);
  CHECK(moving[0] == sums[0]);
  CHECK(moving[5] > 2 * sums[5]);
  for (const auto& [sets, what] :
       std::vector<std::pair<std::string, std::string>>{{"data.weights=[1]", "1 numbers for 2 files"},
                                                        {"data.weights=[0, 0]", "all are 0"},
                                                        {"data.end_weights=[1, 1]", "give weights too"}}) {
    CHECK_THROWS_WITH_AS(targets("wrong", {sets}), doctest::Contains(what.c_str()), UserError);
  }
}
