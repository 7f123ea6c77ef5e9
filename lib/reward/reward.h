// Rewards: a batch of completions in, one number each out; null where the reward could not tell.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json_fwd.h"
#include "reward/transform/transform.h"

namespace temper {

struct RewardItem {
  std::string prompt;             // as the model saw it, special tokens included
  std::string completion;         // special tokens left out
  std::string raw_completion;     // with them
  const Json* columns = nullptr;  // the record the prompt came from: answer, level ...
  int64_t tokens = 0;             // length of the completion
  bool truncated = false;         // it hit the length limit
  const std::vector<int64_t>* ids =
      nullptr;  // the completion's tokens; what counts tokens in n-grams needs them
  // Of a conversation, of which `completion` is the last turn and the others are those of both sides: what
  // was said behind the prompt, as chat messages, and what the environment gave for it.
  const Json* conversation = nullptr;
  std::optional<double> environment = {};
};

// What a reward says of one step of a completion.
struct StepScore {
  int64_t end =
      0;  // where the step ends in the completion's text, one behind it, its separator included; bytes
  double score = 0;
  bool operator==(const StepScore&) const = default;
};

// What a reward says of one item. Most say a number alone, and return a double, an optional or nullopt.
struct Score {
  Score() = default;
  Score(std::nullopt_t) {}                                       // NOLINT: stands for the number
  Score(double number) : value(number) {}                        // NOLINT
  Score(const std::optional<double>& number) : value(number) {}  // NOLINT
  bool operator==(const Score&) const = default;

