#include "data/pair_forms.h"

#include "base/error.h"
#include "data/records_of.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

TEST_CASE("rated answers become pairs from easy to hard") {
  const auto four = records(
      {R"({"prompt": "p", "completions": ["c", "a", "d", "b"], "ratings": [2, 9, 1, 3.5], "answer": "7"})"});
  for (const auto& [stage, rejected] : {std::pair(0, "d"), {1, "c"}, {2, "b"}}) {
    const auto pairs = rated_pairs(four, stage, 3);
    REQUIRE(pairs.size() == 1);
    CHECK(pairs[0].json == Json{{"prompt", "p"}, {"answer", "7"}, {"chosen", "a"}, {"rejected", rejected}});
    CHECK(pairs[0].where() == "f.jsonl:1");
  }
  CHECK(rated_pairs(four, 0, 1)[0].json["rejected"] == "d");
  const auto ties = records({R"({"prompt": "p", "completions": ["a", "b"], "ratings": [1, 1]})",
                             R"({"prompt": "p", "completions": ["a", "b"], "ratings": [1, 2]})"});
  int64_t without = 0;
  const auto pairs = rated_pairs(ties, 0, 1, &without);
  REQUIRE(pairs.size() == 1);
  CHECK(without == 1);
  CHECK(pairs[0].json["chosen"] == "b");
  // Labels may be numbers.
  CHECK(step_pairs(records({R"({"prompt": "p", "completions": ["a"], "labels": [1]})"}), {}).empty());
  for (const auto& [line, what] : {
           std::pair(R"({"prompt": "p", "completions": ["a", "b"], "ratings": [1]})", "2 numbers"),
           {R"({"prompt": "p", "completions": ["a", "b"], "ratings": [1, "x"]})", "2 numbers"},
           {R"({"prompt": "p", "completions": ["a"], "ratings": [1]})", "at least two"},
           {R"({"prompt": "p", "completions": ["a", 3], "ratings": [1, 2]})", "\"completions\"[1]"},
           {R"({"prompt": [{"role": "user", "content": "p"}], "completions": ["a", "b"], "ratings": [1, 2]})",
            "list of messages"},
           {R"({"prompt": "p", "ratings": [1, 2]})", "completions"},
           {R"({"prompt": "p", "completions": ["a", "b"]})", "have no \"rewards\""},
           {R"({"prompt": "p", "completions": ["a", "b"], "rewards": [1, null]})", "at least two"},
       }) {
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(rated_pairs(records({line}), 0, 1), doctest::Contains(what), UserError);
  }
}

TEST_CASE("rewards of a group are ratings; answers without one are left out") {
  const auto groups = records({R"({"prompt": "p", "completions": ["a", "b", "c", "d"], "answer": "7",
    "rewards": [0.5, null, 2, 1], "logprobs": [[-1], [-1], [-1], [-1]]})"});
  const auto pairs = rated_pairs(groups, 0, 2);
  REQUIRE(pairs.size() == 1);
  CHECK(pairs[0].json == Json{{"prompt", "p"}, {"answer", "7"}, {"chosen", "c"}, {"rejected", "a"}});
  CHECK(rated_pairs(groups, 1, 2)[0].json["rejected"] == "d");
  CHECK(rated_answers(groups[0]).ratings == std::vector<double>{2, 1, 0.5});
}

TEST_CASE("judged steps become pairs, cut at the pit") {
  const auto steps = records({
      R"({"prompt": "p", "completions": ["s1", "bad", "worse"], "shares": [0.5, 0.1, 0.1]})",
      R"({"prompt": "p", "completions": ["s1", "good", "end"], "shares": [0.5, 0.8, 1.0]})",
      R"({"prompt": "p", "completions": ["s1", "fine", "slip"], "shares": [0.5, 0.6, 0.0]})",
      R"({"prompt": "q", "completions": ["x", "y"], "labels": [true, false]})",
  });
  int64_t without = 0;
  const auto practical = step_pairs(steps, {}, &without);
  REQUIRE(practical.size() == 2);
  CHECK(without == 1);  // q has no right solution
  CHECK(practical[0].json == Json{{"prompt", "p"},
                                  {"chosen", "s1\ngood\nend"},
                                  {"rejected", "s1\nbad"},
                                  {"unfinished", {"rejected"}}});
  // A pit in the last step cuts nothing.
  CHECK(practical[1].json ==
        Json{{"prompt", "p"}, {"chosen", "s1\ngood\nend"}, {"rejected", "s1\nfine\nslip"}});

  without = 0;
  const auto prefix = step_pairs(steps, {.form = "shared_prefix"}, &without);
  REQUIRE(prefix.size() == 1);
  CHECK(without == 2);
  CHECK(prefix[0].json == Json{{"prompt", "ps1\n"},
                               {"chosen", "good"},
                               {"rejected", "bad"},
                               {"unfinished", {"chosen", "rejected"}}});

  auto with_solution = steps;
  with_solution[3].json["solution"] = "right";
  CHECK(step_pairs(with_solution, {.separator = " "}).back().json ==
        Json{{"prompt", "q"}, {"chosen", "right"}, {"rejected", "x y"}});
  for (const auto& [line, what] : {
           std::pair(R"({"prompt": "p", "completions": ["a"], "labels": [2]})", "true or false"),
           {R"({"prompt": "p", "completions": ["a"], "shares": [1.5]})", "between 0 and 1"},
           {R"({"prompt": "p", "completions": ["a"], "shares": []})", "1 numbers"},
           {R"({"prompt": "p", "completions": [], "shares": []})", "list of steps"},
           {R"({"prompt": "p", "completions": ["a"]})", "labels"},
       }) {
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(step_pairs(records({line}), {}), doctest::Contains(what), UserError);
  }
}

TEST_CASE("an answer that was cut gets no end token") {
  FakeTokenizer tokenizer{{"<s>", "</s>", "<|im_start|>", "<|im_end|>"}, {"ab"}};
  tokenizer.eos_ = *tokenizer.id("</s>");
  const ChatTemplate chatml("chatml");
  const RecordEncoder encoder(tokenizer, &chatml, {});
  const auto ends = [&](const std::string& line) {
    const auto [chosen, rejected] = encoder.preference(records({line})[0]);
    const auto last = [&](const Answer& a) {
      REQUIRE(a.completion.size() == a.target.size());
      return tokenizer.decode({a.completion.back()}, true);
    };
    return std::pair(last(chosen), last(rejected));
  };
  CHECK(ends(R"({"prompt": "p", "chosen": "x", "rejected": "y"})") ==
        std::pair<std::string, std::string>("</s>", "</s>"));
  CHECK(ends(R"({"prompt": "p", "chosen": "x", "rejected": "y", "unfinished": ["rejected"]})") ==
        std::pair<std::string, std::string>("</s>", "y"));
  CHECK(
      ends(
          R"({"prompt": [{"role": "user", "content": "p"}], "chosen": [{"role": "assistant", "content": "x"}],
                 "rejected": [{"role": "assistant", "content": "y"}], "unfinished": ["rejected"]})")
          .second == "y");
}
