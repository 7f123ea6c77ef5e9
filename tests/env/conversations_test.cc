// What environments say as tokens behind the policy's.
#include "env/conversations.h"

#include <chrono>
#include <thread>

#include "base/error.h"
#include "env/attempts.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

const char* const kTemplate =
    "{%- for m in messages %}{{ '<s>' + m.role + '\n' + m.content + '<e>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<s>assistant\n' }}{%- endif %}";

// Answers "n?" to the n-th turn, up to `talks` of them.
struct Asks : Environment {
  explicit Asks(int talks) : talks(talks) {}
  Reply reply(const PolicyTurn& turn) override {
    heard.push_back(turn.text);
    if (++count > talks) return {.over = true, .reward = 2.0};
    return {.messages = {{{"role", "user"}, {"content", fmt::format("{}?<e>", count)}}},
            .reward = 1.0,
            .state = fmt::format("asked {}", count),
            .figures = {{"asked", 1.0}}};
  }
  Reply cut() override { return {.over = true, .reward = -0.5}; }
  int talks, count = 0;
  std::vector<std::string> heard;
};

struct AskSource : EnvironmentSource {
  explicit AskSource(bool slow = false) : slow(slow) {}
  std::unique_ptr<Environment> start(const ConversationStart&) override {
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return std::make_unique<Asks>(2);
  }
  bool external() const override { return slow; }
  bool slow;
};

struct Fixture {
  FakeTokenizer tokenizer{{"<s>", "<e>"}};
  ChatTemplate chat{kTemplate};
  RecordEncoder encoder{tokenizer, &chat, {}};
  std::shared_ptr<const Record> record(const std::string& json) const {
    return std::make_shared<Record>(Record{Json::parse(json), "f.jsonl", 1});
  }
  // Tokens in bars, so that letters of a special token can be told from it.
  std::string shown(const std::vector<int64_t>& ids) const {
    std::string out;
    for (const int64_t id : ids)
      out += tokenizer.is_special(id) ? "|" + tokenizer.piece(id) + "|" : tokenizer.piece(id);
    return out;
  }
  int64_t end() const { return *tokenizer.id("<e>"); }
  PolicyTurn turn(const std::string& text, FinishReason finish = FinishReason::kEnd) const {
    return {.text = text,
            .raw_text = text + "<e>",
            .finish = finish,
            .tokens = 3,
            .last_id = finish == FinishReason::kEnd ? end() : 'x'};
  }
};

const std::string kChat = R"({"prompt":[{"role":"user","content":"q"}]})";

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what is answered stands in the template's own form behind the turn") {
  AskSource source;
  Conversations all(source, encoder, {{record(kChat), 0}}, {});
  all.ended(0, 0, turn("a1"));
  // The turn's end token is the policy's own; what the environment says never becomes a special token.
  CHECK(shown(all.answer(0, 0)) == "\n|<s>|user\n1?<e>|<e>|\n|<s>|assistant\n");
  all.ended(0, 0, turn("a2", FinishReason::kLength));
  CHECK(shown(all.answer(0, 0)) == "|<e>|\n|<s>|user\n2?<e>|<e>|\n|<s>|assistant\n");
  all.ended(0, 0, turn("a3"));
  CHECK(all.answer(0, 0).empty());
  const Conversation told = all.conversation(0, 0);
  REQUIRE(told.messages.size() == 5);
  CHECK(told.messages[0] == Json{{"role", "assistant"}, {"content", "a1"}});
  CHECK(told.messages[3]["content"] == "2?<e>");
  CHECK((told.rewards == std::vector<std::optional<double>>{1.0, 1.0, 2.0}));
  CHECK(told.score() == 4.0);
  CHECK((told.states == std::vector<std::string>{"prompt", "asked 1", "asked 2"}));
  CHECK(told.figures.at("asked") == 2);
  CHECK(told.figures.at("turns") == 3);
}

TEST_CASE_FIXTURE(Fixture, "behind a prompt that is a text stand the words, on a line of their own") {
  AskSource source;
  Conversations all(source, encoder, {{record(R"({"prompt":"q"})"), 0}}, {});
  all.ended(0, 0, turn("a"));
  CHECK(shown(all.answer(0, 0)) == "\n1?<e>\n");
}

