// A safetensors file around a header that a mutator changes as JSON.
#pragma once

#include <algorithm>
#include <cstring>

#include "fuzz.h"

namespace temper::fuzz {

// Length, header, and as many zero bytes as the header's tensors ask for.
inline std::string safetensors_bytes(const std::string& header) {
  uint64_t bytes = 0;
  const Json json = Json::parse(header, nullptr, false);
  for (const Json& info : json.is_object() ? json : Json::array()) {
    if (!info.is_object() || !info.contains("data_offsets") || !info["data_offsets"].is_array()) continue;
    for (const Json& offset : info["data_offsets"])
      if (offset.is_number_unsigned()) bytes = std::max(bytes, offset.get<uint64_t>());
  }
  std::string out(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(bytes < (1 << 20) ? bytes : 64, '\0');
}

}  // namespace temper::fuzz
