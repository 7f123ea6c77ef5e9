#include "report/model_card.h"

#include <filesystem>

#include "base/json.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

TEST_CASE("model card: base, method, figures with intervals, licence and how to load it") {
  TempFolder folder;
  std::filesystem::create_directories(folder / "base");
  folder.write("base/README.md", "---\nlanguage: en\nlicense: apache-2.0\n---\nlicense: mit\n");
  std::filesystem::create_directories(folder / "my|run");
  folder.write("my|run/config.json", Json{{"task", "rl"},
                                          {"model", {{"path", (folder / "base").string()}}},
                                          {"data", {{"train", {"/x/sums.jsonl"}}}}}
                                         .dump());
  folder.write("my|run/metrics.jsonl",
               R"({"split":"eval","step":0,"time":{},"accuracy":0.25,"low":0.2,"high":0.31})"
               "\n"
               R"({"split":"train","step":1,"loss":0.5,"tokens":1200,"time":{"seconds":61}})"
               "\n"
               R"({"split":"eval","step":1,"time":{},"accuracy":0.5,"low":0.45,"high":0.55})"
               "\n");
  CardFacts facts;
  facts.method = "grpo: group means (Shao et al.)";
  facts.adapter = true;
  const std::string card = model_card((folder / "my|run").string(), facts);
  const auto has = [&](const std::string& part) {
    CAPTURE(part);
    CHECK(card.find(part) != std::string::npos);
  };
  has("---\nlibrary_name: peft\nbase_model: \"base\"\nlicense: apache-2.0\n");
  has("# base, rl\n");
  has("An adapter of base by Temper: task `rl`, grpo: group means (Shao et al.).");
  has("| accuracy | 25.0 % (95 %: 20.0 % to 31.0 %) | 50.0 % (95 %: 45.0 % to 55.0 %) |");
  has("1 steps, 1,200 tokens.");
  has("PeftModel.from_pretrained");
  has("- sums.jsonl");
  has("apache-2.0, as the base model's card says");
  CHECK(card.find((folder / "base").string()) == std::string::npos);  // no paths of this machine
  folder.write("my|run/config.json",
               Json{{"task", "rl"}, {"model", {{"path", "/x/hub/models--org--name/snapshots/abc"}}}}.dump());
  CHECK(model_card((folder / "my|run").string(), facts).find("base_model: \"org/name\"") !=
        std::string::npos);
  facts.adapter = false;
  CHECK(model_card((folder / "my|run").string(), facts).find("library_name: transformers") !=
        std::string::npos);
}