  std::optional<double> value;  // null: it could not tell
  std::string text;             // what there is to read about it, such as the error of a program; valid UTF-8
  std::string outcome;          // one of the reward's outcomes()
  std::vector<StepScore> steps;  // of a reward that scores_steps(), in order; none where `value` is null
};
// As JSON: the number or null, or [number, text, outcome, steps] where there is more than that. Exact.
Json to_json(const Score& score);
Score score_from_json(const Json& json);  // throws Json::exception

class Reward {
 public:
  virtual ~Reward() = default;
  // One score an item, in order. Never throws for what a completion says; throws UserError when a column it
  // needs is missing (naming it) or an external program is gone for good.
  virtual std::vector<Score> score(const std::vector<RewardItem>& items) = 0;
  // The few ways that an item can go, from the worst to the best, where this reward tells them apart; none:
  // all scores leave `outcome` empty.
  virtual std::vector<std::string> outcomes() const { return {}; }
  // Its scores have those of the completion's steps.
  virtual bool scores_steps() const { return false; }
  // What is known of a record before the long part: throws UserError when it lacks a column that score() will
  // need, and returns why every completion of it would be null (a reference that cannot be read); nullopt: it
  // can be scored.
  virtual std::optional<std::string> check(const Json& columns) const { return std::nullopt; }
  // The final answer that an item gives, spelled so that equal answers are equal strings, for voting.
  // nullopt: none, or this reward knows no answers.
  virtual std::optional<std::string> answer(const RewardItem& item) const { return std::nullopt; }
  virtual bool knows_answers() const { return false; }
  // For people who look into it: what was read of the completion and of the columns, such as {"answer":
  // "1/2", "references": ["1/2", null]}.
  virtual Json read(const RewardItem& item) const;
  // What completions of a record are compared as, such as "number" or "interval", for the metrics; nullopt:
  // this reward knows no kinds, or cannot score the record.
  virtual std::optional<std::string> compared_as(const Json& columns) const { return std::nullopt; }
  // An item's score depends neither on the items that are scored with it nor on those before. Such a reward
  // scores while other completions are still sampled: some at a time, as they end, one call after the other,
  // on a thread other than that which made it.
  virtual bool each_alone() const { return false; }
  // It waits for something outside this process, so score() is better called beside other work.
  virtual bool external() const { return false; }
  // Called beside a score() that waits for something outside: it throws soon, and nobody reads what it
  // scored.
  virtual void interrupt() {}
  // Running totals for the metrics: time-outs, restarts ... Empty for most; the same names at every call.
  virtual std::map<std::string, int64_t> counters() const { return {}; }
};

// Options of one reward; the config's "rewards" array holds these. `kind` picks it from the registry.
struct RewardOptions : Fields {
  virtual std::unique_ptr<Reward> make() const = 0;
};
const Registry<RewardOptions>& reward_registry();

// One entry of the "rewards" array: {"kind": ..., "name"?, "weight": 1.0, "transforms"?, ...the kind's own
// fields}.
struct RewardEntry : Fields {
  std::string kind, name;                  // name: in metrics; the kind when left out
  double weight = 1.0;                     // 0: scored and reported, but no part of the total
  std::vector<TransformEntry> transforms;  // in their order, between what the reward says and what counts
  std::unique_ptr<RewardOptions> options;
  int64_t reference_samples() const;  // the most that a transform compares with
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};

struct ScoredItem {
  // Combined. Null when any part with a weight is null; of "first", when all are.
  std::optional<double> total;
  std::vector<Score> parts;                    // what each reward said
  std::vector<std::optional<double>> counted;  // the parts behind their transforms, unweighted
};

// What each reward of a set said of the reference model's answers to one prompt, nulls left out:
// [reward][answer]. Empty for rewards whose transforms ask for none.
using ReferenceScores = std::vector<std::vector<double>>;

// Into a row for people and programs, each by the rewards' names: "rewards", what each said, and where there
// are any "reward_transformed", the numbers that transforms changed, "reward_texts" and "reward_outcomes".
void write_parts(Json& row, const std::vector<std::string>& names, const ScoredItem& item);

// The same with the combined number as "reward" (null: could not tell).
void write_scores(Json& row, const std::vector<std::string>& names, const ScoredItem& item);

// Which rewards of a set score: all, those that are each_alone(), the others, or those whose transforms
// compare with the reference model's answers.
enum class ScoredBy { kAll, kEachAlone, kOthers, kCompared };

// The weighted combination of several rewards: "sum" of weight x number, their "product", their "min", or
// the "first" that can tell, over the rewards whose weight is not 0. A reward's number is what it says behind
// its transforms.
class RewardSet {
 public:
  // Throws UserError for an unknown combination, no rewards, two of one name, or a transform that names a
  // reward which is not there; starts external programs.
  RewardSet(const std::vector<RewardEntry>& entries, std::string combine = "sum");
  // What these rewards say; parts of others are null. What counts of it, and the totals, settle() has.
  // on_wait: called about ten times a second while only external rewards are left to wait for; it may throw,
  // which interrupts them. Throws what the rewards throw.
  std::vector<ScoredItem> parts(const std::vector<RewardItem>& items,
                                const std::function<void()>& on_wait = {}, ScoredBy by = ScoredBy::kAll);
  // Of an item that was scored by the two kinds of rewards apart, the parts of all.
  ScoredItem join(ScoredItem each_alone, const ScoredItem& others) const;
  // Fills what counts and the totals of all that is scored together, such as a step's completions: some
  // transforms place an item among them. reference: of each item's prompt, where reference_samples() is not
  // 0. Throws UserError where it is and there are none, or a transform makes a number that is not finite.
  void settle(const std::vector<RewardItem>& items, std::vector<ScoredItem>& scored,
              const std::vector<const ReferenceScores*>& reference = {}) const;
  // parts() of all rewards, settled.
  std::vector<ScoredItem> score(const std::vector<RewardItem>& items,
                                const std::function<void()>& on_wait = {});
  // How many answers of the reference model to each prompt the transforms want; 0: none.
  int64_t reference_samples() const { return reference_samples_; }
  bool transforms(size_t reward) const { return !chains_[reward].transforms.empty(); }
  bool has(ScoredBy by) const;
  bool external() const;  // any of them
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<double>& weights() const { return weights_; }
  std::vector<std::optional<std::string>> check(const Json& columns) const;  // every reward's
  bool takes_first() const { return combine_ == "first"; }
  // By the first reward that knows answers.
  std::optional<std::string> answer(const RewardItem& item) const;
  bool knows_answers() const { return answering().has_value(); }
  // By the first reward that knows kinds.
  std::optional<std::string> compared_as(const Json& columns) const;
  // The first reward that knows answers, as an index of names().
  std::optional<int64_t> answering() const;
  // The reward of this name, as an index of names(), if it scores steps. Throws UserError, naming `where`, if
  // there is none or it does not.
  size_t step_scorer(const std::string& name, const std::string& where) const;
  // Of each reward, as Reward::outcomes().
  const std::vector<std::vector<std::string>>& outcomes() const { return outcomes_; }
  // Running totals of this process, "<name>/<counter>", and of how many items score() was asked. Not to be
  // called beside score().
  std::map<std::string, int64_t> counters() const;
  int64_t items_scored() const { return items_scored_; }

 private:
  // The transforms of a reward, what other rewards they read, and whether they compare with reference
  // answers.
  struct Chain {
    std::vector<Transform> transforms;
    std::map<std::string, size_t> others;
    bool compares = false;
  };

  bool scores(size_t reward, ScoredBy by) const;
  Chain chain_of(const RewardEntry& entry, size_t reward);
  std::vector<std::optional<double>> counted(size_t reward, const std::vector<RewardItem>& items,
                                             const std::vector<ScoredItem>& scored,
                                             const std::vector<const ReferenceScores*>& reference) const;

  std::vector<std::unique_ptr<Reward>> rewards_;
  std::vector<Chain> chains_;
  std::vector<std::string> names_;
  std::vector<double> weights_;
  std::vector<std::vector<std::string>> outcomes_;
  std::string combine_;
  int64_t items_scored_ = 0, reference_samples_ = 0;
};
const std::vector<std::string>& reward_combinations();

}  // namespace temper
