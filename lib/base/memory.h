// The memory of this process.
#pragma once

#include <cstdint>

namespace temper {

uint64_t peak_memory_bytes();     // highest resident size so far
uint64_t current_memory_bytes();  // resident now; 0 where the system does not say

}  // namespace temper
