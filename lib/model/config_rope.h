// Reading rotary positions and windows from a config.json.
#pragma once

#include "model/config.h"
#include "model/config_keys.h"
#include "model/families.h"

namespace temper {

// Sets rope, window_rope and query_growth, from sizes and windows that are set already.
void read_rope(const ConfigKeys& keys, const Family& family, ModelConfig& config);
// Sets sliding_window, layer_uses_window and layer_turns.
void read_layers(const ConfigKeys& keys, ModelConfig& config);

}  // namespace temper
