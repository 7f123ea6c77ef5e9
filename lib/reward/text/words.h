// Words of texts, as the packages that others measure with cut them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace temper {

// What Python's str.split() splits at and str.rstrip() takes off: Unicode's White_Space and U+001C to U+001F.
bool is_python_space(char32_t c);
std::vector<std::string> split_at_space(std::string_view text);  // of valid UTF-8
std::string_view without_trailing_space(std::string_view text);  // of valid UTF-8
// Python's str.lower(), with the small sigma that ends a word. Of valid UTF-8.
std::string python_lower(std::string_view text);

// Numbers for words, from 1; equal words have equal numbers.
class WordNumbers {
 public:
  std::vector<uint32_t> operator()(const std::vector<std::string>& words);

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
};

// How often each n-gram occurs, 1 <= n <= 4. Keys are filled up with zeros.
using NgramCounts = std::map<std::array<uint32_t, 4>, int64_t>;
NgramCounts count_ngrams(const std::vector<uint32_t>& words, size_t n);

}  // namespace temper
