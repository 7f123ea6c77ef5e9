#include "data/order/order.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/random.h"
#include "data/order/mastering_rate.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

// Records with these columns, in files "a.jsonl", "b.jsonl" ... by their column "file", and an order of them.
struct Data {
  explicit Data(const std::vector<Json>& columns) {
    for (const Json& json : columns) {
      const std::string file = json.value("file", "a.jsonl");
      records.push_back({json, file, static_cast<int64_t>(records.size()) + 1});
      if (std::find(data.files.begin(), data.files.end(), file) == data.files.end())
        data.files.push_back(file);
    }
    data.seed = 7;
    data.steps = 10;
    data.per_step = 4;
    data.count = static_cast<int64_t>(records.size());
    data.record = [this](int64_t i) { return records[static_cast<size_t>(i)]; };
  }
  std::unique_ptr<Order> order(const std::string& kind, const Json& fields = Json::object()) const {
    const auto options = order_registry().find(kind)->make();
    read_fields(*options, fields, "config", "");
    return options->make(data);
  }
  std::string refused(const std::string& kind, const Json& fields = Json::object()) const {
    return problem([&] { order(kind, fields); });
  }
  std::vector<Record> records;
  OrderData data;
};

// n records whose `column` is f(i).
template <class F>
std::vector<Json> with(int64_t n, const char* column, F f) {
  std::vector<Json> out;
  for (int64_t i = 0; i < n; ++i) out.emplace_back(Json::object())[column] = f(i);
  return out;
}
std::vector<Json> plain(int64_t n) {
  return with(n, "answer", [](int64_t i) { return i; });
}

std::vector<int64_t> draws(const Order& order, int64_t step, int64_t from, int64_t count) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(order.at(step, from + i));
  return out;
}
std::set<int64_t> set_of(const std::vector<int64_t>& v) {
  return {v.begin(), v.end()};
}
double metric(const Order& order, const std::string& name) {
  for (const auto& [known, value] : order.metrics())
    if (known == name) return value;
  return kNull;
}

}  // namespace

TEST_CASE("shuffle and sequential are epochs, a function of seed and position") {
  const Data data(plain(10));
  const auto a = data.order("shuffle"), b = data.order("shuffle"), in_place = data.order("sequential");
  Data reseeded(plain(10));
  reseeded.data.seed = 8;
  const auto other = reseeded.order("shuffle");
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    // As runs of all versions draw them.
    const auto permutation = RandomStream(7, "shuffle", static_cast<uint64_t>(epoch)).permutation(10);
    CHECK(draws(*a, 0, 10 * epoch, 10) == permutation);
  }
  bool same = true, differs = false;
  for (int64_t i = 29; i >= 0; --i) {  // any order of asking
    same &= b->at(0, i) == a->at(0, i);
    differs |= other->at(0, i) != a->at(0, i);
    CHECK(in_place->at(0, i) == i % 10);
  }
  CHECK(same);
  CHECK(differs);
}

TEST_CASE("subset: each epoch has a share of the records, without replacement until all have come") {
  const Data data(plain(10));
  const auto without = data.order("subset", {{"share", 0.3}});
  for (int64_t permutation = 0; permutation < 3; ++permutation) {
    // 4 epochs of 3: the last has the one that is left and the first two again.
    const auto all = draws(*without, 0, 12 * permutation, 12);
    CHECK(set_of({all.begin(), all.begin() + 10}).size() == 10);
    CHECK(all[10] == all[0]);
    CHECK(all[11] == all[1]);
  }
  CHECK(draws(*without, 0, 0, 10) != draws(*without, 0, 12, 10));
  const auto fresh = data.order("subset", {{"share", 0.3}, {"replacement", true}});
  std::map<int64_t, int64_t> counts;
  for (int64_t epoch = 0; epoch < 400; ++epoch) {
    const auto one = draws(*fresh, 0, 3 * epoch, 3);
    CHECK(set_of(one).size() == 3);
    for (const int64_t record : one) ++counts[record];
  }
  for (const auto& [record, count] : counts) CHECK(std::abs(count - 120) < 50);  // 400 * 0.3, 9 sigma is 82
  CHECK(draws(*data.order("subset", {{"share", 1}}), 0, 0, 30) == draws(*data.order("shuffle"), 0, 0, 30));
}