TEST_CASE_FIXTURE(Fixture, "a turn can be made to go on with given words") {
  struct Nudges : Environment {
    Reply reply(const PolicyTurn&) override { return {.words = "<e>\nSo:"}; }
  };
  struct NudgeSource : EnvironmentSource {
    std::unique_ptr<Environment> start(const ConversationStart&) override {
      return std::make_unique<Nudges>();
    }
  } source;
  Conversations all(source, encoder, {{record(kChat), 0}}, {.max_turns = 3});
  all.ended(0, 0, turn("think", FinishReason::kLength));
  CHECK(shown(all.answer(0, 0)) == "|<e>|\nSo:");
  all.ended(0, 0, turn(" 4"));
  CHECK(shown(all.answer(0, 0)) == "|<e>|\nSo:");
  all.ended(0, 0, turn(" 5"));
  CHECK(all.answer(0, 0).empty());
  const Conversation told = all.conversation(0, 0);
  REQUIRE(told.messages.size() == 1);
  CHECK(told.messages[0]["content"] == "think<e>\nSo: 4<e>\nSo: 5");
  all.ended(0, 1, turn("think"));
  CHECK_FALSE(all.answer(0, 1).empty());
  CHECK(all.conversation(0, 1).messages[0]["content"] == "think");  // the words did not fit
  CHECK(told.rewards.size() == 3);
}

TEST_CASE_FIXTURE(Fixture,
                  "a turn that its own end ended goes on without words, or with that end taken back") {
  struct Waits : Environment {
    std::string turn_end() const override { return "."; }
    Reply reply(const PolicyTurn&) override {
      if (++said == 1) return {.words = " Wait", .drops_end = true};
      if (said == 2) return {.goes_on = true};
      return {.over = true};
    }
    int said = 0;
  };
  struct WaitSource : EnvironmentSource {
    std::unique_ptr<Environment> start(const ConversationStart&) override {
      return std::make_unique<Waits>();
    }
  } source;
  Conversations all(source, encoder, {{record(kChat), 0}}, {});
  CHECK(all.turn_end(0, 0) == ".");
  PolicyTurn first = turn("one.", FinishReason::kStop);
  first.before_end = "one";
  all.ended(0, 0, first);
  CHECK(shown(all.answer(0, 0)) == " Wait");
  CHECK(all.joint(0, 0).drops_end);
  PolicyTurn second = turn(" two.", FinishReason::kStop);
  second.before_end = " two";
  all.ended(0, 0, second);
  CHECK(all.answer(0, 0).empty());
  CHECK(all.joint(0, 0).open);
  CHECK_FALSE(all.joint(0, 0).drops_end);
  all.ended(0, 0, turn(" 4"));
  CHECK(all.answer(0, 0).empty());
  CHECK_FALSE(all.joint(0, 0).open);
  const Conversation told = all.conversation(0, 0);
  REQUIRE(told.messages.size() == 1);
  CHECK(told.messages[0]["content"] == "one Wait two. 4");
}

TEST_CASE_FIXTURE(Fixture, "the last turn that is allowed is judged and not answered") {
  AskSource source;
  Conversations all(source, encoder, {{record(kChat), 0}}, {.max_turns = 2});
  all.ended(0, 0, turn("a"));
  CHECK_FALSE(all.answer(0, 0).empty());
  all.ended(0, 0, turn("b"));
  CHECK(all.answer(0, 0).empty());
  CHECK(all.conversation(0, 0).rewards.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "an answer that did not fit is no part of the conversation") {
  AskSource source;
  Conversations all(source, encoder, {{record(kChat), 0}}, {});
  all.ended(0, 0, turn("a"));
  CHECK_FALSE(all.answer(0, 0).empty());
  const Conversation told = all.conversation(0, 0);
  CHECK(told.messages.size() == 1);
  CHECK(told.score() == 0.5);  // 1 for the turn, and what the environment says when it is cut
}

TEST_CASE_FIXTURE(Fixture, "conversations of an external environment are held by threads beside") {
  AskSource source(true);
  std::vector<Asked> asked;
  for (uint64_t i = 0; i < 30; ++i) asked.push_back({record(kChat), i});
  Conversations all(source, encoder, asked, {});
  CHECK(all.patience() > 0);
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < 30; ++i) all.ended(i, 0, turn("a"));
    for (size_t i = 0; i < 30; ++i)
      CHECK(shown(all.answer(i, 0)) == fmt::format("\n|<s>|user\n{}?<e>|<e>|\n|<s>|assistant\n", round + 1));
  }
}

