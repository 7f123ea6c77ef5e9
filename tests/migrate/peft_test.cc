#include "migrate/peft.h"

#include "base/error.h"
#include "migrate/migrate_told.h"
#include "test.h"

using namespace temper;

TEST_CASE("PEFT's adapter_config.json becomes the adapter section of a run that starts afresh") {
  const Migrated m =
      migrate_text(R"({"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen3-0.6B", "r": 4,
    "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"], "use_rslora": true,
    "rank_pattern": {"q_proj": 8}, "modules_to_save": ["lm_head"], "init_lora_weights": "pissa_niter_4", "bias": "all",
    "inference_mode": true, "layers_to_transform": null})");
  CHECK(m.source == "PEFT (LORA)");
  CHECK(m.config["model"]["path"] == "Qwen/Qwen3-0.6B");
  CHECK(same(m.config["adapter"],
             Json::parse(R"({"kind": "lora", "rank": 4, "alpha": 8, "dropout": 0.1, "rslora": true,
    "targets": ["q_proj", "v_proj"], "modules_to_save": ["lm_head"], "init": "pissa", "svd_iterations": 4,
    "rank_pattern": {"q_proj": 8}})")));
  CHECK(contains(told_of(m, "bias"), "lost: "));
  CHECK(told_of(m, "layers_to_transform") == "no sense: asks for nothing");
  CHECK(same(
      migrate_text(R"({"peft_type": "IA3", "target_modules": ["k_proj", "down_proj"],
    "feedforward_modules": ["down_proj"]})")
          .config["adapter"],
      Json::parse(R"({"kind": "ia3", "targets": ["k_proj", "down_proj"], "feedforward": ["down_proj"]})")));
  CHECK(same(
      migrate_text(R"({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 8, "prompt_tuning_init": "TEXT",
    "prompt_tuning_init_text": "Sort:"})")
          .config["adapter"],
      Json::parse(R"({"kind": "prompt", "tokens": 8, "init": "text", "text": "Sort:"})")));
  CHECK_THROWS_WITH_AS(migrate_text(R"({"peft_type": "BOFT", "r": 1})"),
                       doctest::Contains("peft_type: expected LORA"), UserError);
}
