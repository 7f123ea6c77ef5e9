// The tables know every key that the programs themselves know: tests/migrate/golden/foreign_configs.json is
// made of their own classes by scripts/oracles/foreign_configs.py.
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "migrate/axolotl.h"
#include "migrate/llamafactory.h"
#include "migrate/peft.h"
#include "migrate/trl.h"
#include "test.h"

using namespace temper;

namespace {

const Json& golden() {
  static const Json json = read_json_file(test_file("migrate/golden/foreign_configs.json"));
  return json;
}

// Every key of the source is in the report, and none of them as unknown.
void check_all_told(const Json& source, const Migrated& migrated) {
  std::set<std::string> told;
  for (const KeyReport& report : migrated.keys) {
    CHECK_MESSAGE(report.fate != KeyReport::kUnknown, report.key, ": ", report.text);
    CHECK_MESSAGE(!report.text.empty(), report.key);
    told.insert(report.key.substr(0, report.key.find('.')));
  }
  for (const auto& [key, value] : source.items()) CHECK_MESSAGE(told.count(key), key, " is not told of");
}

std::set<std::string> names(const std::vector<std::span<const ForeignKey>>& tables) {
  std::set<std::string> out;
  for (const auto& table : tables)
    for (const ForeignKey& row : table) {
      CHECK_MESSAGE(out.insert(row.name).second, row.name, " has two rows");
      CHECK_MESSAGE(*row.text != 0, row.name);
    }
  return out;
}

void check_known(const std::set<std::string>& known, const Json& keys) {
  for (const auto& key : keys) CHECK_MESSAGE(known.count(key.get<std::string>()), key);
}

}  // namespace

TEST_CASE("each field of TRL's trainers, at its default, is told of and belongs to its trainer") {
  names(trl_tables());
  for (const std::string& trainer : trl_trainers()) {
    CAPTURE(trainer);
    Json source = golden()["transformers"];
    for (const Json& part : {golden()["trl"][trainer], golden()["trl_script"]})
      for (const auto& [key, value] : part.items()) source[key] = value;
    if (trainer != "grpo")
      for (const char* key : {"reward_funcs", "reward_model_name_or_path"}) source.erase(key);
    source["model_name_or_path"] = "model";
    const Migrated migrated = migrate_trl(source, trainer, "trl.yaml", ".");
    check_all_told(source, migrated);
    for (const KeyReport& report : migrated.keys) {
      const bool foreign = report.text.starts_with("is of ");
      CHECK_MESSAGE(!foreign, report.key, ": ", report.text);
      // What TRL does by itself is what a config without the key gives.
      CHECK_MESSAGE(report.fate != KeyReport::kLost, report.key, ": ", report.text);
    }
    const Migrated empty = migrate_trl({{"model_name_or_path", "model"}}, trainer, "trl.yaml", ".");
    Json with = migrated.config, without = empty.config;
    // Written where they are named, and left to Temper where they are not.
    for (Json* config : {&with, &without}) {
      for (const char* field : {"seed", "checkpoint", "eval", "run", "device"}) config->erase(field);
      (*config)["model"] = Json();
      for (const char* field : {"temperature", "top_p", "top_k", "repetition_penalty"})
        if (config->contains("rollout")) (*config)["rollout"].erase(field);
      if (config->contains("algorithm"))
        for (const char* field : {"mask_truncated", "entropy_coef", "desirable_weight", "undesirable_weight"})
          (*config)["algorithm"].erase(field);
      (*config)["data"].erase("order");
    }
    CHECK(with.dump() == without.dump());
  }
}