TEST_CASE("pacing: from easy to hard, in rounds, or from a window that grows") {
  Data data(
      with(10, "difficulty", [](int64_t i) { return (7 * i) % 10; }));  // record i: difficulty 7 i mod 10
  data.data.steps = 20;
  const auto difficulty = [&](int64_t record) { return (7 * record) % 10; };
  const auto difficulties = [&](const Order& order, int64_t from, int64_t count) {
    std::vector<int64_t> out;
    for (const int64_t record : draws(order, 0, from, count)) out.push_back(difficulty(record));
    return out;
  };
  const auto sorted = data.order("pacing", {{"form", "sorted"}, {"until", 1}});
  CHECK(difficulties(*sorted, 0, 12) == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1});
  const auto rounds = data.order("pacing", {{"form", "interleaved"}, {"rounds", 3}, {"until", 1}});
  CHECK(difficulties(*rounds, 0, 10) == std::vector<int64_t>{0, 3, 6, 9, 1, 4, 7, 2, 5, 8});
  const auto readable = data.order("pacing", {{"form", "sorted"}, {"until", 1}, {"largest_first", true}});
  CHECK(difficulties(*readable, 0, 3) == std::vector<int64_t>{9, 8, 7});

  // The hardest of 300 draws of a step is the window's last; paced are steps 0 to 9.
  const auto window = [&](const std::string& pace, int64_t step) {
    const auto order = pace == "step"
                           ? data.order("pacing", {{"pace", "step"}, {"start", 0.2}, {"stages", 2}})
                           : data.order("pacing", {{"pace", pace}, {"start", 0.2}});
    int64_t hardest = 0;
    for (const int64_t record : draws(*order, step, 1000 * step, 300))
      hardest = std::max(hardest, difficulty(record));
    return hardest + 1;
  };
  for (const int64_t step : {0, 3, 5, 8}) {
    CAPTURE(step);
    const double x = static_cast<double>(step) / 10;
    CHECK(window("linear", step) == std::lround(10 * (0.2 + 0.8 * x)));
    CHECK(window("root", step) == std::lround(10 * std::sqrt(0.04 + 0.96 * x)));
    CHECK(window("step", step) == std::lround(10 * (x < 0.5 ? 0.2 : 0.6)));
  }
  const auto until = data.order("pacing", {{"start", 0.1}});
  CHECK(draws(*until, 9, 0, 40) != draws(*data.order("shuffle"), 9, 0, 40));
  CHECK(draws(*until, 10, 40, 40) == draws(*data.order("shuffle"), 10, 40, 40));
  CHECK(draws(*data.order("pacing", {{"until", 0}}), 0, 0, 40) == draws(*data.order("shuffle"), 0, 0, 40));

  CHECK(has(data.refused("pacing", {{"column", "hardness"}}),
            "a.jsonl:1: has no column \"hardness\", which data.order needs"));
}

TEST_CASE("levels: only records within the bounds") {
  const Data data(with(12, "level", [](int64_t i) { return i % 4; }));
  const auto easy = data.order("levels", {{"at_most", 1}});
  const auto two_epochs = draws(*easy, 0, 0, 12);
  CHECK(set_of({two_epochs.begin(), two_epochs.begin() + 6}) == std::set<int64_t>{0, 1, 4, 5, 8, 9});
  CHECK(set_of(draws(*data.order("levels", {{"at_least", 2}, {"at_most", 2}}), 0, 0, 3)) ==
        std::set<int64_t>{2, 6, 10});
  CHECK(data.refused("levels", {{"at_least", 4}}) ==
        "data.order: no record has a \"level\" within at_least and at_most; they go from 0 to 3");
  CHECK(has(data.refused("levels", {{"at_least", 2}, {"at_most", 1}}), "at_least 2 is above at_most 1"));
}

