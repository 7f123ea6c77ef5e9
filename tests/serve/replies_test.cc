// OpenAI's objects, byte by byte.
#include "serve/replies.h"

#include "served_fake.h"
#include "test.h"

using namespace temper;

namespace {

const ReplyHead kHead{ReplyKind::kChat, "chatcmpl-1", "base", 1700000000};

}  // namespace

TEST_CASE("replies: whole ones") {
  const Json choices = Json::array({chat_choice(0, "Hi", Json::array(), nullptr, "stop")});
  CHECK(
      dump_line(whole_reply(kHead, choices, {5, 2, 3})) ==
      R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"base","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"Hi"},"logprobs":null,"finish_reason":"stop"}],)"
      R"("usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":3}}})");
  ReplyHead plain = kHead;
  plain.kind = ReplyKind::kCompletion;
  CHECK(dump_line(whole_reply(plain, Json::array({completion_choice(0, "Hi", nullptr, "length")}),
                              {})["choices"]) ==
        R"([{"text":"Hi","index":0,"logprobs":null,"finish_reason":"length"}])");
  CHECK(whole_reply(plain, Json::array(), {})["object"] == "text_completion");
}

TEST_CASE("replies: pieces and their events") {
  const Json piece = reply_piece(kHead, Json::array({chat_piece(0, {{"content", "H"}}, nullptr, "")}), true);
  CHECK(
      event_text(piece) ==
      "data: "
      "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"base\","
      "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\"},\"logprobs\":null,\"finish_reason\":null}],"
      "\"usage\":null}\n\n");
  CHECK(usage_piece(kHead, {1, 2, 0})["choices"].empty());
  CHECK(usage_piece(kHead, {1, 2, 0})["usage"]["total_tokens"] == 3);
  CHECK(!reply_piece(kHead, Json::array(), false).contains("usage"));
}

TEST_CASE("replies: calls") {
  const std::vector<ToolCall> calls = {{.name = "add", .arguments = {{"a", 1}}}, {.name = "none"}};
  const Json json = calls_json(calls, kHead, 2);
  CHECK(dump_line(json) ==
        R"([{"id":"call_1_2_0","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}},)"
        R"({"id":"call_1_2_1","type":"function","function":{"name":"none","arguments":"{}"}}])");
  CHECK(chat_choice(0, "", json, nullptr, "tool_calls")["message"]["content"].is_null());
  CHECK(finish_reason(FinishReason::kEnd, true) == "tool_calls");
  CHECK(finish_reason(FinishReason::kStop, false) == "stop");
  CHECK(finish_reason(FinishReason::kLength, false) == "length");
}

TEST_CASE("replies: log-probs") {
  const SpokenTokenizer tokenizer({"<end>"}, {"th"});
  const TokenSpelling spelling(tokenizer);
  // A byte that is no character alone, and a probability of nothing.
  const std::vector<SpokenToken> tokens = {{{256, -0.5f}, {{256, -0.5f}, {0xc3, -INFINITY}}, 0},
                                           {{0xc3, -1.0f}, {}, 2}};
  CHECK(dump_line(chat_logprobs(tokens, spelling)) ==
        "{\"content\":[{\"token\":\"th\",\"logprob\":-0.5,\"bytes\":[116,104],\"top_logprobs\":[{\"token\":"
        "\"th\","
        "\"logprob\":-0.5,\"bytes\":[116,104]},{\"token\":\"\xef\xbf\xbd\",\"logprob\":-9999.0,\"bytes\":["
        "195]}]},"
        "{\"token\":\"\xef\xbf\xbd\",\"logprob\":-1.0,\"bytes\":[195],\"top_logprobs\":[]}]}");
  CHECK(dump_line(completion_logprobs(tokens, "th\xc3\xa9", spelling)) ==
        "{\"tokens\":[\"th\",\"\xef\xbf\xbd\"],\"token_logprobs\":[-0.5,-1.0],\"top_logprobs\":[{\"th\":-0.5,"
        "\"\xef\xbf\xbd\":-9999.0},null],\"text_offset\":[0,2]}");
}

TEST_CASE("replies: models and figures") {
  CHECK(
      dump_line(models_json({{"base", ""}, {"a", "base"}}, 7)) ==
      R"({"object":"list","data":[{"id":"base","object":"model","created":7,"owned_by":"temper","parent":null},)"
      R"({"id":"a","object":"model","created":7,"owned_by":"temper","parent":"base"}]})");
  const std::string text = metrics_text({.requests = 3, .tokens = 9, .waiting = 1});
  CHECK(text.find("# TYPE temper_requests_total counter\ntemper_requests_total 3\n") != std::string::npos);
  CHECK(text.find("\ntemper_completion_tokens_total 9\n") != std::string::npos);
  CHECK(text.find("# TYPE temper_samples_waiting gauge\ntemper_samples_waiting 1\n") != std::string::npos);
}
