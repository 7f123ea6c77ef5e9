#include "reward/text_match.h"

#include "answer/place.h"
#include "reward/columns.h"
#include "reward/normalise.h"

namespace temper {
namespace {

class Exact : public Reward {
 public:
  explicit Exact(const ExactOptions& o)
      : column_(o.column),
        place_(o.answer_in),
        how_{o.ignore_case, o.ignore_punctuation, o.whitespace},
        correct_(o.correct),
        incorrect_(o.incorrect) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) {
      const auto given = answer(item);
      double score = incorrect_;
      const auto references = column_texts(item.columns, column_, "exact");
      for (const std::string& reference : references) {
        if (given && normalised(reference, how_) == *given) score = correct_;
      }
      scores.push_back(references.empty() ? std::nullopt : std::optional(score));
    }
    return scores;
  }
  bool each_alone() const override { return true; }

  std::optional<std::string> answer(const RewardItem& item) const override {
    if (place_ == "all") return normalised(item.completion, how_);
    if (place_ == "last_line") {
      const size_t end = item.completion.find_last_not_of(" \t\r\n");
      if (end == std::string::npos) return std::nullopt;
      const size_t line = item.completion.rfind('\n', end);
      return normalised(item.completion.substr(line == std::string::npos ? 0 : line + 1, end), how_);
    }
    const auto found = find_answer(item.completion, place_);
    return found ? std::optional(normalised(*found, how_)) : std::nullopt;
  }
  bool knows_answers() const override { return true; }
  std::optional<std::string> check(const Json& columns) const override {
    return no_reference(columns, column_, "exact");
  }

 private:
  std::string column_, place_;
  Normalisation how_;
  double correct_, incorrect_;
};

class Contains : public Reward {
 public:
  explicit Contains(const ContainsOptions& o)
      : column_(o.column),
        texts_(o.texts),
        all_(o.need == "all"),
        how_{o.ignore_case, false, "keep"},
        correct_(o.correct),
        incorrect_(o.incorrect) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) {
      const std::string text = normalised(item.completion, how_);
      size_t found = 0;
      const auto texts = column_.empty() ? texts_ : column_texts(item.columns, column_, "contains");
      for (const std::string& one : texts) {
        if (text.find(normalised(one, how_)) != std::string::npos) ++found;
      }
      const double score = (all_ ? found == texts.size() : found > 0) ? correct_ : incorrect_;
      scores.push_back(texts.empty() ? std::nullopt : std::optional(score));
    }
    return scores;
  }
  bool each_alone() const override { return true; }
  std::optional<std::string> check(const Json& columns) const override {
    return column_.empty() ? std::nullopt : no_reference(columns, column_, "contains");
  }

 private:
  std::string column_;
  std::vector<std::string> texts_;
  bool all_;
  Normalisation how_;
  double correct_, incorrect_;
};

}  // namespace

void ExactOptions::fields(FieldVisitor& v) {
  v.field("column", column, {.help = "the column with the reference, or with an array of alternatives"});
  v.field("answer_in", answer_in,
          {.help = "what of the completion is compared: all of it, its last line, or what stands behind "
                   "####, in \\boxed{} or "
                   "in <answer> tags",
           .choices = {"all", "last_line", "hash", "boxed", "tag"}});
  v.field("ignore_case", ignore_case, {.help = "Unicode case folding"});
  v.field("ignore_punctuation", ignore_punctuation, {.help = "leave out punctuation"});
  v.field("whitespace", whitespace,
          {.help = "white space: as it is, ends trimmed, runs as one space, or none at all",
           .choices = {"keep", "trim", "collapse", "remove"}});
  v.field("correct", correct, {.help = "score of an equal text"});
  v.field("incorrect", incorrect, {.help = "score of any other"});
}

std::unique_ptr<Reward> ExactOptions::make() const {
  return std::make_unique<Exact>(*this);
}

void ContainsOptions::fields(FieldVisitor& v) {
  v.field("column", column,
          {.help = "the column with the text, or array of texts, to look for; empty: `texts`"});
  v.field("texts", texts, {.help = "texts to look for in every completion"});
  v.field("need", need,
          {.help = "whether any of the texts will do or all must be there", .choices = {"any", "all"}});
  v.field("ignore_case", ignore_case, {.help = "Unicode case folding"});
  v.field("correct", correct, {.help = "score when found"});
  v.field("incorrect", incorrect, {.help = "score when not"});
}

void ContainsOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (column.empty() == texts.empty())
    problems.push_back(where + ": \"contains\" needs either \"column\" or \"texts\"");
}

std::unique_ptr<Reward> ContainsOptions::make() const {
  return std::make_unique<Contains>(*this);
}

}  // namespace temper
