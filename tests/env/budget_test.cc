// Thinking within a budget.
#include "env/budget.h"

#include "base/error.h"
#include "test.h"

using namespace temper;

namespace {

std::unique_ptr<EnvironmentSource> source(const Json& options) {
  BudgetOptions read;
  read_fields(read, options, "environment", ".");
  return read.make();
}

std::unique_ptr<Environment> start(EnvironmentSource& from) {
  static const Record record{{{"prompt", "q"}}, "f.jsonl", 1};
  return from.start({record, RandomStream(1, "budget"), 0, false});
}

PolicyTurn cut(int64_t tokens) {
  return {.text = "hm", .raw_text = "hm", .finish = FinishReason::kLength, .tokens = tokens, .last_id = 1};
}
PolicyTurn ends_thinking(int64_t tokens) {
  PolicyTurn turn = cut(tokens);
  turn.finish = FinishReason::kStop, turn.text = turn.raw_text = "hm</think>", turn.before_end = "hm";
  return turn;
}
PolicyTurn ends(int64_t tokens) {
  PolicyTurn turn = cut(tokens);
  turn.finish = FinishReason::kEnd;
  return turn;
}

}  // namespace

TEST_CASE("budget: thinking that has not ended is told that time is up") {
  const auto all = source({{"tokens", 16}, {"answer_tokens", 5}});
  const auto one = start(*all);
  CHECK(one->turn_tokens() == 16);
  CHECK(one->turn_end() == "</think>");
  const Reply reply = one->reply(cut(16));
  CHECK(reply.words.ends_with("thinking directly now.\n</think>\n\n"));
  CHECK_FALSE(reply.drops_end);
  CHECK(reply.figures == std::map<std::string, double>{{"cut", 1}, {"thinking_tokens", 16}});
  CHECK(one->turn_tokens() == 5);
  CHECK(one->turn_end().empty());
  CHECK(one->reply(ends(3)).over);
}

TEST_CASE("budget: what ends by itself is left alone") {
  const auto all = source({{"tokens", 16}});
  {
    const auto one = start(*all);
    const Reply reply = one->reply(ends_thinking(16));  // its end is the last token that it may have
    CHECK(reply.words.empty());
    CHECK(reply.goes_on);
    CHECK(reply.figures.at("cut") == 0);
    CHECK(one->turn_tokens() == 0);  // as many as there are left
    CHECK(one->reply(cut(9)).over);
  }
  {
    const auto one = start(*all);
    const Reply reply = one->reply(ends(4));
    CHECK(reply.over);
    CHECK(reply.figures.at("cut") == 0);
    CHECK(reply.figures.at("thinking_tokens") == 4);
  }
}

TEST_CASE("budget: waits take the end back while the budget lasts") {
  const auto all = source({{"tokens", 16}, {"waits", 2}, {"wait", " Wait"}});
  const auto one = start(*all);
  Reply reply = one->reply(ends_thinking(6));
  CHECK(reply.words == " Wait");
  CHECK(reply.drops_end);
  CHECK(reply.figures.at("waits") == 1);
  CHECK_FALSE(reply.figures.contains("cut"));
  CHECK(one->turn_tokens() == 10);
  CHECK(one->turn_end() == "</think>");
  reply = one->reply(ends_thinking(4));
  CHECK(reply.drops_end);
  CHECK(one->turn_tokens() == 6);
  reply = one->reply(ends_thinking(3));  // both waits are spent
  CHECK_FALSE(reply.drops_end);
  CHECK(reply.goes_on);

  const auto spent = start(*all);
  reply = spent->reply(ends_thinking(16));  // nothing is left to wait in
  CHECK_FALSE(reply.drops_end);
  CHECK(reply.goes_on);
  CHECK(reply.figures.at("waits") == 0);
  const auto late = start(*all);
  late->reply(ends_thinking(15));
  CHECK(late->turn_tokens() == 1);
  CHECK(late->reply(cut(1)).figures.at("cut") == 1);
}

TEST_CASE("budget: what does not go together is told") {
  BudgetOptions options;
  CHECK_THROWS_WITH_AS(read_fields(options, {{"waits", 15}}, "environment", "."),
                       doctest::Contains(".max_turns: 16 are fewer than the 17 pieces"), UserError);
  CHECK_THROWS_WITH_AS(read_fields(options, {{"end", ""}, {"waits", 1}}, "environment", "."),
                       doctest::Contains(".end: expected words, found none"), UserError);
  CHECK_THROWS_WITH_AS(read_fields(options, {{"end", "x"}, {"turn_tokens", 4}}, "environment", "."),
                       doctest::Contains(".turn_tokens: give tokens and answer_tokens"), UserError);
}
