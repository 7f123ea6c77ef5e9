#include "data/groups.h"

#include "base/error.h"
#include "test.h"

using namespace temper;

namespace {

Record group_record(const std::string& line) {
  return {Json::parse(line), "f.jsonl", 7};
}

}  // namespace

TEST_CASE("groups: a line becomes its answers, and they the line again") {
  const Record group =
      group_record(R"({"answer": "4", "prompt": "2+2?", "prompt_ids": [5, 6], "temperature": 1.0,
    "completions": ["4", "five", "it is"], "rewards": [1.0, 0.0, null], "logprobs": [[-0.5], [-1, -2], [-3.0]],
    "completion_ids": [[1], [2, 3], [4]], "finish": ["end", "end", "length"],
    "turns": [null, [[0, 1], [1, 2]], null],
    "reward_parts": {"math": [1, 0, null], "length": [0.5, 0.25, 0]},
    "reward_texts": {"math": [null, "wrong", null]}})");
  REQUIRE(is_group(group));
  const std::vector<Record> answers = unpacked(group);
  REQUIRE(answers.size() == 3);
  CHECK(answers[1].where() == "f.jsonl:7");
  CHECK(answers[1].json ==
        Json::parse(R"({"answer": "4", "prompt": "2+2?", "prompt_ids": [5, 6], "temperature": 1.0,
    "completion": "five", "reward": 0.0, "logprobs": [-1, -2], "completion_ids": [2, 3],
    "turns": [[0, 1], [1, 2]], "finish": "end",
    "rewards": {"math": 0, "length": 0.25}, "reward_texts": {"math": "wrong"}})"));
  CHECK(answer_reward(answers[0]) == 1.0);
  CHECK_FALSE(answer_reward(answers[2]));
  CHECK(answers[2].json["reward"].is_null());
  CHECK(answers[2].json["rewards"]["math"].is_null());
  CHECK_FALSE(answers[2].json.contains("reward_texts"));
  CHECK(is_unfinished(answers[2], "completion"));
  CHECK_FALSE(is_unfinished(answers[0], "completion"));
  std::vector<Json> lines;
  for (const Record& answer : answers) lines.push_back(answer.json);
  const Json again = packed(lines);
  for (const auto& [key, value] : group.json.items()) {
    CAPTURE(key);
    CHECK(again[key] == value);
  }
  CHECK(again.size() == group.json.size());
  CHECK(unpacked(std::vector<Record>{group, group_record(R"({"text": "t"})")}).size() == 4);
}

TEST_CASE("groups: chats, and answers that are strings behind one") {
  const Record group = group_record(R"({"prompt": [{"role": "user", "content": "q"}],
    "completions": ["a", [{"role": "assistant", "content": "b"}]], "rewards": [true, 0.25]})");
  const std::vector<Record> answers = unpacked(group);
  CHECK(answers[0].json["completion"] == Json::parse(R"([{"role": "assistant", "content": "a"}])"));
  CHECK(answer_text(answers[1]) == "b");
  CHECK(answer_reward(answers[0]) == 1.0);
  const Json messages = packed({Json::parse(R"({"messages": [{"role": "user", "content": "q"},
                                 {"role": "assistant", "content": "a"}], "reward": 1})")});
  CHECK(messages == Json::parse(R"({"prompt": [{"role": "user", "content": "q"}],
    "completions": [[{"role": "assistant", "content": "a"}]], "rewards": [1]})"));
}

TEST_CASE("groups: what else has completions is none") {
  for (const char* line : {R"({"prompt": "p", "completions": ["a"], "labels": [true]})",
                           R"({"prompt": "p", "completions": ["a"], "ratings": [1]})",
                           R"({"prompt": "p", "completions": ["a"], "shares": [1]})",
                           R"({"prompts": ["p"], "completions": ["a"]})",
                           R"({"prompt": "p", "completions": [{"text": "a", "finish": "end", "tokens": 1}]})",
                           R"({"prompt": "p", "completions": "a"})", R"({"prompt": "p", "completion": "a"})",
                           R"({"completions": ["a"]})", R"({"prompt": "p", "completions": null})"}) {
    CAPTURE(line);
    CHECK_FALSE(is_group(group_record(line)));
  }
  CHECK(is_group(group_record(R"({"prompt": "p", "completions": ["a"]})")));
}

