// Reading from a config.json what a family's layers have in the place of plain attention, and what sets them
// apart from each other.
#pragma once

#include "model/config.h"
#include "model/config_keys.h"
#include "model/families.h"

namespace temper {

// Sets latent and head_dim.
void read_latent(const ConfigKeys& keys, const Family& family, ModelConfig& config);
// Set linear and short_conv.
void read_linear(const ConfigKeys& keys, const Family& family, ModelConfig& config);
void read_short_conv(const ConfigKeys& keys, const Family& family, ModelConfig& config);
// Sets unlike, from windows that are set already.
void read_unlike(const ConfigKeys& keys, const Family& family, ModelConfig& config);

}  // namespace temper
