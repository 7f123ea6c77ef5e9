// Rewards: a batch of completions in, one number each out; null where the reward could not tell.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json_fwd.h"

namespace temper {

struct RewardItem {
  std::string prompt;         // as the model saw it, special tokens included
  std::string completion;     // special tokens left out
  std::string raw_completion; // with them
  const Json* columns = nullptr;  // the record the prompt came from: answer, level ...
  int64_t tokens = 0;         // length of the completion
  bool truncated = false;     // it hit the length limit
};

class Reward {
 public:
  virtual ~Reward() = default;
  // One score an item, in order. Never throws for what a completion says; throws UserError when a column it needs is
  // missing (naming it) or an external program is gone for good.
  virtual std::vector<std::optional<double>> score(const std::vector<RewardItem>& items) = 0;
};

// Options of one reward; the config's "rewards" array holds these. `kind` picks it from the registry.
struct RewardOptions : Fields {
  virtual std::unique_ptr<Reward> make() const = 0;
};
const Registry<RewardOptions>& reward_registry();

// One entry of the "rewards" array: {"kind": ..., "name"?, "weight": 1.0, ...the kind's own fields}.
struct RewardEntry : Fields {
  std::string kind, name;
  double weight = 1.0;
  std::unique_ptr<RewardOptions> options;
  void fields(FieldVisitor& v) override;
};

struct ScoredItem {
  std::optional<double> total;                  // combined; null when any weighted part is null
  std::vector<std::optional<double>> parts;     // per reward, unweighted
};

// The weighted combination of several rewards. combine: "sum", "product", "min".
class RewardSet {
 public:
  RewardSet(const std::vector<RewardEntry>& entries, std::string combine = "sum");
  std::vector<ScoredItem> score(const std::vector<RewardItem>& items);
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::unique_ptr<Reward>> rewards_;
  std::vector<std::string> names_;
  std::vector<double> weights_;
  std::string combine_;
};

}  // namespace temper
