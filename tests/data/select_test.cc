// Rules of selection beside plain forms of them, on groups of random rewards.
#include "data/select/select.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "data/groups.h"
#include "data/records_of.h"
#include "test.h"

using namespace temper;

namespace {

struct Selected {
  std::vector<Record> records;
  std::map<std::string, double> figures;
};

Selected selected(const std::string& rule, const Json& options, std::vector<Record> records,
                  uint64_t seed = 1, int64_t round = 0) {
  const auto* entry = select_registry().find(rule);
  REQUIRE(entry != nullptr);
  const auto made = entry->make();
  read_fields(*made, options, "select", ".");
  SelectContext context{.seed = seed, .round = round};
  Selected out{made->select(std::move(records), context), {}};
  for (const auto& [name, value] : context.figures) {
    CHECK(out.figures.count(name) == 0);
    out.figures[name] = value;
  }
  return out;
}

std::vector<std::string> completions(const std::vector<Record>& records) {
  std::vector<std::string> out;
  for (const Record& record : records) out.push_back(record.json["completion"].get<std::string>());
  return out;
}

// Groups of up to six answers with rewards of few values, so that there are ties, some of them null.
std::vector<Record> random_groups(uint64_t seed) {
  std::vector<Record> out;
  for (uint64_t g = 0; g < 20; ++g) {
    RandomStream random(seed, "test", g);
    Json line = {{"prompt", "p" + std::to_string(g)}, {"answer", g}};
    for (uint64_t i = 0, n = 1 + random.below(6); i < n; ++i) {
      line["completions"].push_back("c" + std::to_string(g) + "." + std::to_string(random.below(5)));
      line["rewards"].push_back(random.below(6) == 0 ? Json()
                                                     : Json(0.25 * static_cast<double>(random.below(5))));
      line["logprobs"].push_back({-random.uniform(), -random.uniform()});
    }
    out.push_back({line, "f.jsonl", static_cast<int64_t>(g) + 1});
  }
  return out;
}

double reward(const Json& group, size_t i) {
  return group["rewards"][i].is_null() ? -std::numeric_limits<double>::infinity()
                                       : group["rewards"][i].get<double>();
}

}  // namespace

TEST_CASE("select: best, all_above and top are what a plain search gives") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto groups = random_groups(seed);
    std::vector<std::string> best, above, top;
    for (const Record& record : groups) {
      const Json& g = record.json;
      const size_t n = g["completions"].size();
      size_t at = n;
      for (size_t i = 0; i < n; ++i) {
        if (!g["rewards"][i].is_null() && (at == n || reward(g, i) > reward(g, at))) at = i;
        if (reward(g, i) >= 0.5) above.push_back(g["completions"][i]);
      }
      if (at < n && reward(g, at) >= 0.75) best.push_back(g["completions"][at]);
      // The first two of each distinct text, by descending reward.
      std::set<std::string> seen;
      std::vector<std::pair<double, size_t>> ranked;
      for (size_t i = 0; i < n; ++i) {
        if (g["rewards"][i].is_null() || !seen.insert(g["completions"][i].get<std::string>()).second)
          continue;
        if (reward(g, i) >= 0.25) ranked.emplace_back(-reward(g, i), i);
      }
      std::sort(ranked.begin(), ranked.end());
      for (size_t k = 0; k < std::min<size_t>(2, ranked.size()); ++k)
        top.push_back(g["completions"][ranked[k].second]);
    }
    CHECK(completions(selected("best", {{"min", 0.75}}, groups).records) == best);
    CHECK(completions(selected("all_above", Json::object(), groups).records) == above);
    CHECK(completions(selected("top", {{"k", 2}, {"min", 0.25}}, groups).records) == top);
  }
}