TEST_CASE_FIXTURE(Fixture, "a template that does not show a role, and a record without a prompt, are told") {
  const ChatTemplate silent(
      "{%- for m in messages %}{%- if m.role != 'tool' %}{{ '<s>' + m.content + '<e>' }}{%- endif %}{%- "
      "endfor %}");
  const RecordEncoder encoder(tokenizer, &silent, {});
  const Json said = {{{"role", "assistant"}, {"content", "a"}}, {{"role", "tool"}, {"content", "5"}}};
  CHECK_THROWS_WITH_AS(encoder.behind(*record(kChat), said, 0),
                       doctest::Contains("does not show what a message of role \"tool\""), UserError);
  Record text{{{"text", "t"}}, "f.jsonl", 2};
  CHECK_THROWS_WITH_AS(append_message(text, said[0]), doctest::Contains("f.jsonl:2: a conversation needs"),
                       UserError);
}

TEST_CASE_FIXTURE(Fixture, "attempts: feedback with what is left, and the paper's rewards") {
  AttemptsOptions options;
  read_fields(options, {{"attempts", 3}}, "environment", ".");
  const auto source = options.make();
  const Record question{{{"prompt", "2+2"}, {"answer", "4"}}, "f.jsonl", 1};
  const auto start = [&](uint64_t index, bool held_out) {
    return source->start({question, RandomStream(1, "own"), index, held_out});
  };
  {
    auto one = start(0, true);
    Reply reply = one->reply(turn("#### 5"));
    CHECK(reply.messages.at(0)["content"] == "Your answer is wrong. Attempts left: 2. Try again.");
    CHECK(reply.messages.at(0)["role"] == "user");
    CHECK_FALSE(reply.reward.has_value());
    reply = one->reply(turn("no idea"));
    CHECK(reply.messages.at(0)["content"] == "There is no answer in that. Attempts left: 1. Try again.");
    reply = one->reply(turn("#### 4"));
    CHECK(reply.over);
    CHECK(reply.reward == 1.0);
    CHECK(reply.figures.at("solved_in_1") == 0);
    CHECK(reply.figures.at("solved_in_2") == 0);
    CHECK(reply.figures.at("solved_in_3") == 1);
  }
  {
    auto one = start(0, true);  // an answer that is wrong, and then none
    one->reply(turn("#### 5"));
    one->reply(turn("hm"));
    const Reply reply = one->reply(turn("hm"));
    CHECK(reply.reward == -0.5);
    CHECK(reply.figures.at("solved_in_3") == 0);
  }
  {
    auto one = start(0, true);
    one->reply(turn("hm"));
    PolicyTurn cut = turn("hm", FinishReason::kLength);
    cut.last = true;  // no room for a third
    CHECK(one->reply(cut).reward == -1.0);
  }
  {
    auto one = start(0, true);  // the word of what is left did not fit any more
    one->reply(turn("#### 5"));
    CHECK(one->cut().reward == -0.5);
    CHECK(one->cut().figures.at("solved_in_3") == 0);
  }
  {
    const Record unreadable{{{"prompt", "?"}, {"answer", nullptr}}, "f.jsonl", 1};
    CHECK_THROWS_WITH_AS(source->check(unreadable), doctest::Contains("answer"), UserError);
  }
  // Training draws 1 to 3 attempts, each of them now and then; evaluations have all three.
  int64_t attempts[4] = {};
  for (uint64_t i = 0; i < 300; ++i) {
    auto one = start(i, false);
    int64_t made = 1;
    while (!one->reply(turn("#### 5")).over) ++made;
    ++attempts[made];
  }
  for (int n = 1; n <= 3; ++n) CHECK(std::abs(attempts[n] - 100) < 35);
  const auto allowed = [&](uint64_t group, uint64_t sample) {
    auto one = source->start({question, RandomStream(1, "own", 0, sample), group, false});
    int64_t made = 1;
    while (!one->reply(turn("#### 5")).over) ++made;
    return made;
  };
  for (uint64_t group = 0; group < 20; ++group) CHECK(allowed(group, 0) == allowed(group, 1));
  CHECK_THROWS_WITH_AS(read_fields(options, {{"attempts", 30}}, "environment", "."),
                       doctest::Contains(".max_turns: 16 are fewer than the 30 attempts"), UserError);
}
