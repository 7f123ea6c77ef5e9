#include "reward/pattern.h"

#include <oniguruma.h>

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "reward/columns.h"
#include "reward/normalise.h"

namespace temper {
namespace {

constexpr unsigned long kRetries = 1000000;  // per match and per search: about ten milliseconds

// Named formats of a completion. \A and \z are the ends of the text, whatever its lines.
struct NamedPattern {
  const char *name, *pattern;
};
constexpr NamedPattern kFormats[] = {
    {"think", R"(\A<think>(?!.*<think>)(.*?)</think>.*\z)"},
    {"think_answer",
     R"(\A<think>(?!.*<think>).*?</think>\s*<answer>(?!.*<answer>)(?!.*</answer>.*</answer>).*</answer>\s*\z)"},
    {"answer", R"(\A(?!.*<answer>.*<answer>).*<answer>.*</answer>\s*\z)"},
    {"boxed", R"(\\boxed\s*\{.+\})"},
    {"hash", R"(^####[ \t]*\S)"},
};

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const auto& format : kFormats) names.emplace_back(format.name);
  return names;
}

OnigRegex as_regex(void* regex) {
  return static_cast<OnigRegex>(regex);
}

class Regex : public Reward {
 public:
  explicit Regex(const RegexOptions& o) : o_(o) {
    if (!o.pattern.empty())
      pattern_ = std::make_unique<Pattern>(o.pattern, engine_options(), "reward regex: pattern");
  }

  std::vector<std::optional<double>> score(const std::vector<RewardItem>& items) override {
    std::vector<std::optional<double>> scores;
    for (const RewardItem& item : items) scores.push_back(score_one(item));
    return scores;
  }
  std::map<std::string, int64_t> counters() const override { return {{"gave_up", gave_up_}}; }
  void check(const Json& columns) const override {
    if (pattern_) return;
    for (const std::string& one : column_texts(&columns, o_.column, "regex")) {
      Pattern(one, engine_options(), "reward regex: column " + o_.column);
    }
  }

 private:
  Pattern::Options engine_options() const { return {o_.ignore_case, o_.dot_is_newline, o_.whole}; }

  std::optional<double> score_one(const RewardItem& item) {
    const std::string& text = o_.raw ? item.raw_completion : item.completion;
    bool found = false, gave_up = false;
    const auto try_one = [&](const Pattern& pattern) {
      const auto match = pattern.matches(text);
      found = found || match.value_or(false);
      gave_up = gave_up || !match;
    };
    if (pattern_) {
      try_one(*pattern_);
    } else {
      for (const std::string& one : column_texts(item.columns, o_.column, "regex")) {
        try_one(Pattern(one, engine_options(), "reward regex: column " + o_.column));
      }
    }
    if (found) return o_.correct;
    gave_up_ += gave_up ? 1 : 0;
    return gave_up ? std::nullopt : std::optional(o_.incorrect);
  }

  RegexOptions o_;
  std::unique_ptr<Pattern> pattern_;
  int64_t gave_up_ = 0;
};

}  // namespace

Pattern::Pattern(const std::string& pattern, const Options& options, const std::string& where) {
  static std::once_flag initialised;
  std::call_once(initialised, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
  });
  const std::string valid = valid_utf8(options.whole ? "\\A(?:" + pattern + ")\\z" : pattern);
  OnigOptionType flags = ONIG_OPTION_NONE;
  if (options.ignore_case) flags |= ONIG_OPTION_IGNORECASE;
  if (options.dot_is_newline) flags |= ONIG_OPTION_MULTILINE;
  OnigRegex regex = nullptr;
  OnigErrorInfo info;
  const auto* begin = reinterpret_cast<const OnigUChar*>(valid.data());
  const int status =
      onig_new(&regex, begin, begin + valid.size(), flags, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
  if (status != ONIG_NORMAL) {
    OnigUChar message[ONIG_MAX_ERROR_MESSAGE_LEN];
    onig_error_code_to_str(message, status, &info);
    user_error("{}: \"{}\" is not a regular expression: {}", where, pattern.substr(0, 100),
               reinterpret_cast<char*>(message));
  }
  regex_ = regex;
}

Pattern::~Pattern() {
  onig_free(as_regex(regex_));
}

std::optional<bool> Pattern::matches(const std::string& text) const {
  const std::string valid = valid_utf8(text);
  const auto* begin = reinterpret_cast<const OnigUChar*>(valid.data());
  const auto* end = begin + valid.size();
  OnigMatchParam* limits = onig_new_match_param();
  onig_set_retry_limit_in_match_of_match_param(limits, kRetries);
  onig_set_retry_limit_in_search_of_match_param(limits, kRetries);
  OnigRegion* region = onig_region_new();
  const int at =
      onig_search_with_param(as_regex(regex_), begin, end, begin, end, region, ONIG_OPTION_NONE, limits);
  onig_region_free(region, 1);
  onig_free_match_param(limits);
  if (at >= 0) return true;
  if (at == ONIG_MISMATCH) return false;
  return std::nullopt;
}

void RegexOptions::fields(FieldVisitor& v) {
  v.field("pattern", pattern, {.help = "the expression, in Oniguruma's Ruby syntax; empty: from `column`"});
  v.field("column", column, {.help = "a column with an expression, or an array of alternatives, per record"});
  v.field("whole", whole, {.help = "the match must span the whole completion"});
  v.field("ignore_case", ignore_case, {.help = "letters match in either case"});
  v.field("dot_is_newline", dot_is_newline, {.help = "\".\" also matches line ends"});
  v.field("raw", raw, {.help = "match the completion with its special tokens"});
  v.field("correct", correct, {.help = "score of a match"});
  v.field("incorrect", incorrect, {.help = "score of none"});
}

void RegexOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (pattern.empty() == column.empty())
    problems.push_back(where + ": \"regex\" needs either \"pattern\" or \"column\"");
  if (pattern.empty()) return;
  try {
    Pattern(pattern, {}, where + ".pattern");
  } catch (const UserError& e) {
    problems.emplace_back(e.what());
  }
}

std::unique_ptr<Reward> RegexOptions::make() const {
  return std::make_unique<Regex>(*this);
}

void FormatOptions::fields(FieldVisitor& v) {
  v.field("pattern", pattern,
          {.help = "think: <think>...</think> and then the answer; think_answer: "
                   "<think>...</think><answer>...</answer>; answer: "
                   "one <answer>...</answer> at the end; boxed: a \\boxed{...}; hash: a line ####...; or a "
                   "regular expression "
                   "that the completion must match somewhere"});
  v.field("raw", raw, {.help = "match the completion with its special tokens"});
  v.field("correct", correct, {.help = "score of a match"});
  v.field("incorrect", incorrect, {.help = "score of none"});
}

void FormatOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  const auto names = format_names();
  if (std::find(names.begin(), names.end(), pattern) != names.end()) return;
  const bool word = pattern.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
  const std::string near = nearest_name(pattern, names);
  if (word && !near.empty()) {
    problems.push_back(
        fmt::format("{}.pattern: no format is named \"{}\"; did you mean \"{}\"?", where, pattern, near));
    return;
  }
  RegexOptions regex;
  regex.pattern = pattern;
  regex.check(problems, where);
}

std::unique_ptr<Reward> FormatOptions::make() const {
  RegexOptions regex;
  regex.pattern = pattern;
  for (const auto& format : kFormats) {
    if (pattern == format.name) regex.pattern = format.pattern;
  }
  regex.raw = raw;
  regex.correct = correct;
  regex.incorrect = incorrect;
  return regex.make();
}

}  // namespace temper
