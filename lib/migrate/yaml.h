// YAML files of other programs, as JSON.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace temper {

// One YAML document whose top level is a mapping, with scalars as PyYAML's safe_load reads them (YAML 1.1:
// yes and on are true, an empty value is null), but that 1e-5 is a number and not a text. Aliases and "<<"
// are followed. Throws UserError, one line with line and column, for what is not such a document: duplicate
// keys, other tags than YAML's own, deeper nesting than 64, and more than 100000 values once aliases are
// followed.
Json parse_yaml(const std::string& text, const std::string& where);

}  // namespace temper
