// Regular expressions as the `tokenizers` package runs them: Oniguruma, UTF-8, its default syntax.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace temper {

// What one run of searches needs; reused between them because making it costs more than a short search.
class RegexScratch {
 public:
  RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;
  ~RegexScratch();

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Regex {
 public:
  // Throws UserError that names `where` when the pattern does not compile.
  Regex(const std::string& pattern, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  // Successive matches [begin, end) in bytes of valid UTF-8, an empty one never right after the match before
  // it. Throws UserError when the pattern backtracks without end on this text.
  void find_all(std::string_view text, std::vector<std::pair<size_t, size_t>>& matches,
                RegexScratch& scratch) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace temper
