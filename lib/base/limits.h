// Bounds of what files, fields and command lines may say, and products of counts that cannot overflow.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace temper {

// An integer field that names no maximum of its own has this one: far beyond any count that a run could use,
// and small enough that two of them multiply within 64 bits.
constexpr int64_t kMaxCount = (int64_t{1} << 31) - 1;

constexpr uint64_t kMaxConfigBytes = 4 << 20;  // of one config file
constexpr int kMaxConfigLayers = 100;          // files that one config extends, in all
constexpr int kMaxSetParts = 64;               // parts of the path of one --set

// The product of counts that are not negative. Throws UserError naming `what` above 2^60, so that sums of a
// few stay within 64 bits too.
int64_t product(const char* what, std::initializer_list<int64_t> counts);

}  // namespace temper
