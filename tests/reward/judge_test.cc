#include "reward/remote/judge.h"

#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/json.h"
#include "model/model.h"
#include "reward/model_reward.h"
#include "reward/remote/judge_answer.h"
#include "reward/remote/judge_question.h"
#include "test.h"
#include "told.h"
#include "wire_server.h"

using namespace temper;

namespace {

using Peer = WireServer::Peer;

// The question of a request, by either endpoint.
std::string question(const std::string& body) {
  const Json json = parse_json(body, "request");
  return json.contains("prompt") ? json["prompt"].get<std::string>()
                                 : json["messages"].back()["content"].get<std::string>();
}

std::string chat(const std::string& text, const Json& content = nullptr) {
  Json choice = {{"message", {{"content", text}}}};
  if (!content.is_null()) choice["logprobs"]["content"] = content;
  Json out;
  out["choices"].push_back(choice);
  return dump_line(out);
}

Json token(const std::string& text, const std::vector<std::pair<std::string, double>>& top) {
  Json list = Json::array();
  for (const auto& [one, p] : top) list.push_back({{"token", one}, {"logprob", std::log(p)}});
  return {{"token", text}, {"logprob", list.empty() ? Json() : list[0]["logprob"]}, {"top_logprobs", list}};
}

// A judge whose endpoint answers each question as `say` does.
struct Asked {
  explicit Asked(std::function<std::string(const std::string&)> say, JudgeOptions o = {},
                 const std::string& path = "/v1/chat/completions")
      : server([this, say](const Peer& peer) {
          {
            const std::lock_guard lock(mutex);
            requests.push_back(parse_json(peer.body, "request"));
          }
          peer.answer(200, say(question(peer.body)));
        }) {
    o.remote.http.url = server.url(path);
    o.remote.http.retries = 0;
    o.remote.http.timeout_s = 20;
    o.remote.fail_share = 1;
    std::vector<std::string> problems;
    o.check(problems, "judge");
    CHECK(problems.empty());
    reward = o.make();
  }
  std::optional<double> one(const std::string& completion, const Json& columns = Json::object()) {
    RewardItem item;
    item.prompt = "seen";
    item.completion = completion;
    item.columns = &columns;
    return reward->score({item}).at(0).value;
  }
  std::mutex mutex;
  std::vector<Json> requests;
  WireServer server;
  std::unique_ptr<Reward> reward;
};

std::string problems_of(const std::function<void(JudgeOptions&)>& change) {
  JudgeOptions o;
  o.remote.http.url = "http://h/v1/chat/completions";
  change(o);
  std::vector<std::string> problems;
  o.check(problems, "rewards.0");
  std::string out;
  for (const std::string& one : problems) out += one + "\n";
  return out;
}

}  // namespace

TEST_CASE("judge: the last number of a text") {
  const auto read = [](const std::string& text) { return last_number(text, 10); };
  CHECK(read("8") == 8.0);
  CHECK(read("I would say 7.5.") == 7.5);
  CHECK(read("**Score: 9**") == 9.0);
  CHECK(read("First 3, then 4.") == 4.0);
  CHECK(read("8/10") == 8.0);
  CHECK(read("8 / 10.") == 8.0);
  CHECK(read("a 6 out of 10") == 6.0);
  CHECK(read("10/10") == 10.0);
  CHECK(read("10") == 10.0);
  CHECK(read("between 8 and 10") == 10.0);
  CHECK(read("3/4") == 4.0);
  CHECK(read("-2") == -2.0);
  CHECK(read("1-5") == 5.0);
  CHECK(read("8pts") == 8.0);
  CHECK(read("4 by gpt4 and v2") == 4.0);
  CHECK(read("1,234") == 1234.0);
  CHECK(read("3, 4,5") == 5.0);
  CHECK(read("0.5.") == 0.5);
  CHECK(read("Score: .5") == 0.5);
  CHECK(read("so ...5") == 5.0);
  CHECK(read("\u8bc4\u5206\uff1a8\u5206") == 8.0);
  CHECK_FALSE(read("none").has_value());
  CHECK_FALSE(read("").has_value());
  CHECK_FALSE(read("v2").has_value());
}

