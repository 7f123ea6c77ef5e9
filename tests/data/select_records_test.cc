// Rules over records as they are: dedup, difficulty and dsir; and the balance score.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "data/groups.h"
#include "data/records_of.h"
#include "data/select/balance.h"
#include "data/select/dsir.h"
#include "data/select/select.h"
#include "data/select/text.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

std::vector<Record> selected_records(const std::string& rule, const Json& options,
                                     std::vector<Record> records, SelectContext context = {}) {
  const auto made = select_registry().find(rule)->make();
  read_fields(*made, options, "select", ".");
  return made->select(std::move(records), context);
}

std::vector<int64_t> lines_of(const std::vector<Record>& records) {
  std::vector<int64_t> out;
  for (const Record& record : records) out.push_back(record.line);
  return out;
}

std::string answer_line(const char* prompt, const char* completion) {
  return Json{{"prompt", prompt}, {"completion", completion}}.dump();
}

}  // namespace

TEST_CASE("select: dedup compares a prompt's answers, or prompts") {
  const auto all = records({answer_line("p", "The answer"), answer_line("q", "The answer"),
                            answer_line("p", " the  ANSWER\n"), answer_line("p", "The answer"),
                            answer_line("P ", "other")});
  CHECK(lines_of(selected_records("dedup", {{"same", "exact"}}, all)) == std::vector<int64_t>{1, 2, 3, 5});
  CHECK(lines_of(selected_records("dedup", Json::object(), all)) == std::vector<int64_t>{1, 2, 5});
  CHECK(lines_of(selected_records("dedup", {{"of", "prompt"}, {"same", "exact"}}, all)) ==
        std::vector<int64_t>{1, 2, 5});
  CHECK(lines_of(selected_records("dedup", {{"of", "prompt"}}, all)) == std::vector<int64_t>{1, 2});
  // What earlier rounds kept is known.
  SelectContext context;
  context.earlier = records({answer_line("q", "the answer")});
  CHECK(lines_of(selected_records("dedup", Json::object(), all, context)) == std::vector<int64_t>{1, 5});
  // Groups: as answers, or whole by their prompts.
  const auto groups = records({R"({"prompt": "p", "completions": ["a", "A", "b"], "rewards": [1, 0, 0]})",
                               R"({"prompt": "p", "completions": ["a", "c"], "rewards": [1, 0]})"});
  const auto answers = selected_records("dedup", Json::object(), groups);
  CHECK(answers.size() == 3);
  CHECK(answers[2].json["completion"] == "c");
  CHECK(selected_records("dedup", {{"of", "prompt"}}, groups).size() == 1);
  CHECK(selected_records("dedup", {{"of", "prompt"}}, groups)[0].json == groups[0].json);
}

TEST_CASE("select: dedup by n-grams is the exact Jaccard index") {
  const std::vector<std::string> words = {"one", "two", "three", "four"};
  std::vector<std::string> texts;
  std::vector<Record> all;
  for (int64_t i = 0; i < 60; ++i) {
    RandomStream random(7, "texts", 0, static_cast<uint64_t>(i));
    std::string text;
    for (uint64_t w = 0, n = 1 + random.below(6); w < n; ++w) text += words[random.below(4)] + " ";
    texts.push_back(text);
    all.push_back({Json{{"prompt", text}}, "f.jsonl", i});
  }
  for (const double overlap : {0.3, 0.5, 1.0}) {
    std::vector<int64_t> wanted;
    for (int64_t i = 0; i < 60; ++i) {
      const auto a = word_ngrams(punctuated_words(texts[i]), 2);
      bool seen = false;
      for (const int64_t k : wanted) {
        const auto b = word_ngrams(punctuated_words(texts[k]), 2);
        std::set<std::string> both, either = a;
        for (const auto& gram : a) {
          if (b.count(gram) > 0) both.insert(gram);
        }
        either.insert(b.begin(), b.end());
        seen = seen || static_cast<double>(both.size()) >= overlap * static_cast<double>(either.size());
      }
      if (!seen) wanted.push_back(i);
    }
    CHECK(wanted.size() > 4);
    CHECK(wanted.size() < 60);
    CHECK(lines_of(selected_records(
              "dedup", {{"of", "prompt"}, {"same", "ngrams"}, {"n", 2}, {"overlap", overlap}}, all)) ==
          wanted);
  }
}

