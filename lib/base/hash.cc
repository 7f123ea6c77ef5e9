#include "base/hash.h"

#include <fmt/format.h>

#include <cstring>

namespace temper {
namespace {

// One round of each lane: a multiplication by an odd constant and a shift that brings the high bits back.
void take(uint64_t& a, uint64_t& b, uint64_t word) {
  a = (a ^ word) * 0xbf58476d1ce4e5b9ULL;
  a ^= a >> 29;
  b = (b ^ word) * 0x94d049bb133111ebULL;
  b ^= b >> 32;
}

}  // namespace

Fingerprint& Fingerprint::add(const void* bytes, size_t size) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  uint64_t a = a_, b = b_;
  take(a, b, size);
  for (; size >= 8; at += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    take(a, b, word);
  }
  uint64_t rest = 0;
  if (size > 0) std::memcpy(&rest, at, size);
  take(a, b, rest);
  a_ = a;
  b_ = b;
  return *this;
}

std::string Fingerprint::hex() const {
  uint64_t a = a_, b = b_;
  take(a, b, 0x6a09e667f3bcc909ULL);
  take(a, b, 0xbb67ae8584caa73bULL);
  return fmt::format("{:016x}{:016x}", a, b);
}

}  // namespace temper
