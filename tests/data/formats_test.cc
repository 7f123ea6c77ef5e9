// Records of other tools: what each becomes, how it is told, and what is said of one that cannot be read.
#include <algorithm>

#include "data/formats/format.h"
#include "data/formats/llamafactory.h"
#include "temp_folder.h"
#include "test.h"
#include "text/fake_tokenizer.h"
#include "told.h"

using namespace temper;

namespace {

Record record_of(const Json& json) {
  return {json, "f.jsonl", 3};
}

std::string lines(const std::vector<Json>& records) {
  std::string out;
  for (const Json& one : records) out += one.dump() + "\n";
  return out;
}

const DataFormat& format(const std::string& name) {
  for (const DataFormat& f : data_formats()) {
    if (f.name == name) return f;
  }
  FAIL("no format " << name);
  return data_formats().front();
}

// Of a record, the columns that a run learns from.
Json learnt_of(const Json& record_of) {
  Json out = Json::object();
  for (const char* key : {"prompt", "completion", "messages", "chosen", "rejected", "label", "tools"}) {
    if (record_of.contains(key)) out[key] = record_of[key];
  }
  return out;
}

Json said(const char* role, const char* words) {
  return {{"role", role}, {"content", words}};
}

Json converted(const std::string& json) {
  const Record one = record_of(Json::parse(json));
  return told_format(one.json).convert(one).value();
}

}  // namespace

TEST_CASE("formats: records become what the tools' own code makes of them") {
  const Json golden = read_json_file(test_file("data/golden/formats.json"));
  REQUIRE(golden["cases"].size() >= 24);
  for (const Json& one : golden["cases"]) {
    CAPTURE(one.dump());
    const TempFolder folder;
    const std::string file = folder.write("a.json", Json::array({one["record"]}).dump());
    RecordFormat as;
    as.name = one["format"] == "listed" ? "llamafactory" : std::string(one["format"]);
    if (one.contains("info")) {
      Json entry = one["info"];
      entry["file_name"] = "a.json";
      folder.write("dataset_info.json", Json{{"other", {{"hf_hub_url", "a/b"}}}, {"mine", entry}}.dump());
      CHECK(learnt_of(read_data({file}).at(0).json) == one["expected"]);  // told by dataset_info.json
    }
    CHECK(learnt_of(read_data({file}, as).at(0).json) == one["expected"]);
  }
}

TEST_CASE("formats: each is told by its content, and its example is a record that a run can read") {
  std::vector<std::string> names;
  for (const DataFormat& f : data_formats()) {
    CAPTURE(f.name);
    CHECK(&told_format(f.example) == &f);
    const std::optional<Json> made = f.convert(record_of(f.example));
    REQUIRE(made);
    record_kind(record_of(*made));
    CHECK(std::find(names.begin(), names.end(), f.name) == names.end());
    for (const std::string& text : {f.name, f.summary, f.source, f.keys, f.becomes})
      CHECK_FALSE(text.empty());
    names.push_back(f.name);
  }
  // What records.h reads by itself is left as it is.
  for (const char* own :
       {R"({"prompt":"a","completion":"b"})",
        R"({"prompt":"a","completions":["b","c"],"rewards":[1,0],"input":"x"})",
        R"({"text":"a","input":"b","output":"c"})",
        R"({"messages":[{"role":"user","content":"a"}],"conversations":[[1]]})",
        R"({"chosen":"a b","rejected":"a c"})", R"({"prompts":["a"],"completions":["b"]})", R"({"odd":1})"}) {
    CAPTURE(own);
    CHECK(told_format(Json::parse(own)).native);
    CHECK(converted(own) == Json::parse(own));
  }
}

TEST_CASE("formats: further columns travel along") {
  const Json made = converted(R"({"instruction":"a","output":"b","id":7,"text":"Below is"})");
  CHECK(made == Json{{"messages", {said("user", "a"), said("assistant", "b")}}, {"id", 7}});
  CHECK(converted(R"({"prompt":"q","reward_model":{"ground_truth":"3"},"data_source":"s"})")["answer"] ==
        "3");
  CHECK(converted(R"({"prompt":"q","reward_model":{"ground_truth":"3"},"answer":"4"})")["answer"] == "4");
}

