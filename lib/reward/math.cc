#include "reward/math.h"

#include <algorithm>
#include <map>

#include "answer/place.h"
#include "answer/same_answer.h"
#include "answer/thread_end.h"
#include "answer/vote.h"
#include "base/error.h"
#include "data/records.h"
#include "reward/columns.h"
#include "reward/normalise.h"

namespace temper {
namespace {

class Math : public Reward {
 public:
  explicit Math(const MathOptions& options) : options_(options) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    free_caches_at_thread_end();
    std::vector<Score> scores;
    for (const RewardItem& item : items) scores.push_back(score_one(item));
    return scores;
  }
  bool each_alone() const override { return true; }

  std::optional<std::string> answer(const RewardItem& item) const override {
    const auto found = given(item, looking_for(item));
    return found ? std::optional(vote(*found)) : std::nullopt;
  }
  bool knows_answers() const override { return true; }

  Json read(const RewardItem& item) const override {
    const auto found = given(item, looking_for(item));
    Json out = {{"answer", found ? Json(to_string(*found)) : Json(nullptr)}, {"references", Json::array()}};
    if (found) out["answer_kind"] = name_of(found->kind);
    for (const std::string& text : column_texts(item.columns, options_.column, "math")) {
      const auto reference = usable_reference(text);
      out["references"].push_back(reference ? Json(to_string(*reference)) : Json(nullptr));
    }
    if (const auto kind = compared_as(*item.columns)) out["kind"] = *kind;
    return out;
  }

  std::optional<std::string> compared_as(const Json& columns) const override {
    for (const std::string& text : column_texts(&columns, options_.column, "math"))
      if (const auto reference = usable_reference(text)) return std::string(name_of(reference->kind));
    return std::nullopt;
  }

  std::optional<std::string> check(const Json& columns) const override {
    const auto texts = column_texts(&columns, options_.column, "math");
    for (const std::string& text : texts) {
      if (usable_reference(text)) return std::nullopt;
    }
    if (texts.empty()) return no_reference(columns, options_.column, "math");
    const std::string wanted = options_.kinds.empty()
                                   ? "no answer"
                                   : fmt::format("no answer of kinds {}", fmt::join(options_.kinds, ", "));
    return fmt::format("column \"{}\" holds {}: \"{}\"", options_.column, wanted,
                       valid_utf8(texts.front().substr(0, 60)));
  }

 private:
  // Of the kinds wanted, and no long text, which a completion could only repeat.
  std::optional<FinalAnswer> usable_reference(const std::string& text) const {
    auto reference = read_reference(text);
    if (!reference || (reference->kind == AnswerKind::kText && reference->text.size() > kMaxText))
      return std::nullopt;
    const auto& kinds = options_.kinds;
    const bool wanted =
        kinds.empty() || std::find(kinds.begin(), kinds.end(), name_of(reference->kind)) != kinds.end();
    return wanted ? std::move(reference) : std::nullopt;
  }

  static Looking looking_for(const FinalAnswer& reference) {
    return reference.kind == AnswerKind::kNumber ? Looking::kNumbers : Looking::kAny;
  }
  // Votes are counted of records without a reference too.
  Looking looking_for(const RewardItem& item) const {
    const bool known = item.columns != nullptr && has_column(*item.columns, options_.column);
    const auto kind = known ? compared_as(*item.columns) : std::nullopt;
    return kind && *kind != name_of(AnswerKind::kNumber) ? Looking::kAny : Looking::kNumbers;
  }

  std::optional<FinalAnswer> given(const RewardItem& item, Looking looking) const {
    auto found = read_answer(item.completion, options_.answer_in, options_.strict, looking);
    if (found && options_.worked_out && !found->worked_out) found.reset();
    return found;
  }

  // An array of references holds alternatives: any of them will do. One that cannot be told apart from the
  // answer leaves the score open, unless another one is right.
  std::optional<double> score_one(const RewardItem& item) const {
    bool told = false, open = false;
    std::map<Looking, std::optional<FinalAnswer>> answers;  // read once for all references
    for (const std::string& text : column_texts(item.columns, options_.column, "math")) {
      const auto reference = usable_reference(text);
      if (!reference) continue;
      const Looking looking = looking_for(*reference);
      if (answers.count(looking) == 0) answers[looking] = given(item, looking);
      const auto& found = answers[looking];
      const auto same = found ? same_answer(*reference, *found, options_.tolerance) : std::optional(false);
      if (same == std::optional(true)) return options_.correct;
      // The answer to a number is one: a tower of powers, words or 1/0 are wrong, told apart from it or not.
      const bool no_number =
          !same && reference->kind == AnswerKind::kNumber && found->kind != AnswerKind::kNumber;
      (same || no_number ? told : open) = true;
    }
    return told && !open ? std::optional(options_.incorrect) : std::nullopt;
  }

  static constexpr size_t kMaxText = 200;
  MathOptions options_;
};

}  // namespace

void MathOptions::fields(FieldVisitor& v) {
  v.field(
      "column", column,
      {.help = "the column with the reference: an answer, or a solution that marks it (#### or \\boxed{})"});
  v.field("answer_in", answer_in,
          {.help = "where the completion's answer stands: behind ####, in \\boxed{}, in <answer> tags, the "
                   "last number, "
                   "or any of these (auto)",
           .choices = answer_places()});
  v.field("strict", strict, {.help = "the answer must stand at a mark, alone but for its unit"});
  v.field("worked_out", worked_out,
          {.help = "sums, products, powers and fractions that can be reduced do not count: 12*3 is no answer "
                   "to 12*3"});
  v.field(
      "tolerance", tolerance,
      {.help = "relative distance up to which a decimal is an exact value that is no integer: 0.333333 is "
               "1/3; 0: none",
       .min = 0,
       .max = 0.01});
  v.field("kinds", kinds,
          {.help = "the kinds of references that are scored (any of temper-inspect reward's); empty: all. "
                   "Others are null"});
  v.field("correct", correct, {.help = "score of a right answer"});
  v.field("incorrect", incorrect, {.help = "score of a wrong one or of none"});
}

void MathOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  for (const std::string& kind : kinds) {
    if (std::find(answer_kinds().begin(), answer_kinds().end(), kind) == answer_kinds().end())
      problems.push_back(
          fmt::format("{}.kinds: no kind \"{}\" (known: {})", where, kind, fmt::join(answer_kinds(), ", ")));
  }
}

std::unique_ptr<Reward> MathOptions::make() const {
  return std::make_unique<Math>(*this);
}

}  // namespace temper
