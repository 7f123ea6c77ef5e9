// Scoring beside decoding, with rewards of the test's own.
#include "train/scoring_worker.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <chrono>
#include <memory>

#include "base/error.h"
#include "test.h"

using namespace temper;
using namespace std::chrono_literals;

namespace {

using Scores = std::vector<Score>;

// What the rewards of a set have seen.
struct Seen {
  std::atomic<int> inside = 0, most_inside = 0, calls = 0, threads = 0;
  std::atomic<bool> on_caller = false;
  std::thread::id caller = std::this_thread::get_id();
};

// A completion's score is its length; "bad" throws, and "slow" takes a while.
class Length : public Reward {
 public:
  Length(Seen& seen, bool alone) : seen_(seen), alone_(alone) {}
  Scores score(const std::vector<RewardItem>& items_of) override {
    seen_.most_inside = std::max<int>(seen_.most_inside, ++seen_.inside);
    ++seen_.calls;
    seen_.threads = at::get_num_threads();
    if (std::this_thread::get_id() == seen_.caller) seen_.on_caller = true;
    Scores out;
    for (const RewardItem& item : items_of) {
      if (item.completion == "bad") user_error("reward length: a bad one");
      if (item.completion == "slow") std::this_thread::sleep_for(20ms);
      out.emplace_back(static_cast<double>(item.completion.size()));
    }
    --seen_.inside;
    return out;
  }
  bool each_alone() const override { return alone_; }

 private:
  Seen& seen_;
  bool alone_;
};

// Waits until it is interrupted.
class Silent : public Reward {
 public:
  Scores score(const std::vector<RewardItem>&) override {
    while (!interrupted_) std::this_thread::sleep_for(1ms);
    user_error("reward silent: interrupted");
  }
  bool each_alone() const override { return true; }
  bool external() const override { return true; }
  void interrupt() override { interrupted_ = true; }

 private:
  std::atomic<bool> interrupted_ = false;
};

struct Made : RewardOptions {
  explicit Made(std::function<std::unique_ptr<Reward>()> how) : how(std::move(how)) {}
  std::unique_ptr<Reward> make() const override { return how(); }
  void fields(FieldVisitor&) override {}
  std::function<std::unique_ptr<Reward>()> how;
};

RewardSet set_of(std::vector<std::function<std::unique_ptr<Reward>()>> hows) {
  std::vector<RewardEntry> entries;
  for (auto& how : hows) {
    entries.emplace_back();
    entries.back().kind = "test-" + std::to_string(entries.size());
    entries.back().options = std::make_unique<Made>(std::move(how));
  }
  return RewardSet(entries);
}

std::vector<RewardItem> items_of(const std::vector<std::string>& completions) {
  std::vector<RewardItem> out;
  for (const std::string& text : completions) {
    out.emplace_back();
    out.back().completion = text;
  }
  return out;
}

const std::function<void()> kNothing = [] {};

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("scoring worker: scores come in the order of units, whatever the order they were given in") {
  Seen seen;
  RewardSet rewards = set_of({[&] { return std::make_unique<Length>(seen, true); },
                              [&] { return std::make_unique<Length>(seen, false); }});
  ScoringWorker worker(rewards);
  worker.add(2, items_of({"slow", "four4"}));
  worker.add(0, items_of({"a"}));
  std::this_thread::sleep_for(30ms);  // some are done, some not
  worker.add(1, items_of({"slow", "bb", "ccc"}));
  const auto scored = worker.wait(kNothing);
  std::vector<double> lengths;
  for (const ScoredItem& item : scored) {
    REQUIRE(item.parts.size() == 2);
    lengths.push_back(item.parts[0].value.value());
    CHECK_FALSE(item.parts[1].value.has_value());  // it does not look at each item alone
    CHECK_FALSE(item.total.has_value());
  }
  CHECK(lengths == std::vector<double>{1, 4, 2, 3, 4, 5});
  CHECK(seen.most_inside == 1);
  CHECK(seen.calls == 3);  // no program to be kept busy: unit by unit
  CHECK_FALSE(seen.on_caller);
  CHECK(seen.threads == at::get_num_threads());
  // Whole again with what the others say.
  const auto others = rewards.parts(items_of({"xx"}), {}, ScoredBy::kOthers);
  std::vector<ScoredItem> joined = {rewards.join(scored[0], others[0])};
  rewards.settle(items_of({"xx"}), joined);
  CHECK(joined[0].total == 3.0);
  CHECK(worker.wait(kNothing).empty());
}

TEST_CASE("scoring worker: what scoring throws reaches whoever waits, and whoever gives more") {
  Seen seen;
  RewardSet rewards = set_of({[&] { return std::make_unique<Length>(seen, true); }});
  {
    ScoringWorker worker(rewards);
    worker.add(0, items_of({"a"}));
    worker.add(1, items_of({"bad"}));
    CHECK_THROWS_WITH_AS(worker.wait(kNothing), doctest::Contains("a bad one"), UserError);
    CHECK_THROWS_WITH_AS(worker.add(2, items_of({"c"})), doctest::Contains("a bad one"), UserError);
  }
  const ScoringWorker unused(rewards);  // its end waits for nothing
}

TEST_CASE("scoring worker: whoever waits can leave, and its end interrupts a silent program") {
  RewardSet rewards = set_of({[] { return std::make_unique<Silent>(); }});
  const auto start = std::chrono::steady_clock::now();
  {
    ScoringWorker worker(rewards);
    worker.add(0, items_of({"a"}));
    int looks = 0;
    CHECK_THROWS_AS(worker.wait([&] {
      if (++looks == 2) throw Interrupted(15);
    }),
                    Interrupted);
    worker.add(1, items_of({"b"}));
  }
  CHECK(since(start) < 5);
}

TEST_CASE("scoring worker: of many units that wait its end is after the one it is at") {
  Seen seen;
  RewardSet rewards = set_of({[&] { return std::make_unique<Length>(seen, true); }});
  {
    ScoringWorker worker(rewards);
    for (size_t unit = 0; unit < 1000; ++unit) worker.add(unit, items_of({"slow"}));
  }
  CHECK(seen.calls < 20);
}
