#include "reward/pattern.h"

#include <oniguruma.h>

#include <algorithm>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "reward/columns.h"
#include "reward/normalise.h"

namespace temper {
namespace {

// Steps back that matching at one place may take, beyond some for each byte: about ten milliseconds.
constexpr unsigned long kRetries = 1000000;
// That limit does not see what runs forward without a step back, such as .* from each of many places to the
// end of the text, which is quadratic. So the characters that are passed over count too: this many, beyond
// some for each byte, are some tenths of a second, and far more than a sensible pattern passes over in 100
// kB. A count and not a clock, so that a score is the same on every machine.
constexpr int64_t kSteps = 50'000'000;

// The engine asks the encoding for the length of each character that it passes over, and gives the question
// no argument of ours: the count has to stand where a function alone finds it, one for each thread.
struct MatchSteps {
  int64_t left = std::numeric_limits<int64_t>::max();
  const OnigUChar* end = nullptr;  // of the text
};
thread_local MatchSteps steps;

// UTF-8's length of a character; once no step is left, all the rest of the text is one, so that whatever runs
// over it is there at once.
int counted_length(const OnigUChar* at) {
  if (steps.left-- > 0) return ONIG_ENCODING_UTF8->mbc_enc_len(at);
  return static_cast<int>(std::max<ptrdiff_t>(steps.end - at, 1));
}

OnigEncoding counted_utf8() {
  static OnigEncodingType encoding = [] {
    OnigEncodingType utf8 = *ONIG_ENCODING_UTF8;
    utf8.mbc_enc_len = counted_length;
    return utf8;
  }();
  return &encoding;
}

// Named formats of a completion. \A and \z are the ends of the text, whatever its lines. Each takes time
// linear in the text: one place to begin, and (?>...) holds on to the first or last mark instead of trying
// them all.
struct NamedPattern {
  const char *name, *pattern;
};
constexpr NamedPattern kFormats[] = {
    {"think", R"(\A<think>(?!.*<think>)(.*?)</think>.*\z)"},
    {"think_answer",
     R"(\A<think>(?!.*<think>)(?>.*</think>\s*<answer>)(?!.*<answer>)(?!.*</answer>.*</answer>).*</answer>\s*\z)"},
    {"answer", R"(\A(?!.*<answer>.*<answer>).*<answer>.*</answer>\s*\z)"},
    {"boxed", R"(\A(?>.*?\\boxed\s*\{).+\})"},
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

class RegexReward : public Reward {
 public:
  explicit RegexReward(const RegexOptions& o) : o_(o) {
    if (!o.pattern.empty())
      pattern_ = std::make_unique<Pattern>(o.pattern, engine_options(), "reward regex: pattern");
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) scores.push_back(score_one(item));
    return scores;
  }
  bool each_alone() const override { return true; }
  std::map<std::string, int64_t> counters() const override { return {{"gave_up", gave_up_}}; }
  std::optional<std::string> check(const Json& columns) const override {
    if (pattern_) return std::nullopt;
    for (const std::string& one : column_texts(&columns, o_.column, "regex")) {
      Pattern(one, engine_options(), "reward regex: column " + o_.column);
    }
    return no_reference(columns, o_.column, "regex");
  }

 private:
  Pattern::Options engine_options() const { return {o_.ignore_case, o_.dot_is_newline, o_.whole}; }

  std::optional<double> score_one(const RewardItem& item) {
    const std::string& text = o_.raw ? item.raw_completion : item.completion;
    bool found = false, gave_up = false, any = pattern_ != nullptr;
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
        any = true;
      }
    }
    if (!any) return std::nullopt;
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
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8, counted_utf8()};
    onig_initialize(encodings, 2);
  });
  const std::string valid = valid_utf8(options.whole ? "\\A(?:" + pattern + ")\\z" : pattern);
  OnigOptionType flags = ONIG_OPTION_NONE;
  if (options.ignore_case) flags |= ONIG_OPTION_IGNORECASE;
  if (options.dot_is_newline) flags |= ONIG_OPTION_MULTILINE;
  if (!options.lines) flags |= ONIG_OPTION_SINGLELINE;
  steps = {};  // compiling is not counted
  OnigRegex regex = nullptr;
  OnigErrorInfo info;
  const auto* begin = reinterpret_cast<const OnigUChar*>(valid.data());
  const int status =
      onig_new(&regex, begin, begin + valid.size(), flags, counted_utf8(), ONIG_SYNTAX_RUBY, &info);
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
  const std::unique_ptr<OnigMatchParam, void (*)(OnigMatchParam*)> limits(onig_new_match_param(),
                                                                          onig_free_match_param);
  onig_set_retry_limit_in_match_of_match_param(limits.get(), kRetries + 8 * valid.size());
  onig_set_retry_limit_in_search_of_match_param(limits.get(), kRetries + 8 * valid.size());
  steps = {kSteps + 8 * static_cast<int64_t>(valid.size()), end};
  const int at = onig_search_with_param(as_regex(regex_), begin, end, begin, end, nullptr, ONIG_OPTION_NONE,
                                        limits.get());
  if (steps.left < 0) return std::nullopt;
  if (at >= 0) return true;
  return at == ONIG_MISMATCH ? std::optional(false) : std::nullopt;
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
  return std::make_unique<RegexReward>(*this);
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