TEST_CASE("pass_rate: prompts within the window, and a share of the others") {
  const Data data(with(10, "rate", [](int64_t i) { return i == 9 ? Json() : Json(0.1 * i); }));
  const Json fields = {{"column", "rate"}, {"low", 0.25}, {"high", 0.55}, {"explore", 0}, {"keep", 0.25}};
  const auto order = data.order("pass_rate", fields);
  CHECK(set_of(draws(*order, 0, 0, 200)) == std::set<int64_t>{3, 4, 5, 9});  // 9 has no rate
  // 0: 0.25 * 0 + 0.75 * 2/3 = 0.5; 5: 0.25 * 0.5 + 0.75 * 1 = 0.875; 9: its first; 4: nothing to tell.
  order->observe(0, 4, {{0, {1, 0, 1}}, {5, {1, kNull}}, {9, {0, 0}}, {4, {kNull}}});
  CHECK(set_of(draws(*order, 1, 200, 200)) == std::set<int64_t>{0, 3, 4});
  CHECK(metric(*order, "order/within") == 3);
  CHECK(metric(*order, "order/outside") == 7);
  const auto again = data.order("pass_rate", fields);
  again->restore(order->state());
  CHECK(again->state() == order->state());
  CHECK(draws(*again, 1, 0, 200) == draws(*order, 1, 0, 200));
  CHECK(has(problem([&] {
              order->observe(1, 8, {{0, {1, 1}}, {3, {1, 1}}, {4, {1, 1}}});
            }),
            "no prompt has a pass rate from 0.25 to 0.55 after step 2; widen the window, or give"));

  Json exploring = fields;
  exploring["explore"] = 0.3;
  const auto curious = data.order("pass_rate", exploring);
  double outside = 0;
  const auto many = draws(*curious, 0, 0, 4000);
  for (const int64_t record : many) outside += record < 3 || (record > 5 && record < 9) ? 1 : 0;
  CHECK(std::abs(outside / 4000 - 0.3) < 0.04);
  CHECK(set_of(many).size() == 10);
  curious->observe(0, 4,
                   {{3, {1, 1}}, {4, {1, 1}}, {5, {1, 1}}, {9, {0}}});  // explores all, until some return
  CHECK(set_of(draws(*curious, 1, 0, 4000)).size() == 10);

  CHECK(data.refused("pass_rate", {{"column", "rate"}, {"low", 2}, {"high", 3}}).empty());  // 9 is within
  CHECK(has(data.refused("pass_rate", {{"low", 0.9}, {"high", 0.1}}), "low 0.9 is above high 0.1"));
  CHECK(data.refused("pass_rate", {{"column", "share"}}) ==
        "data.order.column: no record has a column \"share\"");
  const Data known(with(4, "rate", [](int64_t i) { return 0.1 * i; }));
  CHECK(known.refused("pass_rate", {{"column", "rate"}, {"low", 2}, {"high", 3}}) ==
        "data.order: no prompt has a pass rate from 2 to 3; widen the window");
}

TEST_CASE("rcs: after its steps on all prompts, those that were not solved perfectly, and those not seen") {
  const Data data(plain(8));
  const Json fields = {{"stage_steps", 2}, {"full", 1.5}};
  const auto order = data.order("rcs", fields);
  CHECK(draws(*order, 0, 0, 16) == draws(*data.order("shuffle"), 0, 0, 16));
  order->observe(0, 4, {{0, {1.5, 1.5}}, {1, {1.5, 1.4}}, {2, {1.5, kNull}}, {3, {1.5, 1.5}}});
  CHECK(metric(*order, "order/stage") == 1);
  CHECK(draws(*order, 1, 4, 4) == draws(*data.order("shuffle"), 1, 4, 4));
  const auto torn = data.order("rcs", fields);
  torn->restore(order->state());
  // 3 is not solved the last time, 4 is; 5, 6, 7 were not seen.
  const std::vector<Observation> second = {{3, {1.5, 0}}, {4, {1.5, 1.5, 1.5}}};
  order->observe(1, 13, second);
  torn->observe(1, 13, second);
  CHECK(metric(*order, "order/stage") == 2);
  CHECK(metric(*order, "order/solved") == 2);
  const auto epoch = draws(*order, 2, 13, 6);
  CHECK(set_of(epoch) == std::set<int64_t>{1, 2, 3, 5, 6, 7});
  CHECK(draws(*torn, 2, 13, 40) == draws(*order, 2, 13, 40));
  const auto later = data.order("rcs", fields);
  later->restore(order->state());
  order->observe(2, 17, {{1, {1.5, 1.5}}});  // the second stage stays as it is
  CHECK(draws(*order, 3, 17, 40) == draws(*later, 3, 17, 40));

  const Data one(plain(1));
  const auto solved = one.order("rcs", {{"stage_steps", 1}});
  CHECK(has(problem([&] {
              solved->observe(0, 4, {{0, {1, 1}}});
            }),
            "after 1 steps all 1 prompts were solved perfectly, none is left"));
}