TEST_CASE("formats: ratings and ranks become the best against the worst") {
  const Json made = converted(
      R"({"instruction":"q","completions":[{"response":"b","overall_score":5},{"response":"a","overall_score":7.5},
          {"response":"c","overall_score":1}],"source":"s"})");
  CHECK(made["prompt"] == Json::array({said("user", "q")}));
  CHECK(made["chosen"] == Json::array({said("assistant", "a")}));
  CHECK(made["rejected"] == Json::array({said("assistant", "c")}));
  CHECK(made["ratings"] == Json{5, 7.5, 1});
  CHECK(made["source"] == "s");
  const Json ranked = converted(
      R"({"context":"q","completions":[{"rank":1,"completion":[{"role":"assistant","content":"b"}]},
          {"rank":0,"completion":[{"role":"assistant","content":"a"}]}]})");
  CHECK(ranked["chosen"] == Json::array({said("assistant", "a")}));
  CHECK(ranked["ratings"] == Json{-1.0, 0.0});
  CHECK(converted(R"({"input":"q","output":"a"})") ==
        Json{{"messages", {said("user", "q"), said("assistant", "a")}}});

  // Ties have nothing to learn: they are left out, and a file of nothing else is an error.
  const std::string tie =
      R"({"instruction":"q","completions":[{"response":"a","overall_score":5},{"response":"b","overall_score":5}]})";
  const TempFolder folder;
  const std::string some =
      folder.write("some.jsonl", tie + "\n" + format("ultrafeedback").example.dump() + "\n");
  std::vector<Record> records = read_records({some});
  CHECK(apply_format(records, {}).at(some).left_out == 1);
  REQUIRE(records.size() == 1);
  CHECK(records[0].line == 2);
  const std::string all = folder.write("all.jsonl", tie + "\n");
  CHECK(has(problem([&] { read_data({all}); }),
            "all.jsonl: nothing to learn: all of its 1 records have no two answers"));
}

