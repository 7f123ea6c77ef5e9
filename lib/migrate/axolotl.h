// axolotl's YAML.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "migrate/migration.h"

namespace temper {

std::vector<std::span<const ForeignKey>> axolotl_tables();
// Throws UserError.
Migrated migrate_axolotl(const Json& source, const std::string& where, const std::string& folder);

}  // namespace temper