TEST_CASE("judge: the number under a key") {
  CHECK(field_number("Sure:\n```json\n{\"why\": \"3 slips\", \"score\": 4.5}\n```", "score") == 4.5);
  CHECK_FALSE(field_number("{\"score\": \"4\"}", "score").has_value());
  CHECK_FALSE(field_number("{\"score\": null}", "score").has_value());
  CHECK_FALSE(field_number("{\"other\": 4}", "score").has_value());
  CHECK_FALSE(field_number("4", "score").has_value());
  CHECK_FALSE(field_number("[4]", "score").has_value());
}

TEST_CASE("judge: which word a text says") {
  const auto read = [](const std::string& text) { return said_word(text, "Yes", "No"); };
  CHECK(read("Yes") == true);
  CHECK(read(" no.\n") == false);
  CHECK(read("**YES**") == true);
  CHECK(read("Yes, because it holds.") == true);
  CHECK(read("No\nThe sum is wrong. Yes, really: no") == false);
  CHECK(read("I thought about it, and the answer is: Yes.") == true);
  CHECK_FALSE(read("Yes it may be so").has_value());
  CHECK_FALSE(read("Not at all").has_value());
  CHECK_FALSE(read("").has_value());
  CHECK_FALSE(read("...").has_value());
  CHECK(read("\u201cYes\u201d\u3002") == true);
  CHECK_FALSE(read("No\u00ebl").has_value());
  CHECK(said_word("\u662f\u3002", "\u662f", "\u5426") == true);
  const auto choose = [](const std::string& text) { return said_word(text, "A", "B"); };
  CHECK(choose("A") == true);
  CHECK(choose("B.") == false);
  CHECK(choose("[[B]]") == false);
  CHECK(choose("A good answer, yet the better is B") == false);
  CHECK_FALSE(choose("a").has_value());
}

TEST_CASE("judge: log-odds of two words") {
  const auto odds = [](const Json& tokens) {
    const auto reply = read_judge_reply(chat("x", tokens));
    REQUIRE(reply.has_value());
    return word_log_odds(*reply, "Yes", "No");
  };
  const auto is = [](const std::optional<double>& x, double p, double q) {
    REQUIRE(x.has_value());
    CHECK(*x == doctest::Approx(std::log(p / q)).epsilon(1e-12));
  };
  is(odds(Json::array({token("Yes", {{"Yes", 0.6}, {"No", 0.3}, {"Maybe", 0.1}})})), 0.6, 0.3);
  // Spellings add up, whether or not the token that was drawn is listed.
  is(odds(Json::array({token("Yes", {{"Yes", 0.5}, {" yes", 0.1}, {"NO", 0.2}, {"\nNo", 0.05}})})), 0.6,
     0.25);
  Json drawn = token("Yes", {{"Yes", 0.7}});
  drawn["token"] = "No";
  drawn["logprob"] = std::log(0.2);
  is(odds(Json::array({drawn})), 0.7, 0.2);
  // A word that is not listed is as likely as it can be.
  is(odds(Json::array({token("Yes", {{"Yes", 0.9}, {"Maybe", 0.02}})})), 0.9, 0.02);
  is(odds(Json::array({token("Yes", {{"Yes", 0.99}, {"Maybe", 0.009}})})), 0.99, 1 - 0.99 - 0.009);
  is(odds(Json::array({token("No", {{"No", 1.0}})})), 1e-9, 1.0);
  // The first place that lists one of them.
  is(odds(Json::array({token("\n", {{"\n", 0.9}}), token("No", {{"Yes", 0.2}, {"No", 0.8}}),
                       token("Yes", {{"Yes", 1.0}})})),
     0.2, 0.8);
  CHECK_FALSE(odds(Json::array({token("Well", {{"Well", 0.9}})})).has_value());
  CHECK_FALSE(odds(Json::array()).has_value());
  CHECK_FALSE(odds(nullptr).has_value());
  // Behind the thought of a model that thinks aloud.
  const auto thought = read_judge_reply(
      chat("<think>Yes?</think>No",
           Json::array({token("<think>", {}), token("Yes", {{"Yes", 0.9}, {"No", 0.1}}), token("?</", {}),
                        token("think", {}), token(">", {}), token("No", {{"Yes", 0.3}, {"No", 0.7}})})));
  CHECK(thought->text == "No");
  CHECK(thought->tokens.size() == 1);
  is(word_log_odds(*thought, "Yes", "No"), 0.3, 0.7);
  // /completions.
  const auto text = read_judge_reply(
      R"({"choices": [{"text": " Yes", "logprobs": {"tokens": [" Yes"], "token_logprobs": [-0.5],
          "top_logprobs": [{" Yes": -0.5, " No": -1.5}]}}]})");
  CHECK(text->text == " Yes");
  CHECK(*word_log_odds(*text, "Yes", "No") == doctest::Approx(1.0));
}

