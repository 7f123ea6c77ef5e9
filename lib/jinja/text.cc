#include "jinja/text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace temper::jinja {
namespace {

constexpr size_t kMaxSteps = 10'000'000;
constexpr size_t kMaxWork = size_t{512} << 20;
constexpr size_t kMaxBytes = size_t{256} << 20;
constexpr size_t kPieceBytes = 128;  // what a piece of a split costs beyond its bytes

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

// The start of the code point that ends at `end`.
size_t previous_start(std::string_view bytes, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(bytes[at]) & 0xC0) == 0x80) --at;
  return at;
}

std::vector<Text> split_spaces(const Text& text, int64_t limit, Budget& budget) {
  std::vector<Text> out;
  const std::string& s = text.str();
  size_t at = 0;
  auto skip = [&](bool space) {
    while (at < s.size()) {
      size_t next = at;
      if (is_space(decode_at(s, next)) != space) break;
      at = next;
    }
  };
  skip(true);
  while (at < s.size()) {
    const size_t begin = at;
    if (limit >= 0 && static_cast<int64_t>(out.size()) >= limit) {
      out.push_back(text.slice(begin, s.size()));
      break;
    }
    skip(false);
    budget.alloc(kPieceBytes + at - begin);
    out.push_back(text.slice(begin, at));
    skip(true);
  }
  return out;
}

std::vector<Text> split_spaces_from_right(const Text& text, int64_t limit, Budget& budget) {
  std::vector<Text> out;
  const std::string& s = text.str();
  size_t at = s.size();
  auto skip = [&](bool space) {
    while (at > 0) {
      const size_t start = previous_start(s, at);
      size_t next = start;
      if (is_space(decode_at(s, next)) != space) break;
      at = start;
    }
  };
  skip(true);
  while (at > 0) {
    const size_t end = at;
    if (limit >= 0 && static_cast<int64_t>(out.size()) >= limit) {
      out.push_back(text.slice(0, end));
      break;
    }
    skip(false);
    budget.alloc(kPieceBytes + end - at);
    out.push_back(text.slice(at, end));
    skip(true);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace

void Budget::step() {
  if (++steps_ > kMaxSteps) throw Error("the template runs for more than 10 million steps");
}

void Budget::work(size_t bytes) {
  work_ += std::min(bytes, kMaxWork + 1);
  if (work_ > kMaxWork) throw Error("the template goes through more than 512 MiB of text");
}

void Budget::alloc(size_t bytes) {
  work(bytes);
  bytes_ += bytes;
  if (bytes_ > kMaxBytes) throw Error("the template makes more than 256 MiB of text and lists");
}

void Text::append(std::string_view bytes, Tag tag) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().tag == tag) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), tag});
  }
}

void Text::append(const Text& other, size_t begin, size_t end) {
  if (&other == this) return append(Text(other), begin, end);
  auto run = std::upper_bound(other.runs_.begin(), other.runs_.end(), begin,
                              [](size_t at, const Run& r) { return at < r.end; });
  while (begin < end) {
    const size_t stop = std::min(end, run->end);
    append(std::string_view(other.bytes_).substr(begin, stop - begin), run->tag);
    begin = stop;
    ++run;
  }
}

void Text::add_flag(Tag flag) {
  for (Run& run : runs_) run.tag |= flag;
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

Tag Text::tag_at(size_t byte) const {
  return std::upper_bound(runs_.begin(), runs_.end(), byte,
                          [](size_t at, const Run& r) { return at < r.end; })
      ->tag;
}

bool valid_utf8(std::string_view bytes) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(bytes.data());
  auto left = static_cast<utf8proc_ssize_t>(bytes.size());
  while (left > 0) {
    utf8proc_int32_t c;
    const utf8proc_ssize_t n = utf8proc_iterate(at, left, &c);
    if (n <= 0) return false;
    at += n;
    left -= n;
  }
  return true;
}

char32_t decode_at(std::string_view bytes, size_t& at) {
  utf8proc_int32_t c;
  const utf8proc_ssize_t n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data() + at),
                                              static_cast<utf8proc_ssize_t>(bytes.size() - at), &c);
  if (n <= 0) bug("template text is not UTF-8 at byte {}", at);
  at += static_cast<size_t>(n);
  return static_cast<char32_t>(c);
}

void append_utf8(std::string& out, char32_t code_point) {
  utf8proc_uint8_t buffer[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(n));
}