TEST_CASE("select: lines of single answers are groups too, and what they have stays") {
  const auto lines = records({R"({"prompt": "p", "completion": "a", "reward": 0.1, "answer": "7"})",
                              R"({"prompt": "q", "completion": "x", "reward": null})",
                              R"({"prompt": "p", "completion": "b", "reward": 0.9, "answer": "7"})",
                              R"({"prompt": "p", "completion": "c", "reward": 0.9, "answer": "7"})"});
  const Selected best = selected("best", Json::object(), lines);
  REQUIRE(best.records.size() == 1);
  CHECK(best.records[0].json ==
        Json::parse(R"({"prompt": "p", "completion": "b", "reward": 0.9, "answer": "7"})"));
  CHECK(best.records[0].where() == "f.jsonl:3");
  CHECK(best.figures ==
        std::map<std::string, double>{
            {"prompts", 2}, {"answers", 4}, {"without_reward", 1}, {"prompts_selected", 1}, {"selected", 1}});
  CHECK(selected("best", {{"min", 1.0}}, lines).records.empty());
  CHECK(selected("all", Json::object(), lines).records.size() == 4);
}

TEST_CASE("select: top takes what says the same once") {
  const auto group =
      records({R"({"prompt": "p", "completions": ["The  answer", "the answer ", "B", "ÄB", "äb"],
                                  "rewards": [0, 1, 1, 1, 1]})"});
  CHECK(selected("top", {{"k", 5}}, group).records.size() == 5);
  CHECK(completions(selected("top", {{"k", 5}, {"same", "folded"}}, group).records) ==
        std::vector<std::string>{"B", "ÄB", "The  answer"});
  const auto twice = records({R"({"prompt": "p", "completions": ["a", "a"], "rewards": [0, 1]})"});
  CHECK(selected("top", Json::object(), twice).records.size() == 1);
  CHECK(selected("top", {{"same", "off"}}, twice).records.size() == 2);
}

TEST_CASE("select: without rewards there is nothing to choose by") {
  for (const char* rule : {"best", "top", "all_above", "pairs"}) {
    CAPTURE(rule);
    CHECK_THROWS_WITH_AS(
        selected(rule, Json::object(), records({R"({"prompt": "p", "completions": ["a", "b"]})"})),
        doctest::Contains("none of the 2 answers has one"), UserError);
    CHECK_THROWS_WITH_AS(selected(rule, Json::object(),
                                  records({R"({"prompt": "p", "completions": ["a"], "rewards": [null]})"})),
                         doctest::Contains("the rewards of all 1 answers are null"), UserError);
    CHECK_THROWS_WITH_AS(selected(rule, Json::object(),
                                  records({R"({"prompt": "p", "completions": ["a", "b"], "rewards": [1]})"})),
                         doctest::Contains("f.jsonl:1: \"rewards\""), UserError);
    CHECK(selected(rule, Json::object(), {}).records.empty());
  }
}

// ------------------------------------------------------------------------------------------------------
// pairs

namespace {

using Pair = std::pair<std::string, std::string>;

std::vector<Pair> pairs_of(const std::vector<Record>& records) {
  std::vector<Pair> out;
  for (const Record& record : records) {
    CHECK(record.json["score_chosen"].get<double>() > record.json["score_rejected"].get<double>());
    out.emplace_back(record.json["chosen"].get<std::string>(), record.json["rejected"].get<std::string>());
  }
  return out;
}

std::vector<Pair> pairs(const Json& options, const std::vector<Record>& in, uint64_t seed = 1) {
  return pairs_of(selected("pairs", options, in, seed).records);
}

// Answers a to e.
const char* const kFive = R"({"prompt": "p", "completions": ["a", "b", "c", "d", "e"], "answer": "7",
  "rewards": [0.2, 1.0, null, 0.4, 0.0], "finish": ["end", "length", "end", "end", "end"],
  "logprobs": [[-1.0, -1.0], [-2.0], [-0.1], [-0.25, -0.75], [-4.0]]})";

}  // namespace

