// PEFT's adapter_config.json: the adapter of a run that starts afresh with the same settings.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "migrate/migration.h"

namespace temper {

std::vector<std::span<const ForeignKey>> peft_tables();
// Throws UserError.
Migrated migrate_peft(const Json& source, const std::string& where, const std::string& folder);

}  // namespace temper