TEST_CASE("TRL's defaults stand in the config: learning rates, batches, epochs, LoRA") {
  for (const std::string& trainer : trl_trainers()) {
    CAPTURE(trainer);
    const auto of = [&](const char* key) {
      const Json& own = golden()["trl"][trainer];
      return own.contains(key) ? own[key] : golden()["transformers"].value(key, Json());
    };
    const Json config =
        migrate_trl({{"model_name_or_path", "model"}, {"use_peft", true}}, trainer, "trl.yaml", ".").config;
    CHECK(config["optimizer"]["lr"] == of("learning_rate"));
    CHECK(config["optimizer"]["weight_decay"] == of("weight_decay"));
    CHECK(config["optimizer"]["beta1"] == of("adam_beta1"));
    CHECK(config["optimizer"]["beta2"] == of("adam_beta2"));
    CHECK(config["optimizer"]["eps"] == of("adam_epsilon"));
    CHECK(config["optimizer"]["clip_norm"] == of("max_grad_norm"));
    CHECK(config["schedule"]["name"] == of("lr_scheduler_type"));
    CHECK(config["train"]["epochs"] == of("num_train_epochs"));
    const Json& script = golden()["trl_script"];
    CHECK(config["adapter"]["rank"] == script["lora_r"]);
    CHECK(config["adapter"]["alpha"] == script["lora_alpha"]);
    const bool no_dropout = of("disable_dropout") == true;
    CHECK(config["adapter"]["dropout"] == (no_dropout ? Json(0) : script["lora_dropout"]));
    const int64_t batch = of("per_device_train_batch_size");
    if (trainer == "grpo" || trainer == "rloo") {
      const int64_t group = of("num_generations");
      CHECK(config["rollout"]["group_size"] == group);
      CHECK(config["rollout"]["prompts_per_step"] == batch / group);
      CHECK(config["rollout"]["max_new_tokens"] == of("max_completion_length"));
      CHECK(config["algorithm"]["clip_low"] == of("epsilon"));
    } else {
      CHECK(config["train"]["batch_size"] == batch);
      CHECK(config["data"]["max_tokens"] == of("max_length"));
    }
    const Json beta = of("beta");
    if (trainer == "dpo" || trainer == "kto" || trainer == "cpo") CHECK(config["algorithm"]["beta"] == beta);
    if (trainer == "orpo") CHECK(config["algorithm"]["lambda"] == beta);
    if (trainer == "rloo") CHECK(config["algorithm"]["kl_coef"] == beta);
    if (trainer == "grpo") CHECK(beta == 0.0);
  }
}

TEST_CASE("each field of PEFT's LoraConfig, at its default, is told of and carried or asks for nothing") {
  names(peft_tables());
  Json source = golden()["peft"];
  source["peft_type"] = "LORA";
  const Migrated migrated = migrate_peft(source, "adapter_config.json", ".");
  check_all_told(source, migrated);
  CHECK(migrated.whole());
  CHECK(migrated.config["adapter"]["rank"] == golden()["peft"]["r"]);
  CHECK(migrated.config["adapter"]["alpha"] == golden()["peft"]["lora_alpha"]);
}

TEST_CASE("each field of axolotl's and LLaMA-Factory's configs has a row") {
  check_known(names(axolotl_tables()), golden()["axolotl"]);
  check_known(names(llamafactory_tables()), golden()["llamafactory"]);
  const auto text = [](const Migrated& m, const std::string& key) {
    for (const KeyReport& report : m.keys)
      if (report.key == key) return report.fate == KeyReport::kUnknown ? std::string("unknown") : report.text;
    return std::string("not told");
  };
  for (const auto& key : golden()["axolotl_trl"]) {
    const std::string name = key;
    const Json source = {
        {"base_model", "m"}, {"micro_batch_size", 8}, {"rl", "grpo"}, {"trl", {{name, nullptr}}}};
    const std::string told = text(migrate_axolotl(source, "a.yaml", "."), "trl." + name);
    CHECK_MESSAGE((told != "unknown" && told != "not told"), name);
  }
  // A data set's key is carried, or told with its reason.
  for (const auto& key : golden()["axolotl_dataset"]) {
    const std::string name = key;
    const Json plain = {{"base_model", "m"}, {"datasets", {{{"path", "a.jsonl"}}}}};
    Json source = plain;
    if (name == "path" || name == "ds_type" || name == "trust_remote_code" || name == "preprocess_shards" ||
        name == "conversation")
      continue;
    source["datasets"][0][name] = name.starts_with("message_property") || name == "roles"
                                      ? Json({{"user", {"a", "b"}}})
                                      : Json("elsewhere");
    const Migrated migrated = migrate_axolotl(source, "a.yaml", ".");
    const bool told = text(migrated, "datasets.0." + name) != "not told" ||
                      text(migrated, "datasets.0." + name + ".user") != "not told";
    const bool carried = migrated.config != migrate_axolotl(plain, "a.yaml", ".").config;
    CHECK_MESSAGE((told || carried), name);
  }
}