TEST_CASE("select: difficulty keeps prompts by the mean of their rewards") {
  const auto all = records({R"({"prompt": "easy", "completions": ["a", "b"], "rewards": [1, 1]})",
                            R"({"prompt": "fair", "completions": ["a", "b", "c"], "rewards": [1, null, 0]})",
                            R"({"prompt": "hard", "completions": ["a", "b"], "rewards": [0, 0.1]})",
                            R"({"prompt": "none", "completions": ["a"], "rewards": [null]})",
                            R"({"prompt": "one", "completion": "a", "reward": 0})",
                            R"({"prompt": "one", "completion": "b", "reward": 0.4})"});
  CHECK(lines_of(selected_records("difficulty", Json::object(), all)) == std::vector<int64_t>{2, 5, 6});
  CHECK(selected_records("difficulty", Json::object(), all)[0].json == all[1].json);
  CHECK(lines_of(selected_records("difficulty", {{"low", 0.5}, {"high", 1.0}}, all)) ==
        std::vector<int64_t>{1, 2});
  CHECK_THROWS_WITH_AS(selected_records("difficulty", {{"low", 0.5}, {"high", 0.4}}, all),
                       doctest::Contains("above high"), UserError);
}

TEST_CASE("select: dsir's weights are those of the authors' formula") {
  const Json golden = read_json_file(test_file("data/golden/dsir.json"));
  for (const Json& item : golden["words"])
    CHECK(punctuated_words(item["text"]) == item["words"].get<std::vector<std::string>>());
  for (const Json& item : golden["cases"]) {
    const auto weights =
        importance_log_weights(item["raw"].get<std::vector<std::string>>(),
                               item["target"].get<std::vector<std::string>>(), item["buckets"]);
    REQUIRE(weights.size() == item["weights"].size());
    for (size_t i = 0; i < weights.size(); ++i)
      CHECK(weights[i] == doctest::Approx(item["weights"][i].get<double>()).epsilon(1e-9));
  }
}

TEST_CASE("select: dsir draws as often as the weights say") {
  const TempFolder folder;
  const std::string target = folder.write("target.jsonl", "{\"text\": \"a a b\"}\n");
  const auto all = records({R"({"text": "a"})", R"({"text": "b"})", R"({"prompt": "a", "completion": "a"})"});
  const Json options = {{"target", {target}}, {"count", 1}, {"buckets", 10000}};
  const auto weights = importance_log_weights({"a", "b", "a\na"}, {"a a b"}, 10000);
  double sum = 0;
  for (const double w : weights) sum += std::exp(w);
  std::vector<int> drawn(3);
  const int draws = 2000;
  for (uint64_t seed = 0; seed < draws; ++seed) {
    const auto one = selected_records("dsir", options, all, {.seed = seed});
    REQUIRE(one.size() == 1);
    ++drawn[static_cast<size_t>(one[0].line - 1)];
  }
  for (size_t i = 0; i < 3; ++i) {
    const double p = std::exp(weights[i]) / sum;
    CHECK(std::abs(drawn[i] - draws * p) <= 4 * std::sqrt(draws * p * (1 - p)) + 1);
  }
  Json largest = options;
  largest["noise"] = false;
  const auto best = static_cast<int64_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  CHECK(selected_records("dsir", largest, all)[0].line == best + 1);
  largest["count"] = 9;
  CHECK(lines_of(selected_records("dsir", largest, all)) == std::vector<int64_t>{1, 2, 3});
  CHECK_THROWS_WITH_AS(selected_records("dsir", {{"target", {folder.text("none.jsonl")}}}, all),
                       doctest::Contains("none.jsonl"), UserError);
}

TEST_CASE("balance: the score of a query and the mean over queries") {
  CHECK(balance_score(0, 0, 8) == 0);
  CHECK(balance_score(4, 8, 8) == doctest::Approx(0.25));
  CHECK(balance_score(8, 8, 8) == 1);
  CHECK(balance_score(16, 20, 8) == doctest::Approx(0.8));  // more than are wanted do not count twice
  const std::vector<JudgedAnswer> query = {{"a", 0.5, true}, {"b", 0.9, false}, {"a", 0.7, true},
                                           {"c", 0.7, true}, {"d", 0.1, true},  {"e", 0.5, false}};
  const auto taken = selected_answers(query, 0.1, 3);
  REQUIRE(taken.size() == 3);
  CHECK(taken[0].text == "b");
  CHECK(taken[1].text == "a");
  CHECK(taken[1].score == 0.7);
  CHECK(taken[2].text == "c");
  CHECK(selected_answers(query, 0.0, 0).size() == 5);
  // n = 3, n' = 2: min(2/4, 1) 2/3; the second query has none.
  CHECK(mean_balance({query, {{"x", -1.0, true}}}, 0.1, 3, 4) == doctest::Approx(0.5 * 0.5 * 2.0 / 3.0));
  CHECK(mean_balance({}, 0, 0) == 0);
}
