// 1 for an empty completion, falling to 0 at `characters`.
#include <algorithm>

#include "reward/extend.h"

namespace temper {
namespace {

struct ShortAnswerOptions : RewardOptions {
  int64_t characters = 40;
  void fields(FieldVisitor& v) override {
    v.field("characters", characters, {.help = "length that earns nothing", .unit = "characters", .min = 1});
  }
  std::unique_ptr<Reward> make() const override;
};

class ShortAnswer : public Reward {
 public:
  explicit ShortAnswer(int64_t characters) : characters_(static_cast<double>(characters)) {}
  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> out;
    for (const RewardItem& item : items)
      out.emplace_back(std::max(0.0, 1.0 - static_cast<double>(item.completion.size()) / characters_));
    return out;
  }

 private:
  double characters_;
};

std::unique_ptr<Reward> ShortAnswerOptions::make() const {
  return std::make_unique<ShortAnswer>(characters);
}

}  // namespace

void extend(Registry<RewardOptions>& registry) {
  registry.add({"short_answer", "the fewer characters the better", "a project outside of Temper",
                [] { return std::make_unique<ShortAnswerOptions>(); }});
}

}  // namespace temper
