#include "data/benchmarks.h"

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

Json one(const std::string& format, const std::string& line) {
  TempFolder folder;
  const auto records = read_benchmark({folder.write("file.jsonl", line + "\n")}, format);
  REQUIRE(records.size() == 1);
  return records.front().json;
}

std::string error(const std::string& format, const std::string& name, const std::string& text) {
  TempFolder folder;
  try {
    read_benchmark({folder.write(name, text)}, format);
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("benchmarks: GSM8K and MATH") {
  const Json gsm =
      one("gsm8k", R"({"question":"How much?","answer":"6 * 200 = <<6*200=1200>>1,200\n#### 1,200 "})");
  CHECK(gsm["prompt"] == "How much?");
  CHECK(gsm["answer"] == "1200");
  CHECK(gsm["completion"].get<std::string>().ends_with("#### 1,200 "));
  CHECK_FALSE(gsm.contains("question"));

  const Json math = one(
      "math",
      R"({"problem":"p","level":"Level 3","type":"Algebra","solution":"\\boxed{1} or $\\boxed{\\frac{1}{2}}$."})");
  CHECK(math["prompt"] == "p");
  CHECK(math["answer"] == "\\frac{1}{2}");  // the last one
  CHECK(math["level"] == "Level 3");
  CHECK(math["type"] == "Algebra");
  CHECK(one("math", R"({"problem":"p","solution":"$\\boxed 2$"})")["answer"] == "2");
  CHECK(one("math", R"({"problem":"p","solution":"\\fbox{3}"})")["answer"] == "3");

  TempFolder folder;
  fs::create_directories(folder / "test/algebra");
  folder.write("test/algebra/2.json",
               R"({"problem":"b","level":"Level 1","type":"Algebra","solution":"\\boxed{4}"})");
  folder.write("test/algebra/1.json",
               R"({"problem":"a","level":"Level 5","type":"Algebra","solution":"\\boxed{3}"})");
  folder.write("test/README.md", "no problem");
  const auto records = read_benchmark({folder.text("test")}, "math");
  REQUIRE(records.size() == 2);
  CHECK(records[0].json["prompt"] == "a");
  CHECK(records[0].json["source"] == "algebra/1.json");
  CHECK(records[1].json["answer"] == "4");
}

TEST_CASE("benchmarks: questions with choices") {
  const char* original =
      R"({"id":"Q1","question":{"stem":"Which is hot?","choices":[{"text":"ice","label":"1"},{"text":"fire","label":"2"}]},"answerKey":"2"})";
  const char* hub =
      R"({"id":"Q1","question":"Which is hot?","choices":{"text":["ice","fire"],"label":["A","B"]},"answerKey":"B"})";
  for (const char* line : {original, hub}) {
    const Json arc = one("arc", line);
    CHECK(arc["prompt"] == "Which is hot?\nA. ice\nB. fire\nAnswer:");
    CHECK(arc["question"] == "Which is hot?");
    CHECK(arc["choices"] == Json({"ice", "fire"}));
    CHECK(arc["answer"] == "B");
    CHECK(arc["id"] == "Q1");
  }
  const Json mmlu = one("mmlu", R"({"question":"q","subject":"law","choices":["w","x","y","z"],"answer":3})");
  CHECK(mmlu["answer"] == "D");
  CHECK(mmlu["subject"] == "law");
  CHECK(mmlu["prompt"].get<std::string>().ends_with("D. z\nAnswer:"));
  CHECK(one("mmlu", R"({"question":"q","choices":["w","x"],"answer":"A"})")["subject"] == "file");

  TempFolder folder;
  const std::string csv =
      folder.write("college_physics_test.csv", "\"A, \"\"b\"\"\nor c?\",1,2,3,4,C\r\nnext,w,x,y,z,A\n");
  const auto rows = read_benchmark({csv}, "mmlu");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].json["question"] == "A, \"b\"\nor c?");
  CHECK(rows[0].json["choices"] == Json({"1", "2", "3", "4"}));
  CHECK(rows[0].json["answer"] == "C");
  CHECK(rows[0].json["subject"] == "college_physics");
  CHECK(rows[1].line == 3);  // where the row begins

  const Json swag = one(
      "hellaswag",
      R"({"ind":4,"activity_label":"Roof","ctx_a":"A man sits.","ctx_b":"he","ctx":"A man sits. he","endings":["rips [step] it.","is  using"],"label":"1"})");
  CHECK(swag["prompt"] == "Roof: A man sits. He");
  CHECK(swag["choices"] == Json({"rips it.", "is using"}));
  CHECK(swag["answer"] == 1);
  CHECK(swag["ind"] == 4);
  CHECK(one("hellaswag", R"({"ctx":"c","endings":["a","b"],"label":0})")["prompt"] == "c");
  const Json piqa = one("piqa", R"({"goal":"g","sol1":"a","sol2":"b","label":1})");
  CHECK(piqa["prompt"] == "Question: g\nAnswer:");
  CHECK(piqa["answer"] == 1);
  CHECK(one("jsonl", R"({"prompt":"as it is"})")["prompt"] == "as it is");
}

TEST_CASE("benchmarks: files of other forms") {
  CHECK(has(error("gsm8k", "f.jsonl", "{\"prompt\":\"p\"}\n"), "f.jsonl:1: expected a line of GSM8K"));
  CHECK(has(error("gsm8k", "f.jsonl", "{\"question\":\"q\",\"answer\":\"no mark\"}\n"),
            "the line has: question, answer"));
  CHECK(has(error("math", "f.jsonl", "{\"problem\":\"q\",\"solution\":\"\\\\boxed{1\"}\n"),
            "\\boxed{} answer"));
  CHECK(has(error("arc", "f.jsonl",
                  R"({"question":"q","choices":{"text":["a","b"],"label":["A","B"]},"answerKey":"C"})"),
            "ARC"));
  CHECK(has(error("arc", "f.jsonl", R"({"question":{"stem":"q","choices":["a"]},"answerKey":"A"})"), "ARC"));
  CHECK(has(error("mmlu", "f.jsonl", R"({"question":"q","choices":["a","b"],"answer":2})"), "MMLU"));
  CHECK(has(error("mmlu", "f.csv", "a,b\n"), "found 2 fields"));
  CHECK(has(error("mmlu", "f.csv", "x,1,2,A\n\"open,b\n"), "f.csv:2: a quote that does not close"));
  CHECK(has(error("mmlu", "f.csv", ""), "no rows"));
  CHECK(has(error("hellaswag", "f.jsonl", R"({"ctx":"c","endings":["a","b"],"label":""})"), "HellaSwag"));
  CHECK(has(error("piqa", "f.jsonl", R"({"goal":"c","sol1":"a","label":0})"), "PIQA"));
  CHECK(has(error("math", "f.json", "3"), "expected an object"));
  CHECK(has(error("trivia", "f.jsonl", "{}"), "there is no \"trivia\""));
  TempFolder empty;
  CHECK_THROWS_WITH_AS(read_benchmark({empty.text()}, "math"), doctest::Contains("no .json"), UserError);
}

TEST_CASE("benchmarks: a prompt as a chat") {
  Record record{{{"prompt", "q"}, {"completion", "a"}, {"level", 1}}, "f", 1};
  ask_as_chat(record);
  CHECK(record.json["prompt"][0]["role"] == "user");
  CHECK(record.json["completion"][0]["content"] == "a");
  ask_as_chat(record);  // no change
  CHECK(record.json["prompt"].size() == 1);
}
