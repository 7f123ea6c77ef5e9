// Verifiers that match regular expressions: regex and format.
#pragma once

#include "reward/reward.h"

namespace temper {

// A compiled Oniguruma expression (Ruby syntax, Unicode). Matching is given up after a number of steps, back
// and forward, that is the same on every machine: about a second, hundreds of times what sensible patterns
// take.
class Pattern {
 public:
  struct Options {
    bool ignore_case = false;
    bool dot_is_newline = true;
    bool whole = false;  // the match must span the whole text
    bool lines = true;   // ^ and $ match at the ends of lines, too, not of the text alone
  };
  // Throws UserError with `where` and the engine's reason when it cannot be compiled.
  Pattern(const std::string& pattern, const Options& options, const std::string& where);
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  // nullopt: it was given up. Any bytes are accepted; invalid UTF-8 is matched as U+FFFD.
  std::optional<bool> matches(const std::string& text) const;

 private:
  void* regex_ = nullptr;
};

struct RegexOptions : RewardOptions {
  std::string pattern, column;  // one of the two
  bool whole = false, ignore_case = false, dot_is_newline = true, raw = false;
  double correct = 1.0, incorrect = 0.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};

struct FormatOptions : RewardOptions {
  std::string pattern = "think";
  bool raw = false;
  double correct = 1.0, incorrect = 0.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
