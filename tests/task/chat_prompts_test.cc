// String columns that data.chat_prompts makes chats of.
#include "base/json.h"
#include "test.h"
#include "train/config.h"

using namespace temper;

namespace {

Json adapted(const std::string& json) {
  DataSection data;
  data.chat_prompts = true;
  Records records = std::vector<Record>{{Json::parse(json), "f.jsonl", 1}};
  data.adapt(records);
  return records[0].json;
}

Json message(const char* role, const char* text) {
  return Json::array({{{"role", role}, {"content", text}}});
}

}  // namespace

TEST_CASE("string prompts and their answers become chats, whatever holds the answers") {
  const Json q = message("user", "q"), a = message("assistant", "a"), b = message("assistant", "b");
  CHECK(adapted(R"({"prompt":"q","answer":"1"})") == Json{{"prompt", q}, {"answer", "1"}});
  CHECK(adapted(R"({"prompt":"q","completion":"a"})") == Json{{"prompt", q}, {"completion", a}});
  CHECK(adapted(R"({"prompt":"q","chosen":"a","rejected":"b"})") ==
        Json{{"prompt", q}, {"chosen", a}, {"rejected", b}});
  CHECK(adapted(R"({"prompt":"q","completion":"a","label":true})") ==
        Json{{"prompt", q}, {"completion", a}, {"label", true}});
  CHECK(adapted(R"({"prompt":"q","completions":["a","b"],"ratings":[1,2]})") ==
        Json{{"prompt", q}, {"completions", {a, b}}, {"ratings", {1, 2}}});
  CHECK(adapted(R"({"prompt":"q","demonstrations":["a"]})") == Json{{"prompt", q}, {"demonstrations", {a}}});
  CHECK(adapted(R"({"prompts":["q"],"completions":["a"]})") == Json{{"prompts", {q}}, {"completions", {a}}});
  // Steps stay strings, chats stay chats.
  CHECK(adapted(R"({"prompt":"q","completions":["a"],"labels":[true]})") ==
        Json{{"prompt", q}, {"completions", {"a"}}, {"labels", {true}}});
  const Json whole = Json::parse(
      R"({"prompt":"q","chosen":[{"role":"user","content":"q"}],"rejected":[{"role":"user","content":"q"}]})");
  CHECK(adapted(whole.dump()) == whole);
  CHECK(adapted(R"({"prompt":"q","completion":null})")["completion"].is_null());
}
