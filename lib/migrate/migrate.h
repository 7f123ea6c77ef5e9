// Configs of other programs: TRL's, axolotl's and LLaMA-Factory's YAML, and PEFT's adapter_config.json.
#pragma once

#include <string>
#include <vector>

#include "migrate/migration.h"

namespace temper {

std::vector<std::string> config_sources();  // "trl", "axolotl", "llamafactory", "peft"

// The config of a file, YAML or JSON of at most 1 MiB. from: one of config_sources(); empty: told by its
// keys. trainer: TRL's, one of trl_trainers(); empty: told by its keys. folder: of the new config. Throws
// UserError.
Migrated migrate_config(const std::string& file, const std::string& from, const std::string& trainer,
                        const std::string& folder);

}  // namespace temper
