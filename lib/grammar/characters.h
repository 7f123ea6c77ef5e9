// Sets of characters, and the UTF-8 bytes that spell them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace temper {

struct CharRange {
  char32_t first, last;  // inclusive
};

// A set of Unicode scalar values: surrogates are never in it, for no text holds them.
class CharSet {
 public:
  CharSet() = default;
  CharSet(std::initializer_list<CharRange> ranges) {
    for (const CharRange& r : ranges) add(r.first, r.last);
  }
  static CharSet all() { return CharSet{{0, kLastChar}}; }
  void add(char32_t first, char32_t last);
  void add(const CharSet& other);
  CharSet complement() const;
  CharSet common(const CharSet& other) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<CharRange>& ranges() const { return ranges_; }  // ascending, none touches the next

  static constexpr char32_t kLastChar = 0x10FFFF;

 private:
  std::vector<CharRange> ranges_;
};

struct ByteRange {
  uint8_t first, last;  // inclusive
};

// Sequences of 1 to 4 byte ranges whose strings are the UTF-8 of the set's characters, each once.
std::vector<std::vector<ByteRange>> utf8_of(const CharSet& set);

}  // namespace temper
