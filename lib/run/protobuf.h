// Writing protocol buffers: their wire format, without the library.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace temper {

// Protocol-buffer wire format: a field's number and type, then its value, all little-endian.
struct ProtoMessage {
  std::string bytes;

  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
    bytes += static_cast<char>(value);
  }
  void integer(int field, uint64_t value) {
    varint(static_cast<uint64_t>(field) << 3);
    varint(value);
  }
  template <typename T>
  void fixed(int field, int wire_type, T value) {
    varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type));
    raw(value);
  }
  void float64(int field, double value) { fixed(field, 1, value); }
  void float32(int field, float value) { fixed(field, 5, value); }
  void text(int field, std::string_view value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes += value;
  }
  void message(int field, const ProtoMessage& value) { text(field, value.bytes); }
  template <typename T>
  void raw(T value) {
    char buffer[sizeof value];
    std::memcpy(buffer, &value, sizeof value);
    bytes.append(buffer, sizeof value);
  }
};

}  // namespace temper
