#include "migrate/migrate.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/formats.h"
#include "migrate/axolotl.h"
#include "migrate/llamafactory.h"
#include "migrate/peft.h"
#include "migrate/trl.h"
#include "migrate/yaml.h"

namespace temper {
namespace {

constexpr uint64_t kMostBytes = 1 << 20;

struct Source {
  const char* name;
  std::vector<std::span<const ForeignKey>> (*tables)();
  std::vector<const char*> marks;  // keys that only it has, of which nearly every file has one
};

const std::vector<Source>& sources() {
  static const std::vector<Source> all = {
      {"trl",
       trl_tables,
       {"dataset_name", "use_peft", "dataset_train_split", "lora_target_modules", "reward_funcs"}},
      {"axolotl",
       axolotl_tables,
       {"base_model", "micro_batch_size", "sequence_len", "num_epochs", "adapter"}},
      {"llamafactory",
       llamafactory_tables,
       {"stage", "finetuning_type", "cutoff_len", "lora_rank", "template", "dataset"}},
      {"peft", peft_tables, {"peft_type", "r", "target_modules", "lora_alpha", "init_lora_weights"}}};
  return all;
}

// The source with most of its marks in the file; of equal ones that which knows most of the keys.
std::string told_source(const Json& config, const std::string& where) {
  std::string best;
  size_t most = 0;
  for (const Source& source : sources()) {
    size_t known = 0, marks = 0;
    for (const auto& table : source.tables())
      known += std::count_if(table.begin(), table.end(),
                             [&](const ForeignKey& k) { return config.contains(k.name); });
    for (const char* mark : source.marks) marks += config.contains(mark);
    const size_t score = known == 0 ? 0 : 1000 * marks + known;
    if (score > most) {
      most = score;
      best = source.name;
    }
  }
  if (best.empty())
    user_error(
        "{}: has no key that TRL, axolotl, LLaMA-Factory or PEFT know; expected the config of one of them",
        where);
  return best;
}

}  // namespace

std::vector<std::string> config_sources() {
  std::vector<std::string> names;
  for (const Source& source : sources()) names.emplace_back(source.name);
  return names;
}

Migrated migrate_config(const std::string& file, const std::string& from, const std::string& trainer,
                        const std::string& folder) {
  const std::string text = read_file(file, kMostBytes);
  const size_t first = text.find_first_not_of(" \t\r\n");
  // JSON is YAML, but its own reader says more of what is wrong with it.
  const bool json = first != std::string::npos && text[first] == '{';
  const Json config = json ? parse_json(text, file) : parse_yaml(text, file);
  const std::string source = from.empty() ? told_source(config, file) : from;
  if (!trainer.empty() && source != "trl")
    user_error("{}: --trainer is of TRL's files, and this one is of {}", file, source);
  if (source == "axolotl") return migrate_axolotl(config, file, folder);
  if (source == "llamafactory") return migrate_llamafactory(config, file, folder);
  if (source == "peft") return migrate_peft(config, file, folder);
  return migrate_trl(config, trainer.empty() ? trl_trainer(config) : trainer, file, folder);
}

}  // namespace temper
