// Rules of selection that self-training in rounds goes by, against values worked out by hand.
#include "base/json.h"
#include "data/groups.h"
#include "data/select/select.h"
#include "data/select/states.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::vector<Record> select(const std::string& rule, const Json& options, const std::vector<Json>& lines,
                           SelectContext& context) {
  const auto made = select_registry().find(rule)->make();
  read_fields(*made, options, "rule", "");
  std::vector<Record> in;
  for (const Json& line : lines) in.push_back({line, "x.jsonl", static_cast<int64_t>(in.size() + 1)});
  return made->select(std::move(in), context);
}

std::vector<Record> select(const std::string& rule, const Json& options, const std::vector<Json>& lines) {
  SelectContext context;
  return select(rule, options, lines, context);
}

double figure(const SelectContext& context, const std::string& name) {
  for (const auto& [known, value] : context.figures)
    if (known == name) return value;
  return -1;
}

}  // namespace

TEST_CASE("the states of solutions: values of names, and the last numbers of other lines") {
  const auto states = [](const std::string& text) { return solution_states(solution_steps(text)); };
  CHECK(states("a = 3\nb = a * 2 + 1\nc = (b - a) / 2\n") ==
        std::vector<SolutionState>{{"3"}, {"3", "7"}, {"2", "3", "7"}});
  // Other names and another order of the same values.
  CHECK(states("x = 7\ny = 3").back() == states("a = 3\nb = a * 2 + 1").back());
  CHECK(states("a = 3\na = 4").back() == SolutionState{"4"});
  CHECK(states("He has 3 + 4 = 7 pens.\nThat is 1,250 more.\nSo.\n-5") ==
        std::vector<SolutionState>{{"7"}, {"1250", "7"}, {"1250", "7"}, {"-5", "1250", "7"}});
  CHECK(states("10 / 4 = 2.5").back() == SolutionState{"2.5"});
  CHECK(states("a = b + 1").back() == SolutionState{"1"});  // b is not known: the last number of the line
  CHECK(states("a = 1 / 0").back() == SolutionState{"0"});
  CHECK(states("").empty());
  CHECK(solution_steps("one\n\n  \ntwo") == std::vector<std::string>{"one\n\n  \n", "two"});
  std::string deep = "a = " + std::string(100000, '(');
  CHECK(states(deep).back().empty());
}

TEST_CASE(
    "the buffer: right solutions once each, the record's own first, and right beginnings of wrong ones") {
  const Json line = {{"prompt", "q"},
                     {"reference", "a = 3\nb = a + 4\n"},
                     {"completions",
                      {"x = 3\nz = 7\n", "A = 3\nb = a + 4\n", "x = 3\ny = 4\nz = x + y + 1\n", "x = 9\n",
                       std::string("x = 3\n") + std::string(60, 'y') + "\nz = 7\n"}},
                     {"rewards", {1, 1, 0, 0, 1}}};
  SelectContext context;
  const auto kept = select("buffer", Json::object(), {line}, context);
  std::vector<std::string> texts;
  for (const Record& r : kept) texts.push_back(r.json["completion"].get<std::string>());
  // The second says the same but for case, the fifth is more than twice as long as the shortest.
  CHECK(texts == std::vector<std::string>{"a = 3\nb = a + 4\n", "x = 3\nz = 7\n"});
  CHECK(figure(context, "found") == 1);
  CHECK(figure(context, "begun") == 0);  // "x = 3\n" begins a right solution that is known

  // "n = 3" is a state of the reference, written in another way: a beginning to learn and to go on from.
  const Json other = {{"prompt", "q"},
                      {"reference", "a = 3\nb = a + 4\n"},
                      {"completions", {"n = 1 + 2\nm = n + 5\n"}},
                      {"rewards", {0}}};
  SelectContext second;
  const auto begun = select("buffer", Json::object(), {other}, second);
  REQUIRE(begun.size() == 2);
  CHECK(begun[1].json["completion"] == "n = 1 + 2\n");
  CHECK(is_unfinished(begun[1], "completion"));
  CHECK(select("buffer", {{"partial", false}}, {other}).size() == 1);

  // What earlier rounds kept stays, and is found once.
  SelectContext third;
  third.earlier = begun;
  const auto again = select("buffer", Json::object(), {other, line}, third);
  CHECK(again.size() == 3);

  // Its prompts to sample from, and an answer behind a beginning as the whole one.
  const auto prompts = select("openings", Json::object(), {begun[0].json, begun[1].json});
  REQUIRE(prompts.size() == 2);
  CHECK(prompts[0].json["prompt"] == "q");
  CHECK(prompts[1].json["prompt"] == "qn = 1 + 2\n");
  Json sampled = prompts[1].json;
  sampled["completions"] = {"k = n + 4\n"};
  sampled["rewards"] = {1};
  const auto whole = select("buffer", Json::object(), {sampled});
  CHECK(whole.back().json["completion"] == "n = 1 + 2\nk = n + 4\n");
  CHECK(whole.back().json["prompt"] == "q");
}

