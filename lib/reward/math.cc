#include "reward/math.h"

#include "base/error.h"
#include "reward/answer.h"
#include "reward/columns.h"
#include "reward/normalise.h"

namespace temper {
namespace {

class Math : public Reward {
 public:
  explicit Math(const MathOptions& options)
      : column_(options.column),
        place_(options.answer_in),
        strict_(options.strict),
        worked_out_(options.worked_out),
        tolerance_(options.tolerance),
        correct_(options.correct),
        incorrect_(options.incorrect) {}

  std::vector<std::optional<double>> score(const std::vector<RewardItem>& items) override {
    std::vector<std::optional<double>> scores;
    for (const RewardItem& item : items) scores.push_back(score_one(item));
    return scores;
  }

  std::optional<std::string> answer(const RewardItem& item) const override {
    const auto number = given(item);
    return number ? std::optional(canonical(*number)) : std::nullopt;
  }
  bool knows_answers() const override { return true; }
  Json read(const RewardItem& item) const override {
    Json out = Reward::read(item);
    out["references"] = Json::array();
    for (const std::string& text : column_texts(item.columns, column_, "math")) {
      const auto reference = read_reference(text);
      out["references"].push_back(reference ? Json(canonical(*reference)) : Json(nullptr));
    }
    return out;
  }
  std::optional<std::string> check(const Json& columns) const override {
    const auto texts = column_texts(&columns, column_, "math");
    for (const std::string& text : texts) {
      if (read_reference(text)) return std::nullopt;
    }
    if (texts.empty()) return no_reference(columns, column_, "math");
    return fmt::format("column \"{}\" holds no number: \"{}\"", column_,
                       valid_utf8(texts.front().substr(0, 60)));
  }

 private:
  std::optional<Number> given(const RewardItem& item) const {
    auto number = read_answer(item.completion, place_, strict_);
    if (number && worked_out_ && !number->worked_out) number.reset();
    return number;
  }

  // An array of references holds alternatives: any of them will do.
  std::optional<double> score_one(const RewardItem& item) const {
    const auto number = given(item);
    bool readable = false;
    for (const std::string& text : column_texts(item.columns, column_, "math")) {
      const auto reference = read_reference(text);
      if (!reference) continue;
      readable = true;
      if (number && same_number(*number, *reference, tolerance_)) return correct_;
    }
    return readable ? std::optional(incorrect_) : std::nullopt;
  }

  std::string column_, place_;
  bool strict_, worked_out_;
  double tolerance_, correct_, incorrect_;
};

}  // namespace

void MathOptions::fields(FieldVisitor& v) {
  v.field("column", column,
          {.help = "the column with the reference: a number, or a solution that marks its answer"});
  v.field("answer_in", answer_in,
          {.help = "where the completion's answer stands: behind ####, in \\boxed{}, in <answer> tags, the "
                   "last number, "
                   "or any of these (auto)",
           .choices = answer_places()});
  v.field("strict", strict, {.help = "the answer must stand at a mark, alone but for its unit"});
  v.field(
      "worked_out", worked_out,
      {.help = "products, powers and fractions that can be reduced do not count: 12*3 is no answer to 12*3"});
  v.field(
      "tolerance", tolerance,
      {.help = "relative distance up to which a decimal is an exact value that is no integer: 0.333333 is "
               "1/3; 0: none",
       .min = 0,
       .max = 0.01});
  v.field("correct", correct, {.help = "score of a right answer"});
  v.field("incorrect", incorrect, {.help = "score of a wrong one or of none"});
}

std::unique_ptr<Reward> MathOptions::make() const {
  return std::make_unique<Math>(*this);
}

}  // namespace temper