TEST_CASE("mastering_rate: attention and shares are those of the authors' code") {
  const Json cases = read_json_file(test_file("data/golden/mastering_rate.json"));
  REQUIRE(cases.size() == 8);
  for (const Json& c : cases) {
    TaskGraph graph;
    graph.tasks = c["tasks"];
    for (const Json& edge : c["edges"]) graph.edges.emplace_back(edge[0], edge[1]);
    CAPTURE(graph.tasks);
    MasteringRateSettings settings;
    settings.form = c["form"];
    settings.window = c["window"];
    settings.power = c["power"];
    settings.potential = c["potential"];
    settings.to_predecessors = c["to_predecessors"];
    settings.to_successors = c["to_successors"];
    settings.explore = c["explore"];
    settings.max = c["max"];
    MasteringRate rates(graph, settings);
    for (size_t step = 0; step < c["steps"].size(); ++step) {
      CAPTURE(step);
      const Json& expected = c["steps"][step];
      rates.observe(expected["seen"].get<std::vector<std::pair<int64_t, double>>>());
      for (int64_t task = 0; task < graph.tasks; ++task) {
        CAPTURE(task);
        CHECK(rates.attention()[task] ==
              doctest::Approx(expected["attention"][task].get<double>()).epsilon(1e-9));
        CHECK(rates.shares()[task] == doctest::Approx(expected["shares"][task].get<double>()).epsilon(1e-9));
      }
      MasteringRate again(graph, settings);  // exactly, from what it kept
      again.restore(rates.state());
      CHECK(again.shares() == rates.shares());
      rates = again;
    }
  }
}

TEST_CASE("mastering_rate: equal performances are no progress, whatever rounding says") {
  MasteringRate rates({2, {}}, {.form = "learning_progress", .window = 5});
  for (int step = 0; step < 5; ++step) rates.observe({{0, 0.1}, {1, 0.7}});
  CHECK(rates.attention() == std::vector<double>{0, 0});
  CHECK(rates.shares() == std::vector<double>{0.5, 0.5});
}

