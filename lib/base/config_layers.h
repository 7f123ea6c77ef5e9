// The layers of a config: the files it extends, itself, and what --set says.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace temper {

struct ConfigLayer {
  Json json;
  std::string where, folder;  // for messages; what relative paths are relative to
};

// The lowest first. --set goes into a last layer of its own, or, where its path leads through an array, into
// the layer that holds the array. Throws UserError: a file that cannot be read, a circle, a --set that fits
// nothing.
std::vector<ConfigLayer> config_layers(const std::string& path, const std::vector<std::string>& sets);

// What an option's VALUE stands for: JSON if it parses, else the text itself. Bounded as a file is: throws
// UserError that names `where` for nesting deeper than parse_json takes, for a key that stands twice and for
// invalid UTF-8.
Json json_or_text(const std::string& text, const std::string& where);

}  // namespace temper