TEST_CASE("steps of wrong answers, and what comes of them") {
  const Json line = {{"prompt", "q:"},
                     {"completions", {"s1\ns2\ns3", "right\nanswer"}},
                     {"rewards", {0, 1}},
                     {"answer", "5"}};
  const auto prompts = select("step_prefixes", Json::object(), {line});
  REQUIRE(prompts.size() == 2);  // behind the last step there is nothing to ask
  CHECK(prompts[0].json["prompt"] == "q:s1\n");
  CHECK(prompts[1].json["prompt"] == "q:s1\ns2\n");
  CHECK(prompts[1].json["answer"] == "5");
  Json first = prompts[0].json, second = prompts[1].json;
  first["completions"] = {"a", "b", "c", "d"};
  first["rewards"] = {1, 1, 0, nullptr};
  second["completions"] = {"a", "b", "c", "d"};
  second["rewards"] = {0, 0, 0, 1};
  const auto values = select("step_values", Json::object(), {second, first});
  REQUIRE(values.size() == 1);
  const Json& v = values[0].json;
  CHECK(v["prompt"] == "q:");
  CHECK(v["completions"] == Json({"s1", "s2", "s3"}));
  CHECK(v["shares"][0].get<double>() == doctest::Approx(2.0 / 3));
  CHECK(v["shares"][1].get<double>() == doctest::Approx(0.25));
  CHECK(v["shares"][2].get<double>() == 0.0);
  CHECK(v["solution"] == "right\nanswer");
  // Q = 1 - (1 - share)^2: 8/9, 7/16, 0
  const auto whole = select("step_values", {{"attempts", 2}, {"form", "segments"}}, {second, first});
  const Json& w = whole.at(0).json;
  CHECK(w["completion"] == "s1\ns2\ns3");
  CHECK_FALSE(w.contains("completions"));
  CHECK(w["segments"][0]["reward"].get<double>() == 0.0);
  CHECK(w["segments"][1]["reward"].get<double>() == doctest::Approx(7.0 / 16 - 8.0 / 9));
  CHECK(w["segments"][2]["reward"].get<double>() == doctest::Approx(-7.0 / 16));
  CHECK(w["segments"][0]["text"] == "s1\n");
  // A right answer ends right.
  const auto all = select("step_prefixes", {{"all", true}, {"per_prompt", 2}}, {line});
  REQUIRE(all.size() == 3);
  Json right = all[2].json;
  CHECK(right["prompt"] == "q:right\n");
  right["completions"] = {"a", "b"};
  right["rewards"] = {1, 0};
  CHECK(select("step_values", Json::object(), {right}).at(0).json["shares"] == Json({0.5, 1.0}));
  CHECK(has(problem([&] { select("step_values", Json::object(), {line}); }), "has no column \"wrong\""));
}

TEST_CASE("rows of other losses") {
  const Json rows = {
      {"prompt", "q"}, {"a", "x"}, {"a_prompt", "be brief: q"}, {"b", "y"}, {"b_prompt", "be kind: q"}};
  const auto contrast = select("contrast", {{"columns", {"a", "b"}}}, {rows});
  CHECK(contrast.at(0).json == Json{{"prompts", {"be brief: q", "be kind: q"}}, {"completions", {"x", "y"}}});
  Json alike = rows;
  alike["b"] = "x";
  CHECK(select("contrast", {{"columns", {"a", "b"}}}, {alike}).empty());
  CHECK(has(problem([&] { select("contrast", {{"columns", {"a", "c"}}}, {rows}); }), "\"c\""));
  CHECK(has(problem([&] { select("contrast", {{"columns", {"a"}}}, {rows}); }), "give two or more"));

  const Json played = {{"prompt", "q"},
                       {"reference", "gold"},
                       {"completions", {"own", "gold"}},
                       {"finish", {"length", "end"}}};
  const auto pairs = select("self_play", Json::object(), {played});
  REQUIRE(pairs.size() == 1);
  CHECK(pairs[0].json["chosen"] == "gold");
  CHECK(pairs[0].json["rejected"] == "own");
  CHECK(is_unfinished(pairs[0], "rejected"));

  const Json told_of = {{"prompt", "q"},
                        {"completions", {"x", "y"}},
                        {"rewards", {0, 1}},
                        {"reward_texts", {{"code", {"NameError: z", nullptr}}}}};
  const auto feedback = select("feedback", Json::object(), {told_of});
  CHECK(feedback.at(0).json["feedback"] == "NameError: z");
  CHECK(feedback.at(1).json["feedback"] == "");
}