TEST_CASE("judge: answers that are none") {
  for (const char* body : {"", "<html>", "[]", "{}", R"({"choices": []})", R"({"choices": [{}]})",
                           R"({"choices": [{"message": {"content": null}}]})",
                           R"({"choices": [{"text": 3}]})", R"({"error": {"message": "overloaded"}})"})
    CHECK_FALSE(read_judge_reply(body).has_value());
  // Log-probabilities of a wrong shape are none.
  for (const char* logprobs :
       {"null", "3", "[]", R"({"content": 3})", R"({"content": [3, {"token": 3}]})",
        R"({"content": [{"token": "Yes", "logprob": "x", "top_logprobs": {"Yes": 1}}]})",
        R"({"content": [{"token": "Yes", "logprob": 7}]})"}) {
    const auto reply = read_judge_reply(
        std::string(R"({"choices": [{"message": {"content": "Yes"}, "logprobs": )") + logprobs + "}]}");
    REQUIRE(reply.has_value());
    CHECK_FALSE(word_log_odds(*reply, "Yes", "No").has_value());
  }
}

TEST_CASE("judge: templates") {
  const auto fill = [](const std::string& text) {
    return QuestionTemplate(text).fill([](const std::string& name) { return "<" + name + "{prompt}>"; });
  };
  CHECK(fill("a {prompt} b{x.y_1}") == "a <prompt{prompt}> b<x.y_1{prompt}>");
  CHECK(fill("{\"score\": 8} {} { prompt } {1} {a b} {a") == "{\"score\": 8} {} { prompt } {1} {a b} {a");
  CHECK(fill("{{prompt}}") == "{<prompt{prompt}>}");
  CHECK(fill("") == "");

  RewardItem item;
  item.prompt = "<user>Hi<end>";
  CHECK(prompt_text(item) == "<user>Hi<end>");
  Json columns = {{"prompt", "Hi"}};
  item.columns = &columns;
  CHECK(prompt_text(item) == "Hi");
  columns["prompt"] = {{{"role", "user"}, {"content", "Hi"}}};
  CHECK(prompt_text(item) == "Hi");
  columns["prompt"] = {{{"role", "system"}, {"content", "Be kind."}}, {{"role", "user"}, {"content", "Hi"}}};
  CHECK(prompt_text(item) == "system: Be kind.\n\nuser: Hi");
  item.completion = "last";
  CHECK(conversation_text(item) == "last");
  const Json said = {{{"role", "assistant"}, {"content", "5?"}},
                     {{"role", "user"}, {"content", "Higher."}},
                     {{"role", "assistant"}, {"content", "last"}}};
  item.conversation = &said;
  CHECK(conversation_text(item) == "assistant: 5?\n\nuser: Higher.\n\nassistant: last");
}

