// LLaMA-Factory's YAML, and the dataset_info.json that it names its data in.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "migrate/migration.h"

namespace temper {

std::vector<std::span<const ForeignKey>> llamafactory_tables();
// Throws UserError.
Migrated migrate_llamafactory(const Json& source, const std::string& where, const std::string& folder);

}  // namespace temper