TEST_CASE("mastering_rate: tasks are drawn by their shares, any record within a task") {
  Data data(with(30, "task", [](int64_t i) { return i < 20 ? "add" : "multiply"; }));
  data.data.observes = Observes::kRewards;
  const Json fields = parse_json(R"({"edges": [["add", "multiply"]], "explore": 0.1})", "fields");
  const auto order = data.order("mastering_rate", fields);
  // At first: add has attention 1/2 and gives 1/20 of it on, multiply has none, as nothing before it is
  // mastered.
  const auto at_first = draws(*order, 0, 0, 4000);
  const double adds = std::count_if(at_first.begin(), at_first.end(), [](int64_t r) { return r < 20; });
  CHECK(set_of(at_first).size() == 30);
  CHECK(std::abs(adds / 4000 - metric(*order, "order/share/add")) < 0.03);
  CHECK(metric(*order, "order/share/add") > 0.8);
  for (int64_t step = 0; step < 12; ++step)
    order->observe(step, 4 * (step + 1), {{3, {1, 1, kNull}}, {7, {1, 1}}, {25, {0, 0}}});
  CHECK(metric(*order, "order/mastered/add") == 1);
  CHECK(metric(*order, "order/mastered/multiply") == 0);
  CHECK(metric(*order, "order/share/multiply") > 0.7);
  const auto again = data.order("mastering_rate", fields);
  again->restore(order->state());
  CHECK(draws(*again, 12, 50, 300) == draws(*order, 12, 50, 300));

  data.data.observes = Observes::kExamples;
  const auto right = data.order("mastering_rate"),
             probable = data.order("mastering_rate", {{"measure", "probability"}});
  for (Order* one : {right.get(), probable.get()})
    one->observe(
        0, 4, {{.record = 0, .loss = std::log(4), .right = true}, {.record = 1, .loss = 0, .right = false}});
  CHECK(metric(*right, "order/mastered/add") == 0.5);
  CHECK(metric(*probable, "order/mastered/add") == doctest::Approx(0.625));

  const auto edges = [&](const std::string& text) {
    return data.refused("mastering_rate", parse_json("{\"edges\": " + text + "}", "fields"));
  };
  const std::string round = edges(R"([["add", "b"], ["b", "c"], ["c", "b"]])");
  CHECK(
      (has(round, "edges: go in a circle: b -> c -> b") || has(round, "edges: go in a circle: c -> b -> c")));
  CHECK(has(edges(R"([["add", "add"]])"), "edges: go in a circle: add -> add"));
  CHECK(edges(R"([["add", "divide"]])") ==
        "data.order.edges: task \"divide\" has no record; column \"task\" has add, multiply");
  CHECK(has(edges(R"([["add"]])"), "edges: expected pairs of tasks"));
  CHECK(has(data.refused("mastering_rate", {{"column", "kind"}}), "a.jsonl:1: has no column \"kind\""));
  CHECK(has(data.refused("mastering_rate", {{"min", 1}}), "min 1 must be below max 1"));
}

namespace {

// 20 new records, then 12 old ones of two labels.
Data rehearsal() {
  std::vector<Json> out;
  for (int i = 0; i < 32; ++i) {
    Json& json = out.emplace_back(Json::object());
    json["file"] = i < 20 ? "new.jsonl" : "old.jsonl";
    if (i >= 20) json["kind"] = i < 24 ? "x" : "y";
  }
  return Data(out);
}

}  // namespace

TEST_CASE(
    "mix_cd: a share of each batch is rehearsed, most where the base model was right and this one is not") {
  const Data data = rehearsal();
  const Json fields = {{"files", {"old.jsonl"}}, {"share", 0.25}, {"column", "kind"}, {"bins", 2},
                       {"explore", 0.2},         {"memory", 0.5}};
  const auto order = data.order("mix_cd", fields);
  std::vector<int64_t> wanted(12);
  for (int64_t i = 0; i < 12; ++i) wanted[i] = 20 + i;
  CHECK(order->wants_base() == wanted);
  // Bins by label and loss: {20, 22}, {21, 23}; {24 .. 27}, {28 .. 31}. 23 and 31 were not right.
  std::vector<Observation> base;
  for (int64_t i = 0; i < 12; ++i)
    base.push_back(
        {.record = 20 + i, .loss = static_cast<double>(i < 4 ? i % 2 : i), .right = i != 3 && i != 11});
  order->observe_base(base);

  std::map<int64_t, int64_t> at_first;
  std::vector<int64_t> fresh;
  for (int64_t position = 0; position < 4000; ++position) {
    const int64_t record = order->at(position / 4, position);
    CHECK((record >= 20) == (position % 4 == 3));
    if (record >= 20)
      ++at_first[record];
    else if (fresh.size() < 20)
      fresh.push_back(record);
  }
  CHECK(set_of(fresh).size() == 20);  // an epoch of the new ones
  CHECK(at_first.size() == 12);
  for (const auto& [record, count] : at_first) CHECK(std::abs(count - 1000.0 / 12) < 50);

  // Two steps: n = {1.5, 1, 0.5 + 1, 0}, d = {0.5 + 1, 0, 1, 0}; alpha = 1, 0, 2/3, 0.
  order->observe(0, 4, {{.record = 20, .right = false}, {.record = 26, .right = true}, {.record = 3}});
  order->observe(
      1, 8, {{.record = 22, .right = false}, {.record = 23, .right = false}, {.record = 25, .right = false}});
  const double sizes[] = {2, 2, 4, 4}, n[] = {1.5, 1, 1.5, 0}, d[] = {1.5, 0, 1, 0};
  double expected[4], sum = 0;
  for (int k = 0; k < 4; ++k) sum += n[k] > 0 ? d[k] / n[k] : 0;
  for (int k = 0; k < 4; ++k) expected[k] = 0.8 * (n[k] > 0 ? d[k] / n[k] : 0) / sum + 0.2 * sizes[k] / 12;
  CHECK(metric(*order, "order/damaged") == doctest::Approx(2.5 / 4));
  CHECK(metric(*order, "order/largest_share") == doctest::Approx(expected[0]));
  double counts[4] = {};
  for (int64_t batch = 0; batch < 8000; ++batch) {
    const int64_t record = order->at(2, 4 * batch + 3);
    ++counts[record >= 28 ? 3 : record >= 24 ? 2 : record % 2];
  }
  for (int k = 0; k < 4; ++k) CHECK(std::abs(counts[k] / 8000 - expected[k]) < 0.025);

  const auto again = data.order("mix_cd", fields);
  again->restore(parse_json(dump_line(order->state()), "state"));
  CHECK(again->state() == order->state());
  CHECK(draws(*again, 2, 0, 400) == draws(*order, 2, 0, 400));

  CHECK(data.refused("mix_cd", {{"files", {"x.jsonl"}}}) ==
        "data.order.files: x.jsonl is not one of data.train");
  CHECK(has(data.refused("mix_cd", {{"files", {"old.jsonl", "new.jsonl"}}, {"share", 0.25}}),
            "there is nothing new to learn"));
  CHECK(has(data.refused("mix_cd", {{"files", {"old.jsonl"}}, {"share", 0.1}}),
            "data.order.share: 0.1 of the 4 draws of a step is none of them"));
  CHECK(has(data.refused("mix_cd", {{"files", {"old.jsonl"}}, {"share", 1}}), "is all of them"));
  CHECK(has(data.refused("mix_cd"), "files: missing"));
}