TEST_CASE("judge: Yes or No, by log-probabilities or the word") {
  JudgeOptions o;
  o.model = "m";
  o.system = "Be strict.";
  o.body = {{"max_tokens", nullptr}, {"max_completion_tokens", 9}, {"temperature", 0.5}};
  Asked asked(
      [](const std::string& q) {
        if (has(q, "plain")) return chat("No.");
        if (has(q, "mute")) return chat("Well");
        return chat("Yes", Json::array({token("Yes", {{"Yes", 0.6}, {"No", 0.2}})}));
      },
      o);
  CHECK(*asked.one("fine", {{"prompt", "1+1"}}) == doctest::Approx(0.75).epsilon(1e-12));
  CHECK(asked.one("plain") == 0.0);
  CHECK_FALSE(asked.one("mute").has_value());
  REQUIRE(asked.requests.size() == 3);
  CHECK(
      dump_line(asked.requests[0]) ==
      "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be strict.\"},{\"role\":\"user\","
      "\"content\":\"A question, and an answer to it.\\n\\nQuestion:\\n1+1\\n\\nAnswer:\\nfine\\n\\nIs this "
      "answer right? Reply Yes or No alone.\"}],\"temperature\":0.5,\"logprobs\":true,\"top_logprobs\":5,"
      "\"max_completion_tokens\":9}");
  CHECK(asked.reward->counters().at("malformed") == 1);
  CHECK(asked.reward->counters().at("nulls") == 1);
  CHECK(asked.reward->each_alone());
  CHECK(asked.reward->external());

  o.value = "log_odds";
  Asked odds(
      [](const std::string& q) {
        return has(q, "plain") ? chat("Yes")
                               : chat("Yes", Json::array({token("Yes", {{"Yes", 0.6}, {"No", 0.2}})}));
      },
      o);
  CHECK(*odds.one("fine") == doctest::Approx(std::log(3.0)).epsilon(1e-12));
  CHECK_FALSE(odds.one("plain").has_value());

  JudgeOptions words;
  words.top_logprobs = 0;
  Asked text([](const std::string&) { return std::string(R"({"choices": [{"text": " Yes"}]})"); }, words,
             "/v1/completions?api=1");
  CHECK(text.one("x") == 1.0);
  CHECK(dump_line(text.requests.at(0)) ==
        "{\"prompt\":\"A question, and an answer to it.\\n\\nQuestion:\\nseen\\n\\nAnswer:\\nx\\n\\nIs this "
        "answer "
        "right? Reply Yes or No alone.\",\"max_tokens\":16,\"temperature\":0.0}");
}

TEST_CASE("judge: several questions are averaged, equal ones asked once") {
  JudgeOptions o;
  o.prompts = {"Right? {completion}", "Kind? {completion}", "Is {level} met? {completion}"};
  const auto say = [](const std::string& q) {
    if (q.starts_with("Right?")) return has(q, "odd") ? chat("hm") : chat("Yes");
    if (q.starts_with("Kind?")) return chat("No");
    return chat("Yes", Json::array({token("Yes", {{"Yes", 0.25}, {"No", 0.75}})}));
  };
  Asked asked(say, o);
  const Json columns = {{"level", 3}};
  RewardItem item;
  item.columns = &columns;
  item.completion = "a {level}";
  RewardItem other = item;
  other.completion = "odd";
  const auto scores = asked.reward->score({item, item, other, item});
  CHECK(*scores[0].value == doctest::Approx((1 + 0 + 0.25) / 3));
  CHECK(scores[0].text == "Yes\n\nNo\n\nYes");
  CHECK(scores[1].value == scores[0].value);
  CHECK(scores[3].value == scores[0].value);
  CHECK_FALSE(scores[2].value.has_value());  // one of its questions had no answer
  CHECK(scores[2].text == "hm\n\nNo\n\nYes");
  CHECK(asked.requests.size() == 6);
  bool seen = false;
  for (const Json& request : asked.requests)
    seen = seen || request["messages"][0]["content"] == "Is 3 met? a {level}";
  CHECK(seen);
  CHECK(problem([&] {
          asked.reward->check(Json{{"prompt", "x"}});
        }) == "reward judge: {level}: the data has no column \"level\"; the record has: prompt");
  CHECK_FALSE(asked.reward->check(columns).has_value());
}