TEST_CASE("select: pairs by each rule") {
  const auto five = records({kFive});
  CHECK(pairs(Json::object(), five) == std::vector<Pair>{{"b", "e"}});
  CHECK(pairs({{"per_prompt", 5}}, five) == std::vector<Pair>{{"b", "e"}, {"d", "a"}});
  CHECK(pairs({{"rule", "max_margin"}, {"per_prompt", 3}}, five) ==
        std::vector<Pair>{{"b", "e"}, {"b", "a"}, {"b", "d"}});
  CHECK(pairs({{"rule", "max_margin"}, {"per_prompt", 0}, {"min_margin", 0.5}}, five) ==
        std::vector<Pair>{{"b", "e"}, {"b", "a"}, {"b", "d"}});
  CHECK(pairs({{"rule", "all"}}, five) ==
        std::vector<Pair>{{"a", "e"}, {"b", "a"}, {"b", "d"}, {"b", "e"}, {"d", "a"}, {"d", "e"}});
  CHECK(pairs({{"rule", "threshold"}, {"per_prompt", 0}}, five) ==
        std::vector<Pair>{{"b", "a"}, {"b", "d"}, {"b", "e"}});
  CHECK(pairs({{"rule", "threshold"}, {"threshold", 0.4}, {"per_prompt", 2}}, five) ==
        std::vector<Pair>{{"b", "a"}, {"d", "e"}});
  // Mean log-probs: a -1, b -2, d -0.5, e -4.
  CHECK(pairs({{"rule", "least_surprise"}, {"per_prompt", 2}}, five) ==
        std::vector<Pair>{{"d", "e"}, {"a", "e"}});
  CHECK(pairs({{"rule", "likely_negatives"}, {"per_prompt", 2}}, five) ==
        std::vector<Pair>{{"b", "d"}, {"b", "a"}});
  const Selected all = selected("pairs", {{"rule", "all"}}, five);
  CHECK(all.records[1].json == Json::parse(R"({"prompt": "p", "answer": "7", "chosen": "b", "rejected": "a",
    "score_chosen": 1.0, "score_rejected": 0.2, "unfinished": ["chosen"]})"));
  CHECK(all.figures.at("pairs") == 6);
  CHECK(all.figures.at("without_reward") == 1);
}

TEST_CASE("select: a pair is of two answers with two rewards") {
  for (const char* line :
       {R"({"prompt": "p", "completions": ["a"], "rewards": [1], "logprobs": [[-1]]})",
        R"({"prompt": "p", "completions": ["a", "b"], "rewards": [1, 1], "logprobs": [[-1], [-1]]})",
        R"({"prompt": "p", "completions": ["a", "a"], "rewards": [1, 0], "logprobs": [[-1], [-1]]})",
        R"({"prompt": "p", "completions": ["a", "b"], "rewards": [1, null], "logprobs": [[-1], [-1]]})"}) {
    for (const char* rule :
         {"best_worst", "max_margin", "random", "all", "threshold", "least_surprise", "likely_negatives"}) {
      CAPTURE(line);
      CAPTURE(rule);
      const Selected none = selected("pairs", {{"rule", rule}}, records({line}));
      CHECK(none.records.empty());
      CHECK(none.figures.at("prompts_selected") == 0);
    }
  }
  CHECK_THROWS_WITH_AS(pairs({{"rule", "least_surprise"}},
                             records({R"({"prompt": "p", "completions": ["a", "b"], "rewards": [1, 0]})"})),
                       doctest::Contains("f.jsonl:1: select.pairs least_surprise"), UserError);
}

TEST_CASE("select: random pairs are those of the seed, each pair once and as often as another") {
  const auto five = records({kFive});
  const auto all = pairs({{"rule", "all"}}, five);
  std::map<Pair, int> drawn;
  for (uint64_t seed = 0; seed < 600; ++seed) {
    const auto one = pairs({{"rule", "random"}}, five, seed);
    REQUIRE(one.size() == 1);
    CHECK(one == pairs({{"rule", "random"}}, five, seed));
    ++drawn[one[0]];
  }
  CHECK(drawn.size() == all.size());
  for (const auto& [pair, count] : drawn) CHECK(std::abs(count - 100) < 40);  // four standard deviations
  auto every = pairs({{"rule", "random"}, {"per_prompt", 0}}, five);
  std::sort(every.begin(), every.end());
  CHECK(every == all);
  const auto groups = random_groups(5);
  CHECK(pairs_of(selected("pairs", {{"rule", "random"}}, groups, 1, 0).records) !=
        pairs_of(selected("pairs", {{"rule", "random"}}, groups, 1, 1).records));
}
