#include "reward/text/compared.h"

#include "reward/columns.h"
#include "reward/normalise.h"

namespace temper {
namespace {

class Compared : public Reward {
 public:
  Compared(std::string kind, std::string column, CompareTexts compare)
      : kind_(std::move(kind)), column_(std::move(column)), compare_(std::move(compare)) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) {
      std::vector<std::string> references = column_texts(item.columns, column_, kind_);
      for (std::string& reference : references) reference = valid_utf8(reference);
      scores.push_back(references.empty() ? std::nullopt : compare_(valid_utf8(item.completion), references));
    }
    return scores;
  }
  bool each_alone() const override { return true; }
  std::optional<std::string> check(const Json& columns) const override {
    return no_reference(columns, column_, kind_);
  }

 private:
  std::string kind_, column_;
  CompareTexts compare_;
};

}  // namespace

std::unique_ptr<Reward> compared_with(std::string kind, std::string column, CompareTexts compare) {
  return std::make_unique<Compared>(std::move(kind), std::move(column), std::move(compare));
}

}  // namespace temper