TEST_CASE("formats: chats of OpenAI, old names of calls among them") {
  const Json made = converted(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
          {"role":"function","name":"f","content":"1"}],"functions":[{"name":"f"}]})");
  CHECK(made["tools"] == Json::array({{{"type", "function"}, {"function", {{"name", "f"}}}}}));
  CHECK(made["messages"][1]["tool_calls"] ==
        Json::array({{{"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}}}));
  CHECK(made["messages"][2]["role"] == "tool");
  CHECK_FALSE(made.contains("functions"));
  const Json pair = converted(
      R"({"input":{"messages":[{"role":"user","content":"a"}],"tools":[]},"preferred_output":[{"role":"assistant","content":"b"}],
          "non_preferred_output":[{"role":"assistant","content":"c"}]})");
  CHECK(pair == Json{{"prompt", {said("user", "a")}},
                     {"chosen", {said("assistant", "b")}},
                     {"rejected", {said("assistant", "c")}}});
}

TEST_CASE("formats: columns and tags of the user's") {
  RecordFormat as;
  as.columns.prompt = "question";
  as.columns.completion = "answer";
  CHECK(mapped(record_of({{"question", "q"}, {"answer", "a"}}), as) ==
        Json{{"question", "q"}, {"answer", "a"}, {"prompt", "q"}, {"completion", "a"}});
  as.columns.system = "sys";
  CHECK(learnt_of(mapped(record_of({{"question", "q"}, {"answer", "a"}, {"sys", "s"}}), as)) ==
        Json{{"prompt", {said("system", "s"), said("user", "q")}}, {"completion", {said("assistant", "a")}}});
  CHECK(learnt_of(mapped(record_of({{"question", "q"}, {"answer", "a"}, {"sys", nullptr}}), as)) ==
        Json{{"prompt", "q"}, {"completion", "a"}});

  // Labels of tables are text.
  RecordFormat labelled;
  labelled.columns.label = "good";
  for (const auto& [text, label] :
       {std::pair{"True", Json(true)}, {"false", Json(false)}, {"0", Json(false)}, {"yes", Json("yes")}})
    CHECK(mapped(record_of({{"good", text}}), labelled)["label"] == label);

  RecordFormat chats;
  chats.columns.messages = "talk";
  chats.tags.role = "who";
  chats.tags.content = "words";
  chats.tags.user = "customer";
  chats.tags.assistant = "agent";
  const Json talk = Json::parse(
      R"([{"who":"system","words":"s"},{"who":"customer","words":"a"},{"who":"agent","words":"b","weight":0}])");
  CHECK(
      mapped(record_of({{"talk", talk}}), chats)["messages"] ==
      Json{said("system", "s"), said("user", "a"), {{"role", "assistant"}, {"content", "b"}, {"weight", 0}}});

  // One word each that is wrong.
  const auto told = [&](const Json& json, const RecordFormat& format) {
    return problem([&] { mapped(record_of(json), format); });
  };
  CHECK(
      told({{"query", "q"}, {"answer", "a"}}, as) ==
      "f.jsonl:3: has no column \"question\", which data.columns.prompt names; found the keys query, answer");
  CHECK(has(told({{"talk", {{{"who", "robot"}, {"words", "a"}}}}}, chats),
            "f.jsonl:3: \"messages\"[0]: the role \"robot\" is none of human, gpt"));
  CHECK(has(told({{"talk", {{{"from", "user"}, {"words", "a"}}}}}, chats),
            "has no \"who\" that says who speaks"));
  CHECK(has(told({{"talk", {{{"who", "user"}, {"said", "a"}}}}}, chats), "has no \"words\" that is said"));
  const TempFolder folder;
  const std::string file = folder.write("a.jsonl", lines({{{"question", "q"}, {"answer", "a"}}}));
  CHECK(has(problem([&] { read_data({file}, as); }),
            "a.jsonl: no record has the column \"sys\", which data.columns.system names; the first has the "
            "keys question, answer"));
}

TEST_CASE("formats: what cannot be read is told in one line") {
  const TempFolder folder;
  const auto told = [&](const std::vector<Json>& records, const std::string& name = "auto") {
    RecordFormat as;
    as.name = name;
    const std::string file = folder.write("f.jsonl", lines(records));
    return problem([&] { read_data({file}, as); });
  };
  const Json alpaca = format("alpaca").example, sharegpt = format("sharegpt").example,
             trl = format("trl").example;
  CHECK(has(told({alpaca, alpaca, sharegpt}),
            "f.jsonl:3: this record is sharegpt (\"conversations\" of \"from\" and \"value\", or of \"role\" "
            "and \"content\"), but "));
  CHECK(has(told({alpaca, alpaca, sharegpt}), "f.jsonl:1 is alpaca (\"instruction\" with \"output\""));
  CHECK(has(told({trl, alpaca}), "f.jsonl:2: this record is alpaca"));
  CHECK(told({trl, format("openai").example}) == "");
  CHECK(has(told({sharegpt}, "alpaca"),
            "f.jsonl:1: is not alpaca, which data.format says: expected \"instruction\" with "
            "\"output\", or with \"chosen\" and \"rejected\"; found the keys conversations"));
  CHECK(has(told({alpaca}, "alpacca"), "data.format: there is no \"alpacca\", did you mean \"alpaca\"?"));
  CHECK(has(told({alpaca}, "llamafactory"), "f.jsonl: no dataset_info.json beside it"));

  const auto one = [&](const char* json) { return told({Json::parse(json)}); };
  CHECK(has(one(R"({"instruction":"a","output":"b","history":[["a"]]})"),
            "f.jsonl:1: \"history\" must be a list of"));
  CHECK(has(one(R"({"instruction":"a","output":"b","input":3})"),
            "f.jsonl:1: \"input\" must be a string, found number"));
  CHECK(has(one(R"({"conversations":[{"from":"human","value":"a"},{"from":"bot","value":"b"}]})"),
            "f.jsonl:1: \"conversations\"[1]: the role \"bot\" is none of"));
  CHECK(has(one(R"({"conversations":[{"from":"function_call","value":"add 1"}]})"),
            "f.jsonl:1: \"conversations\"[0]: not valid JSON"));
  CHECK(has(one(R"({"conversations":[{"from":"function_call","value":"[1]"}]})"),
            "a function_call must be JSON like"));
  CHECK(has(one(R"({"conversations":[{"from":"human","value":"a"}],"tools":"{}"})"),
            "\"tools\" must be a list of tools"));
  CHECK(has(one(R"({"conversations":[{"from":"human","value":"a"}],"label":true})"),
            "must end in the answer that is labelled"));
  CHECK(has(one(R"({"instruction":"a","completions":[{"response":"b"},{"response":"c"}]})"),
            "\"completions\"[0] must have a \"response\""));
  CHECK(has(
      one(R"({"prompt":"p","chosen":[{"role":"user","content":"a"}],"rejected":[{"role":"user","content":"b"}]})"),
      "must begin with the same messages"));
  CHECK(has(one(R"({"chosen":"\n\nHuman: a","rejected":"\n\nHuman: b"})"),
            "share no turn that ends in \"Assistant:\""));
}

TEST_CASE("formats: what an entry of dataset_info.json asks for and is not read") {
  const TempFolder folder;
  const auto told = [&](const std::string& entries) {
    folder.write("dataset_info.json", entries);
    const std::string file = folder.write("a.json", "[" + format("alpaca").example.dump() + "]");
    return problem([&] { read_data({file}); });
  };
  CHECK(told(R"({"a":{"file_name":"b.json","num_samples":1}})") == "");
  CHECK(has(told(R"({"a":{"file_name":"a.json","num_samples":1}})"), "dataset_info.json: a.num_samples"));
  CHECK(has(told(R"({"a":{"file_name":"a.json","columns":{"respons":"output"}}})"),
            "did you mean \"response\"?"));
  CHECK(has(told(R"({"a":{"file_name":"a.json","columns":{"images":"i"}}})"),
            "a.columns.images: no column that is read here"));
  CHECK(
      has(told(R"({"a":{"file_name":"a.json","tags":{"role":"i"}}})"), "a.tags.role: no tag that is known"));
  CHECK(has(told(R"({"a":{"file_name":"a.json","formatting":"sharegtp"}})"),
            "expected alpaca, sharegpt or openai"));
  CHECK(has(told(R"({"a":{"file_name":"a.json","columns":{"prompt":"q","response":"output"}}})"),
            "a.json:1: has no column \"q\""));
  CHECK(has(told(R"({"a":{"file_name":"a.json"},"b":{"file_name":"a.json","ranking":true}})"),
            "\"a\" and \"b\" both name"));
  CHECK(has(told("[]"), "expected an object of data sets"));
}

// ---- what is learnt
// ----------------------------------------------------------------------------------------

namespace {

struct Letters {
  FakeTokenizer tokenizer{{"<s>", "</s>", "<|im_start|>", "<|im_end|>"}, {}};
  ChatTemplate chat;
  RecordEncoder encoder;
  explicit Letters(const std::string& source = "chatml", EncodeSettings settings = {})
      : chat(source), encoder(tokenizer, &chat, std::move(settings)) {}
  std::string learnt(const Json& json) const {
    const Example e = encoder.supervised(record_of(json));
    std::string out;
    for (size_t i = 0; i < e.ids.size(); ++i) out += e.target[i] ? tokenizer.piece(e.ids[i]) : ".";
    out.erase(std::unique(out.begin(), out.end(), [](char a, char b) { return a == '.' && b == '.'; }),
              out.end());
    return out;
  }
};

Json weighted(std::vector<Json> weights) {
  Json out = Json::array();
  const char* words[] = {"q", "a", "r", "b"};
  for (size_t i = 0; i < 4; ++i) {
    out.push_back(said(i % 2 == 0 ? "user" : "assistant", words[i]));
    if (!weights[i].is_null()) out.back()["weight"] = weights[i];
  }
  return {{"messages", out}};
}

}  // namespace

TEST_CASE("a turn of weight 0 is not learnt") {
  const char* const spans =
      "{% for m in messages %}{% if m.role == 'assistant' %}<{% generation %}{{ m.content }}{% endgeneration "
      "%}>{% else %}"
      "({{ m.content }}){% endif %}{% endfor %}";
  for (const std::string source : {"chatml", spans}) {
    CAPTURE(source);
    const Letters l(source);
    const std::string end = source == "chatml" ? "<|im_end|>" : "";
    const std::string both = ".a" + end + ".b" + end + ".", first = ".a" + end + ".", last = ".b" + end + ".";
    CHECK(l.learnt(weighted({nullptr, nullptr, nullptr, nullptr})) == both);
    CHECK(l.learnt(weighted({nullptr, 1, 0, 1})) == both);
    CHECK(l.learnt(weighted({nullptr, 0, nullptr, 1})) == last);
    CHECK(l.learnt(weighted({0, 1, nullptr, 0})) == first);
    CHECK(has(problem([&] { l.learnt(weighted({nullptr, 0, nullptr, 0})); }), "no token to learn from"));
  }
  const Letters l;
  const Json pair = {{"prompt", {said("user", "q")}},
                     {"completion", {said("assistant", "a"), said("user", "r"), said("assistant", "b")}}};
  Json masked = pair;
  masked["completion"][0]["weight"] = 0;
  CHECK(l.learnt(pair) == ".a<|im_end|>.b<|im_end|>.");
  CHECK(l.learnt(masked) == ".b<|im_end|>.");
  CHECK(has(problem([&] {
              l.learnt(weighted({nullptr, 0.5, nullptr, 1}));
            }),
            "f.jsonl:3: \"messages\"[1].weight must be 0 (not learnt) or 1, found 0.5"));
  CHECK(has(problem([&] {
              l.learnt(weighted({1, 1, nullptr, 1}));
            }),
            "\"messages\"[0].weight is 1, but only messages of the assistant"));
  const Letters all("chatml", {.targets = "all"});
  CHECK(has(problem([&] {
              all.learnt(weighted({nullptr, 0, nullptr, 1}));
            }),
            "f.jsonl:3: a message of \"weight\" 0"));
}

TEST_CASE("token ids are learnt where their label is one") {
  const Letters l;
  const auto example = [&](const char* json) { return l.encoder.supervised(record_of(Json::parse(json))); };
  Example e = example(R"({"input_ids":[1,5,6,2],"labels":[-100,-100,6,2]})");
  CHECK(e.ids == std::vector<int64_t>{1, 5, 6, 2});
  CHECK(e.target == std::vector<bool>{false, false, true, true});
  CHECK(e.prompt_tokens == 2);
  CHECK(example(R"({"input_ids":[1,5],"prompt":"x"})").target == std::vector<bool>{true, true});
  e = example(R"({"input_ids":[0,0,1,5],"labels":[-100,-100,-100,5],"attention_mask":[0,0,1,1]})");
  CHECK(e.ids == std::vector<int64_t>{1, 5});
  CHECK(e.target == std::vector<bool>{false, true});
  const Letters three("chatml", {.max_tokens = 3, .overlong = "drop"});
  CHECK(three.encoder.supervised(record_of(Json::parse(R"({"input_ids":[1,5,6,2]})"))).ids.empty());

  const auto told = [&](const char* json) { return problem([&] { example(json); }); };
  CHECK(told(R"({"input_ids":[1,5],"labels":[-100]})") ==
        "f.jsonl:3: 1 \"labels\" for 2 \"input_ids\"; there must be as many");
  CHECK(has(told(R"({"input_ids":[1,5],"labels":[-100,6]})"),
            "\"labels\"[1] is 6; a label is the id in its place, here 5, or -100"));
  CHECK(has(told(R"({"input_ids":[1,99999]})"),
            "f.jsonl:3: \"input_ids\"[1] is 99999, outside of the tokenizer's"));
  CHECK(has(told(R"({"input_ids":[1,-1]})"), "\"input_ids\"[1] is -1"));
  CHECK(has(told(R"({"input_ids":[1,2.5]})"), "\"input_ids\" must be a list of integers"));
  CHECK(has(told(R"({"input_ids":[]})"), "must be a list of integers"));
  CHECK(has(told(R"({"input_ids":"1"})"), "must be a list of integers"));
  CHECK(has(told(R"({"input_ids":[1],"attention_mask":[2]})"), "\"attention_mask\"[0] must be 0 or 1"));
  CHECK(has(told(R"({"input_ids":[1,2],"labels":[-100,-100]})"), "no token to learn from"));
  const Letters all("chatml", {.targets = "all"});
  CHECK(has(problem([&] { all.encoder.supervised(record_of(Json::parse(R"({"input_ids":[1]})"))); }),
            "set targets to \"auto\""));
}