size_t count_code_points(std::string_view bytes) {
  return static_cast<size_t>(std::count_if(
      bytes.begin(), bytes.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::vector<size_t> code_point_starts(std::string_view bytes) {
  std::vector<size_t> out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if ((static_cast<unsigned char>(bytes[i]) & 0xC0) != 0x80) out.push_back(i);
  }
  out.push_back(bytes.size());
  return out;
}

Text strip(const Text& text, const std::string* chars, bool left, bool right) {
  const std::string& s = text.str();
  auto goes = [&](size_t begin, size_t end) {
    if (chars != nullptr) return chars->find(s.substr(begin, end - begin)) != std::string::npos;
    size_t at = begin;
    return is_space(decode_at(s, at));
  };
  size_t begin = 0, end = s.size();
  while (left && begin < end) {
    size_t next = begin;
    decode_at(s, next);
    if (!goes(begin, next)) break;
    begin = next;
  }
  while (right && begin < end) {
    const size_t start = previous_start(s, end);
    if (!goes(start, end)) break;
    end = start;
  }
  return text.slice(begin, end);
}

std::vector<Text> split(const Text& text, const std::string* separator, int64_t limit, bool from_right,
                        Budget& budget) {
  budget.work(text.size());
  if (separator == nullptr) {
    return from_right ? split_spaces_from_right(text, limit, budget) : split_spaces(text, limit, budget);
  }
  if (separator->empty()) throw Error("split: empty separator");
  std::vector<size_t> cuts;
  const std::string& s = text.str();
  if (from_right) {
    // Non-overlapping matches taken from the right: found from the left in the mirrored text.
    const std::string mirrored(s.rbegin(), s.rend()), needle(separator->rbegin(), separator->rend());
    for (size_t at = 0; limit < 0 || static_cast<int64_t>(cuts.size()) < limit; at += needle.size()) {
      at = find_first(mirrored, needle, at);
      if (at == std::string::npos) break;
      budget.alloc(kPieceBytes);
      cuts.push_back(s.size() - at - needle.size());
    }
    std::reverse(cuts.begin(), cuts.end());
  } else {
    for (size_t at = 0; limit < 0 || static_cast<int64_t>(cuts.size()) < limit; at += separator->size()) {
      at = find_first(s, *separator, at);
      if (at == std::string::npos) break;
      budget.alloc(kPieceBytes);
      cuts.push_back(at);
    }
  }
  budget.alloc(s.size());
  std::vector<Text> out;
  size_t begin = 0;
  for (size_t cut : cuts) {
    out.push_back(text.slice(begin, cut));
    begin = cut + separator->size();
  }
  out.push_back(text.slice(begin, s.size()));
  return out;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends, Budget& budget) {
  std::vector<Text> out;
  const std::string& s = text.str();
  size_t begin = 0;
  for (size_t at = 0; at < s.size();) {
    const size_t start = at;
    const char32_t c = decode_at(s, at);
    if (!is_line_end(c)) continue;
    if (c == '\r' && at < s.size() && s[at] == '\n') ++at;
    budget.alloc(kPieceBytes + at - begin);
    out.push_back(text.slice(begin, keep_ends ? at : start));
    begin = at;
  }
  if (begin < s.size()) out.push_back(text.slice(begin, s.size()));
  return out;
}

Text replace(const Text& text, const std::string& old_part, const Text& new_part, int64_t limit,
             Budget& budget) {
  budget.work(text.size());
  const std::string& s = text.str();
  Text out;
  size_t begin = 0;
  int64_t done = 0;
  if (old_part.empty()) {  // between all code points, and at both ends
    for (size_t start : code_point_starts(s)) {
      if (limit >= 0 && done >= limit) break;
      budget.alloc(new_part.size() + sizeof(Text::Run));
      out.append(text, begin, start);
      out.append(new_part);
      begin = start;
      ++done;
    }
  } else {
    while (limit < 0 || done < limit) {
      const size_t at = find_first(s, old_part, begin);
      if (at == std::string::npos) break;
      budget.alloc(new_part.size() + sizeof(Text::Run));
      out.append(text, begin, at);
      out.append(new_part);
      begin = at + old_part.size();
      ++done;
    }
  }
  out.append(text, begin, s.size());
  return out;
}

Text repeat(const Text& text, int64_t times, Budget& budget) {
  size_t size = 0;
  if (times <= 0 || text.empty()) return Text();
  if (__builtin_mul_overflow(text.size(), static_cast<size_t>(times), &size)) size = SIZE_MAX / 2;
  budget.alloc(size);
  Text out;
  for (int64_t i = 0; i < times; ++i) out.append(text);
  return out;
}

Text join(const Text& separator, const std::vector<Text>& parts, Budget& budget) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    budget.alloc(parts[i].size() + separator.size());
    if (i > 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

Text centered(const Text& text, int64_t width, const Text& fill, Budget& budget) {
  const int64_t gap = width - static_cast<int64_t>(count_code_points(text.str()));
  if (gap <= 0) return text;
  const int64_t left = gap / 2 + (gap & width & 1);  // as Python shares out an odd gap
  Text out = repeat(fill, left, budget);
  out.append(text);
  out.append(repeat(fill, gap - left, budget));
  return out;
}

Text map_code_points(const Text& text, const std::function<std::string(char32_t, bool)>& change) {
  Text out;
  const std::string& s = text.str();
  size_t at = 0;
  bool after_cased = false;
  for (const Text::Run& run : text.runs()) {
    while (at < run.end) {
      const char32_t c = decode_at(s, at);
      out.append(change(c, after_cased), run.tag);
      after_cased = is_upper(c) || is_lower(c);
    }
  }
  return out;
}

Text escaped(const Text& text) {
  if (text.is_markup()) return text;
  return map_code_points(text,
                         [](char32_t c, bool) -> std::string {
                           if (c == '&') return "&amp;";
                           if (c == '<') return "&lt;";
                           if (c == '>') return "&gt;";
                           if (c == '\'') return "&#39;";
                           if (c == '"') return "&#34;";
                           std::string same;
                           append_utf8(same, c);
                           return same;
                         })
      .set_markup();
}

size_t find_first(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string::npos;
  if (part.empty()) return from;
  const void* hit = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return hit == nullptr ? std::string::npos
                        : static_cast<size_t>(static_cast<const char*>(hit) - text.data());
}

size_t find_last(std::string_view text, std::string_view part) {
  const std::string mirrored(text.rbegin(), text.rend()), needle(part.rbegin(), part.rend());
  const size_t at = find_first(mirrored, needle);
  return at == std::string::npos ? at : text.size() - at - part.size();
}

}  // namespace temper::jinja