TEST_CASE("groups: one place gathers answers by their prompts") {
  const auto groups =
      answer_groups({group_record(R"({"prompt": "p", "completion": "a", "reward": 1})"),
                     group_record(R"({"prompt": "q", "completions": ["x", "y"], "rewards": [0, 1]})"),
                     group_record(R"({"prompt": "p", "completions": ["b"], "rewards": [2]})"),
                     group_record(R"({"messages": [{"role": "user", "content": "p"},
                                                {"role": "assistant", "content": "c"}], "reward": 3})")});
  REQUIRE(groups.size() == 3);
  REQUIRE(groups[0].answers.size() == 2);
  CHECK(groups[0].answers[1].json["completion"] == "b");
  CHECK(groups[2].answers[0].json["prompt"][0]["content"] == "p");
  CHECK(answer_text(groups[2].answers[0]) == "c");
}

TEST_CASE("groups: rewards stand for ratings and labels") {
  const Record group = group_record(R"({"prompt": "p", "completions": ["a", "b", "c", "d"],
                                  "rewards": [0.5, null, 0.75, false], "finish": ["end", "end", "end", "end"]})");
  const Record rated = with_ratings(group);
  CHECK(rated.json ==
        Json::parse(R"({"prompt": "p", "completions": ["a", "c", "d"], "ratings": [0.5, 0.75, 0.0]})"));
  CHECK(with_labels(group, kGoodReward).json ==
        Json::parse(R"({"prompt": "p", "completions": ["a", "c", "d"], "labels": [true, true, false]})"));
  CHECK(with_labels(group, 0.6).json["labels"] == Json::parse("[false, true, false]"));
  const Record chat = group_record(R"({"prompt": [{"role": "user", "content": "p"}],
    "completions": [[{"role": "assistant", "content": "a"}]], "rewards": [1]})");
  CHECK(with_labels(chat, 0.5).json["completions"] == Json::parse(R"(["a"])"));
}

TEST_CASE("groups: bad lines are told with their place") {
  for (const auto& [line, what] : {
           std::pair(R"({"prompt": "p", "completions": ["a", "b"], "rewards": [1]})",
                     "f.jsonl:7: \"rewards\" must be a list with an item for each of the 2 completions, "
                     "found 1 items"),
           {R"({"prompt": "p", "completions": ["a", "b"], "rewards": 1})", "found number"},
           {R"({"prompt": "p", "completions": ["a", "b"], "logprobs": [[0.0], [0.0], [0.0]]})",
            "\"logprobs\""},
           {R"({"prompt": "p", "completions": ["a"], "reward_parts": {"math": [1, 2]}})",
            "reward_parts.math"},
           {R"({"prompt": "p", "completions": ["a"], "reward_parts": [1]})", "an object like"},
           {R"({"prompt": "p", "completions": ["a", [{"role": "assistant", "content": "b"}]]})",
            "\"completions\"[1] must be a string"},
           {R"({"prompt": "p", "completions": []})", "is empty"},
       }) {
    CAPTURE(line);
    REQUIRE(is_group(group_record(line)));
    CHECK_THROWS_WITH_AS(unpacked(group_record(line)), doctest::Contains(what), UserError);
  }
  CHECK_THROWS_WITH_AS(answer_reward(group_record(R"({"reward": "good"})")),
                       doctest::Contains("f.jsonl:7: reward"), UserError);
  CHECK_THROWS_WITH_AS(with_ratings(group_record(R"({"prompt": "p", "completions": ["a"]})")),
                       doctest::Contains("have no \"rewards\""), UserError);
  CHECK_THROWS_WITH_AS(answer_groups({group_record(R"({"text": "t"})")}),
                       doctest::Contains("expected answers"), UserError);
  CHECK_THROWS_WITH_AS(answer_groups({group_record(R"({"messages": [{"role": "user", "content": "q"}]})")}),
                       doctest::Contains("must end in the answer"), UserError);
}
