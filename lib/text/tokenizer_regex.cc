#include "text/tokenizer_regex.h"

#include <oniguruma.h>

#include <mutex>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
// Steps back that one attempt and one search may take beyond some for each byte of the text.
constexpr unsigned long kRetriesPerMatch = 10'000'000;
constexpr unsigned long kRetriesPerSearch = 100'000'000;

const OnigUChar* bytes(std::string_view text) {
  return reinterpret_cast<const OnigUChar*>(text.data());
}

std::string onig_message(int code, OnigErrorInfo* info = nullptr) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int n = info ? onig_error_code_to_str(buffer, code, info) : onig_error_code_to_str(buffer, code);
  return std::string(reinterpret_cast<char*>(buffer), n > 0 ? static_cast<size_t>(n) : 0);
}

}  // namespace

struct RegexScratch::Impl {
  OnigRegion* region = onig_region_new();
  OnigMatchParam* limits = onig_new_match_param();
  std::string old_characters;
};

RegexScratch::RegexScratch() : impl_(std::make_unique<Impl>()) {}
RegexScratch::~RegexScratch() {
  onig_region_free(impl_->region, 1);
  onig_free_match_param(impl_->limits);
}

struct Regex::Impl {
  std::string pattern, where;
  regex_t* regex = nullptr;
  ~Impl() {
    if (regex) onig_free(regex);
  }
};

Regex::Regex(const std::string& pattern, const std::string& where) : impl_(std::make_unique<Impl>()) {
  static std::once_flag once;
  std::call_once(once, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
  });
  impl_->pattern = pattern;
  impl_->where = where;
  if (pattern.size() > kMaxPatternBytes) {
    user_error("{}: the pattern has {} bytes; at most {} are read", where, pattern.size(), kMaxPatternBytes);
  }
  OnigErrorInfo info;
  const int code = onig_new(&impl_->regex, bytes(pattern), bytes(pattern) + pattern.size(), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (code != ONIG_NORMAL) {
    impl_->regex = nullptr;
    user_error("{}: the regular expression \"{}\" does not compile: {}", where, pattern.substr(0, 120),
               onig_message(code, &info));
  }
}

Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

void Regex::find_all(std::string_view text, std::vector<std::pair<size_t, size_t>>& matches,
                     RegexScratch& scratch) const {
  matches.clear();
  auto& [region, limits, old] = *scratch.impl_;
  const std::string_view haystack = with_old_characters(text, old) ? std::string_view(old) : text;
  onig_initialize_match_param(limits);
  onig_set_retry_limit_in_match_of_match_param(limits, kRetriesPerMatch + 8 * haystack.size());
  onig_set_retry_limit_in_search_of_match_param(limits, kRetriesPerSearch + 8 * haystack.size());
  const OnigUChar* begin = bytes(haystack);
  const OnigUChar* end = begin + haystack.size();
  size_t at = 0;
  bool matched = false;
  while (at <= haystack.size()) {
    const int found =
        onig_search_with_param(impl_->regex, begin, end, begin + at, end, region, ONIG_OPTION_NONE, limits);
    if (found == ONIG_MISMATCH) return;
    if (found < 0) {
      user_error("{}: the regular expression \"{}\" gives up on a text of {} bytes: {}", impl_->where,
                 impl_->pattern.substr(0, 120), text.size(), onig_message(found));
    }
    const size_t match_begin = static_cast<size_t>(region->beg[0]);
    const size_t match_end = static_cast<size_t>(region->end[0]);
    if (match_begin == match_end && matched && match_end == matches.back().second) {
      at += at < haystack.size() ? utf8_length(static_cast<unsigned char>(haystack[at])) : 1;
      continue;
    }
    matches.emplace_back(match_begin, match_end);
    matched = true;
    at = match_end;
  }
}

}  // namespace temper
