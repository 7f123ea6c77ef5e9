#include "grammar/characters.h"

#include <algorithm>

#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

constexpr char32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

// Characters of one length whose encodings differ in the first byte only where all that follow are full
// ranges are one sequence; others are cut where a byte rolls over.
void add_utf8(char32_t first, char32_t last, std::vector<std::vector<ByteRange>>& out) {
  for (const char32_t edge : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (first <= edge && last > edge) {
      add_utf8(first, edge, out);
      add_utf8(edge + 1, last, out);
      return;
    }
  }
  for (int shift = 6; shift <= 18 && first > 0x7F; shift += 6) {
    const char32_t low = (char32_t(1) << shift) - 1;
    if ((first & ~low) == (last & ~low)) break;
    if ((first & low) != 0) {
      add_utf8(first, first | low, out);
      add_utf8((first | low) + 1, last, out);
      return;
    }
    if ((last & low) != low) {
      add_utf8(first, (last & ~low) - 1, out);
      add_utf8(last & ~low, last, out);
      return;
    }
  }
  std::string from, to;
  append_utf8(from, first);
  append_utf8(to, last);
  std::vector<ByteRange> sequence;
  for (size_t i = 0; i < from.size(); ++i)
    sequence.push_back({static_cast<uint8_t>(from[i]), static_cast<uint8_t>(to[i])});
  out.push_back(std::move(sequence));
}

}  // namespace

void CharSet::add(char32_t first, char32_t last) {
  if (first < kFirstSurrogate && last > kLastSurrogate) {
    add(first, kFirstSurrogate - 1);
    add(kLastSurrogate + 1, last);
    return;
  }
  if (first >= kFirstSurrogate && first <= kLastSurrogate) first = kLastSurrogate + 1;
  if (last >= kFirstSurrogate && last <= kLastSurrogate) last = kFirstSurrogate - 1;
  if (first > last) return;
  ranges_.push_back({first, last});
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CharRange& a, const CharRange& b) { return a.first < b.first; });
  std::vector<CharRange> joined;
  for (const CharRange& r : ranges_) {
    if (!joined.empty() && r.first <= joined.back().last + 1)
      joined.back().last = std::max(joined.back().last, r.last);
    else
      joined.push_back(r);
  }
  ranges_ = std::move(joined);
}

void CharSet::add(const CharSet& other) {
  for (const CharRange& r : other.ranges_) add(r.first, r.last);
}

CharSet CharSet::complement() const {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& r : ranges_) {
    if (r.first > next) out.add(next, r.first - 1);
    next = r.last + 1;
  }
  if (next <= kLastChar) out.add(next, kLastChar);
  return out;
}

CharSet CharSet::common(const CharSet& other) const {
  CharSet out;
  for (const CharRange& a : ranges_) {
    for (const CharRange& b : other.ranges_) {
      const char32_t first = std::max(a.first, b.first), last = std::min(a.last, b.last);
      if (first <= last) out.add(first, last);
    }
  }
  return out;
}

std::vector<std::vector<ByteRange>> utf8_of(const CharSet& set) {
  std::vector<std::vector<ByteRange>> out;
  for (const CharRange& r : set.ranges()) add_utf8(r.first, r.last, out);
  return out;
}

}  // namespace temper
