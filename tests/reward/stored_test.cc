// Stored answers scored without a model.
#include "reward/stored.h"

#include "base/error.h"
#include "data/groups.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

struct Entries : Fields {
  std::vector<RewardEntry> rewards;
  void fields(FieldVisitor& v) override { v.list("rewards", rewards, "the rewards"); }
};

std::vector<RewardEntry> stored_entries(const char* rewards) {
  Entries out;
  read_fields(out, {{"rewards", Json::parse(rewards)}}, "test", ".");
  return std::move(out.rewards);
}

// "1" in it, or "2", which counts half.
const char* const kTwo = R"([{"kind": "contains", "name": "one", "texts": ["1"]},
                             {"kind": "contains", "name": "two", "texts": ["2"], "weight": 0.5}])";

std::vector<Json> stored_scores(const std::vector<std::string>& lines, const StoredScoring& how = {},
                                const char* rewards = kTwo) {
  std::vector<Record> records;
  for (const std::string& line : lines)
    records.push_back({Json::parse(line), "f.jsonl", static_cast<int64_t>(records.size()) + 1});
  RewardSet set(stored_entries(rewards));
  return score_stored(set, records, how);
}

}  // namespace

TEST_CASE("stored answers: each form of line keeps its columns and gets the scores") {
  const auto lines = stored_scores(
      {R"({"prompt": "p", "completion": "a 1 and 2", "answer": "7", "reward": 99, "rewards": {"old": 1}})",
       R"({"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "only 2"}]})",
       R"({"text": "none"})", R"({"prompt": "p", "completion": "1", "label": true})",
       R"({"prompt": "p", "completions": ["1", "x", "12"], "rewards": [5, 5, 5], "logprobs": [[0], [0], [0]]})",
       R"({"prompt": [{"role": "user", "content": "p"}], "completions": ["1"], "k": 2})"});
  CHECK(lines[0] == Json::parse(R"({"prompt": "p", "completion": "a 1 and 2", "answer": "7", "reward": 1.5,
                                    "rewards": {"one": 1.0, "two": 1.0}})"));
  CHECK(lines[1]["reward"] == 0.5);
  CHECK(lines[1]["messages"].size() == 2);
  CHECK_FALSE(lines[1].contains("prompt"));
  CHECK(lines[2] == Json::parse(R"({"text": "none", "reward": 0.0, "rewards": {"one": 0.0, "two": 0.0}})"));
  CHECK(lines[3]["label"] == true);
  CHECK(lines[3]["reward"] == 1.0);
  CHECK(lines[4] ==
        Json::parse(R"({"prompt": "p", "completions": ["1", "x", "12"], "logprobs": [[0], [0], [0]],
    "rewards": [1.0, 0.0, 1.5], "reward_parts": {"one": [1.0, 0.0, 1.0], "two": [0.0, 0.0, 1.0]}})"));
  CHECK(lines[5]["completions"] == Json::parse(R"(["1"])"));
  CHECK(lines[5]["k"] == 2);
  CHECK(lines[5]["rewards"] == Json::parse("[1.0]"));
}

TEST_CASE("stored answers: a reward that cannot tell leaves null") {
  const auto null = stored_scores({R"({"prompt": "p", "completion": "\\boxed{4}", "answer": "4"})",
                                   R"({"prompt": "p", "completion": "5", "answer": "1/0"})"},
                                  {}, R"([{"kind": "math"}])");
  CHECK(null[0]["reward"] == 1.0);
  CHECK(null[1]["reward"].is_null());
}

TEST_CASE("stored answers: in segments") {
  const auto lines =
      stored_scores({R"({"text": "A 1. B 2! C"})", R"({"prompt": "p", "completions": ["1\n2\n", ""]})",
                     R"({"prompt": "p", "completion": "1. 2", "reward": 3})"},
                    {.segments = "sentence"});
  CHECK(lines[0]["segments"] ==
        Json::parse(R"([{"text": "A 1.", "reward": 1.0}, {"text": " B 2!", "reward": 0.5},
                                                {"text": " C", "reward": 0.0}])"));
  CHECK_FALSE(lines[0].contains("reward"));
  CHECK(lines[1]["segments"] ==
        Json::parse(R"([[{"text": "1", "reward": 1.0}, {"text": "\n2\n", "reward": 0.5}], []])"));
  CHECK_FALSE(lines[2].contains("reward"));
  const auto by_line =
      stored_scores({R"({"prompt": "p", "completions": ["1\n2\n", ""]})"}, {.segments = "line"});
  CHECK(by_line[0]["segments"][0] ==
        Json::parse(R"([{"text": "1\n", "reward": 1.0}, {"text": "2\n", "reward": 0.5}])"));
}

TEST_CASE("stored answers: tokens are counted where somebody can") {
  const FakeTokenizer tokenizer({});
  const char* const overlong = R"([{"kind": "overlong", "max_tokens": 4, "cache": 2}])";
  const auto counts = [&](const char* rewards) {
    const auto all = stored_entries(rewards);
    return counts_tokens(all[0]);
  };
  CHECK(counts(overlong));
  CHECK(counts(R"([{"kind": "repetition"}])"));
  CHECK_FALSE(counts(R"([{"kind": "repetition", "unit": "words"}])"));
  CHECK_FALSE(counts(R"([{"kind": "math"}])"));
  const std::string plain = R"({"prompt": "p", "completion": "abc"})",
                    tokens = R"({"prompt": "p", "completion": "abc", "completion_ids": [7, 8, 9, 9, 9]})";
  CHECK_THROWS_WITH_AS(stored_scores({tokens, plain}, {.counts_tokens = true}, overlong),
                       doctest::Contains("f.jsonl:2: a reward counts tokens"), UserError);
  const auto lines =
      stored_scores({tokens, plain}, {.tokenizer = &tokenizer, .counts_tokens = true}, overlong);
  CHECK(lines[0]["reward"] == -1.0);
  CHECK(lines[1]["reward"] == -0.5);
  // Of a conversation the policy's.
  const auto talk = stored_scores({R"({"prompt": "p", "completion": "abc", "completion_ids": [7, 8, 9, 9, 9],
                                "turns": [[0, 1], [3, 5]]})"},
                                  {.counts_tokens = true}, overlong);
  CHECK(talk[0]["reward"] == -0.5);
}

TEST_CASE("stored answers: other lines are told") {
  for (const auto& [line, what] : {
           std::pair(R"({"prompt": "p"})", "f.jsonl:1: expected answers"),
           {R"({"prompt": "p", "chosen": "a", "rejected": "b"})", "expected answers"},
           {R"({"prompt": "p", "completions": ["a"], "labels": [true]})", "expected answers"},
           {R"({"messages": [{"role": "user", "content": "p"}]})", "must end in the answer"},
           {R"({"prompt": "p", "completions": ["a"], "finish": []})", "\"finish\" must be a list"},
       }) {
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(stored_scores({line}), doctest::Contains(what), UserError);
  }
}