TEST_CASE("judge: a rubric's number") {
  JudgeOptions o;
  o.mode = "rubric";
  Asked asked(
      [](const std::string& q) {
        if (has(q, "fine")) return chat("Thinking ... 8/10");
        if (has(q, "over")) return chat("11");
        if (has(q, "under")) return chat("0");
        return chat("no idea");
      },
      o);
  CHECK(*asked.one("fine") == doctest::Approx(7.0 / 9).epsilon(1e-12));
  CHECK_FALSE(asked.one("over").has_value());
  CHECK_FALSE(asked.one("under").has_value());
  CHECK_FALSE(asked.one("else").has_value());
  CHECK(has(asked.requests[0]["messages"][0]["content"], "Reply with a number from 1 to 10 alone."));
  CHECK_FALSE(asked.requests[0].contains("logprobs"));
  o.field = "grade";
  o.min = 0;
  o.max = 4;
  o.prompts = {"Grade {completion} against {reference} as {\"grade\": 0 to {max}}"};
  o.reference = "solution";
  Asked json([](const std::string&) { return chat("7 things. {\"grade\": 3}"); }, o);
  CHECK(json.one("x", {{"solution", "y"}}) == 0.75);
  CHECK(json.requests[0]["messages"][0]["content"] == "Grade x against y as {\"grade\": 0 to 4}");
}

TEST_CASE("judge: beside a reference, in both orders") {
  // It has a liking for the first answer, and a greater one for "good".
  const auto say = [](const std::string& q) {
    const size_t good = q.find("good"), second = q.find("Answer B");
    if (has(q, "word")) return chat(q.find("word") < second ? "A" : "B");
    const double p = good == std::string::npos ? 0.6 : good < second ? 0.9 : 0.3;
    return chat("A", Json::array({token("A", {{"A", p}, {"B", 1 - p}})}));
  };
  JudgeOptions o;
  o.mode = "pairwise";
  o.reference = "old";
  Asked asked(say, o);
  CHECK(*asked.one("good", {{"old", "bad"}}) == doctest::Approx((0.9 + 0.7) / 2));
  CHECK(*asked.one("bad", {{"old", "good"}}) == doctest::Approx((0.3 + 0.1) / 2));
  CHECK(*asked.one("same", {{"old", "same"}}) == doctest::Approx(0.5));  // no liking for a place is left
  CHECK(asked.one("word", {{"old", "other"}}) == 1.0);
  CHECK(asked.one("other", {{"old", "word"}}) == 0.0);
  const std::string first = asked.requests[0]["messages"][0]["content"];
  CHECK((has(first, "Answer A:\ngood\n\nAnswer B:\nbad") || has(first, "Answer A:\nbad\n\nAnswer B:\ngood")));
  CHECK(has(problem([&] {
              asked.reward->check(Json{{"prompt", "x"}});
            }),
            "reward judge: reference: the data has no "
            "column \"old\""));
  o.value = "log_odds";
  Asked odds(say, o);
  CHECK(*odds.one("good", {{"old", "bad"}}) ==
        doctest::Approx((std::log(0.9 / 0.1) - std::log(0.3 / 0.7)) / 2));
}

TEST_CASE("judge: what is wrong with its options") {
  CHECK(problems_of([](JudgeOptions&) {}) == "");
  CHECK(
      has(problems_of([](JudgeOptions& o) { o.remote.http.url = ""; }), "either url, an endpoint, or path"));
  CHECK(has(problems_of([](JudgeOptions& o) { o.path = "models/x"; }), "either url, an endpoint, or path"));
  CHECK(has(problems_of([](JudgeOptions& o) { o.remote.http.url = "http://h/v1"; }),
            "to end with /chat/completions"));
  CHECK(has(problems_of([](JudgeOptions& o) {
              o.remote.http.url = "";
              o.path = "models/x";
              o.mode = "rubric";
            }),
            "rubric needs url"));
  CHECK(has(problems_of([](JudgeOptions& o) { o.min = o.max; }), "max: expected more than min"));
  CHECK(has(problems_of([](JudgeOptions& o) { o.no = o.yes; }), "no: expected two different words"));
  CHECK(has(problems_of([](JudgeOptions& o) { o.body = 3; }), "body: expected an object"));
  CHECK(has(problems_of([](JudgeOptions& o) { o.prompts = {"Right?"}; }),
            "each must show {completion} or {conversation}"));
  CHECK(has(problems_of([](JudgeOptions& o) {
              o.mode = "pairwise";
              o.prompts = {"Better? {completion}"};
            }),
            "each must show {answer_first} and {answer_second}"));
  CHECK(has(problems_of([](JudgeOptions& o) {
              o.value = "log_odds";
              o.top_logprobs = 0;
            }),
            "log_odds are read of these"));
}
