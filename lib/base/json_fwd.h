#pragma once

#include <nlohmann/json_fwd.hpp>

namespace temper {
using Json = nlohmann::ordered_json;
}