TEST_CASE("power_law: one file after the other, with replays by a power of their age") {
  Data data(with(24, "file", [](int64_t i) { return i < 8 ? "a" : i < 16 ? "b" : "c"; }));
  data.data.steps = 30;
  const auto order = data.order("power_law", {{"share", 0.25}, {"exponent", 2}});
  const auto task = [&](int64_t record) { return record / 8; };
  for (const int64_t record : draws(*order, 0, 0, 40)) CHECK(task(record) == 0);  // nothing to replay yet
  CHECK(set_of(draws(*order, 0, 0, 8)).size() == 8);
  for (const int64_t step : {10, 19}) {
    for (int64_t i = 0; i < 4; ++i) CHECK(task(order->at(step, 4 * step + i)) == (i == 3 ? 0 : 1));
  }
  // In step 24: task 0 was trained last in step 9, task 1 in step 19.
  double counts[2] = {};
  for (int64_t batch = 0; batch < 8000; ++batch) {
    CHECK(task(order->at(24, 4 * (24 + batch))) == 2);
    ++counts[task(order->at(24, 4 * (24 + batch) + 3))];
  }
  const double older = std::pow(15.0, -2), newer = std::pow(5.0, -2);
  CHECK(std::abs(counts[0] / 8000 - older / (older + newer)) < 0.015);

  CHECK(has(Data(plain(4)).refused("power_law"), "there are 1 for 10 steps"));
  data.data.per_step = 2;
  CHECK(has(data.refused("power_law", {{"share", 0.2}}), "is none of them"));
  data.data.files.push_back("d");
  data.data.per_step = 4;
  CHECK(has(data.refused("power_law", {{"share", 0.25}}), "no record of d is left to learn from"));
}

TEST_CASE("orders of what is no record") {
  Data data(plain(1));
  data.data.record = nullptr;
  data.data.count = 5;
  for (const auto& entry : order_registry().entries()) {
    if (entry.make()->reads_records()) continue;
    CAPTURE(entry.name);
    CHECK(set_of(draws(*data.order(entry.name), 0, 0, 200)).size() == 5);
  }
}
