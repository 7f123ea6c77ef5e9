// Transforms of rewards: against scripts/oracles/reward_transforms.py, and what each promises.
#include "reward/transform/transform.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "reward/entries.h"
#include "reward/reward.h"
#include "test.h"

using namespace temper;

namespace {

// The transforms of one entry.
struct Chain : Fields {
  std::vector<TransformEntry> transforms;
  void fields(FieldVisitor& v) override { v.list("transforms", transforms, "the transforms"); }
};

std::vector<std::optional<double>> transformed(const Json& transforms, TransformBatch batch) {
  Chain chain;
  read_fields(chain, {{"transforms", transforms}}, "c", "");
  for (const TransformEntry& entry : chain.transforms) entry.options->make()(batch);
  return batch.values;
}

std::vector<std::optional<double>> numbers(const Json& list) {
  std::vector<std::optional<double>> out;
  for (const Json& x : list) out.push_back(x.is_null() ? std::nullopt : std::optional(x.get<double>()));
  return out;
}

}  // namespace

TEST_CASE("transforms: values of the reference implementation") {
  for (const Json& row : read_json_file(test_file("reward/golden/transforms.json"))) {
    CAPTURE(row["transforms"].dump());
    TransformBatch batch;
    batch.values = numbers(row["values"]);
    for (const Json& list : row["reference"]) batch.reference.push_back(list.get<std::vector<double>>());
    for (const auto& [name, list] : row["others"].items()) batch.others[name] = numbers(list);
    for (const Json& columns : row["columns"]) batch.columns.push_back(&columns);
    const auto found = transformed(row["transforms"], batch), expected = numbers(row["expected"]);
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      CAPTURE(i);
      REQUIRE(found[i].has_value() == expected[i].has_value());
      if (found[i]) CHECK(*found[i] == doctest::Approx(*expected[i]).epsilon(1e-12));
    }
  }
}

TEST_CASE("shape: every right completion is worth more than every wrong one, whatever the score") {
  RandomStream stream(1, "test.shape", 0);
  TransformBatch batch;
  for (int i = 0; i < 2000; ++i) {
    const double size = std::pow(10.0, 5 * stream.uniform() - 2);  // 0.01 to 1000
    batch.values.push_back(stream.uniform() < 0.5 ? size : -size);
    batch.others["v"].push_back(i % 2);
  }
  const auto found = transformed({{{"kind", "shape"}, {"verifier", "v"}}}, batch);
  double worst_right = 1, best_wrong = -1;
  for (size_t i = 0; i < found.size(); ++i) {
    if (i % 2 == 1) worst_right = std::min(worst_right, *found[i]);
    if (i % 2 == 0) best_wrong = std::max(best_wrong, *found[i]);
    CHECK(std::abs(*found[i]) <= 1);
  }
  CHECK(worst_right > 0);
  CHECK(best_wrong < 0);
  // Among the right, and among the wrong, the score decides.
  for (size_t i = 2; i < 200; ++i)
    CHECK(
        (*batch.values[i] > *batch.values[i - 2] ? *found[i] >= *found[i - 2] : *found[i] <= *found[i - 2]));
}

TEST_CASE("log_sigmoid: finite for any number, and a sum of them is an AND") {
  const auto of = [](double r) {
    TransformBatch batch;
    batch.values = {r};
    return *transformed({{{"kind", "log_sigmoid"}, {"reference", "constant"}}}, batch)[0];
  };
  CHECK(of(0) == doctest::Approx(std::log(0.5)));
  CHECK(of(1e6) <= 0);
  CHECK(of(1e6) == doctest::Approx(0.0));
  CHECK(of(-1e6) == doctest::Approx(-1e6));
  // What is good enough in both is worth more than what excels in one and fails in the other.
  CHECK(of(1) + of(1) > of(100) + of(-2));
}

TEST_CASE("calibrate: a share, the same under any increasing change of the scores") {
  RandomStream stream(2, "test.calibrate", 0);
  TransformBatch batch, cubed;
  for (int i = 0; i < 50; ++i) {
    std::vector<double> z(8);
    for (double& x : z) x = stream.normal();
    batch.values.push_back(i % 5 == 0 ? z[3] : stream.normal());
    batch.reference.push_back(z);
  }
  cubed = batch;
  for (auto& r : cubed.values) r = *r * *r * *r;
  for (auto& z : cubed.reference)
    for (double& x : z) x = x * x * x;
  const Json calibrate = {{{"kind", "calibrate"}}};
  const auto found = transformed(calibrate, batch);
  CHECK((found == transformed(calibrate, cubed)));
  for (const auto& share : found) {
    CHECK(*share >= 0);
    CHECK(*share <= 1);
    CHECK(*share * 8 == std::round(*share * 8));
  }
  // For the worst of several, low shares are told apart, for the best, high ones; both rise.
  const auto spread = [&](double t, double low, double high) {
    TransformBatch shares;
    shares.values = {low, high};
    const auto out = transformed({{{"kind", "exp"}, {"t", t}}}, shares);
    return *out[1] - *out[0];
  };
  CHECK(spread(10, 0.75, 1) > spread(10, 0, 0.25));
  CHECK(spread(10, 0, 0.25) > 0);
  CHECK(spread(-10, 0, 0.25) > spread(-10, 0.75, 1));
  CHECK(spread(-10, 0.75, 1) > 0);
}

TEST_CASE("transforms of a batch: nulls, equal values and single ones") {
  const auto of = [](const std::string& kind, const std::vector<std::optional<double>>& values,
                     Json more = {}) {
    Json options = {{"kind", kind}};
    options.update(more.is_null() ? Json::object() : more);
    TransformBatch batch;
    batch.values = values;
    return transformed(Json::array({options}), batch);
  };
  using Values = std::vector<std::optional<double>>;
  for (const char* how : {"population", "sample"}) {
    CHECK((of("z_score", {3.0, 3.0, std::nullopt}, {{"std", how}}) == Values{0.0, 0.0, std::nullopt}));
    CHECK((of("z_score", {3.0, 3.0}, {{"std", how}, {"eps", 0}}) == Values{0.0, 0.0}));
    CHECK((of("z_score", {7.0}, {{"std", how}}) == Values{0.0}));
    CHECK((of("z_score", {std::nullopt}, {{"std", how}}) == Values{std::nullopt}));
    CHECK(of("z_score", {}, {{"std", how}}).empty());
  }
  CHECK((of("quantile", {3.0, 3.0, std::nullopt}) == Values{0.5, 0.5, std::nullopt}));
  CHECK((of("quantile", {1.0, 9.0}) == Values{0.25, 0.75}));
  CHECK((of("quantile", {std::nullopt}) == Values{std::nullopt}));
  const auto z = of("z_score", {1.0, 2.0, 3.0, 6.0}, {{"eps", 0}});
  double sum = 0, squares = 0;
  for (const auto& x : z) sum += *x, squares += *x * *x;
  CHECK(sum == doctest::Approx(0.0));
  CHECK(squares == doctest::Approx(4.0));
}

TEST_CASE("transforms in a set: what counts is what comes out of them, what was said stays") {
  const Json columns = {{"answer", "5"}};
  const std::vector<RewardItem> items = {item_of("so 5", &columns), item_of("5", &columns),
                                         item_of("so", &columns), item_of("no", &columns)};
  // "so" earns 4 of the second reward, right answers or not.
  RewardSet set(entries(R"([{"kind": "math", "weight": 0},
    {"kind": "contains", "name": "so", "texts": ["so"], "correct": 4, "weight": 2,
     "transforms": [{"kind": "shape", "verifier": "math"}]}])"));
  const auto scored = set.score(items);
  const double high = 1 / (1 + std::exp(-2.0));
  CHECK((scored[0].parts == std::vector<Score>{1.0, 4.0}));
  CHECK(*scored[0].counted[0] == 1.0);
  CHECK(*scored[0].counted[1] == doctest::Approx(high));
  CHECK(*scored[0].total == doctest::Approx(2 * high));
  CHECK(*scored[1].total == doctest::Approx(2 * 0.5));
  CHECK(*scored[2].total == doctest::Approx(2 * (high - 1)));
  CHECK(*scored[3].total == doctest::Approx(2 * -0.5));
  CHECK(set.transforms(1));
  CHECK_FALSE(set.transforms(0));
  CHECK(set.reference_samples() == 0);

  // In parts and together, they are the same; of a batch too, since it is what is settled together.
  RewardSet whole(entries(R"([{"kind": "contains", "texts": ["so"], "transforms": [{"kind": "z_score"}]}])"));
  const auto at_once = whole.score(items);
  std::vector<ScoredItem> apart;
  for (const RewardItem& item : items) {
    const ScoredItem part = whole.parts({item}, {}, ScoredBy::kEachAlone).front();
    CHECK(part.counted.empty());
    apart.push_back(whole.join(part, part));
  }
  whole.settle(items, apart);
  for (size_t i = 0; i < items.size(); ++i) CHECK(apart[i].total == at_once[i].total);
  CHECK(*at_once[0].total == doctest::Approx(1.0));  // (1 - 1/2) / (1/2)
}

TEST_CASE("transforms in a set: each item with the reference answers of its own prompt") {
  RewardSet set(entries(R"([{"kind": "contains", "texts": ["a"]},
    {"kind": "contains", "name": "b", "texts": ["b"], "transforms": [
      {"kind": "scale", "factor": 3}, {"kind": "calibrate", "samples": 2}]}])"));
  CHECK(set.reference_samples() == 2);
  CHECK(set.has(ScoredBy::kCompared));
  const std::vector<RewardItem> items = {item_of("ab", nullptr), item_of("a", nullptr),
                                         item_of("b", nullptr)};
  auto asked = set.parts(items, {}, ScoredBy::kCompared);
  CHECK_FALSE(asked[0].parts[0].value.has_value());
  CHECK(asked[0].parts[1].value == 1.0);
  auto scored = set.parts(items);
  const ReferenceScores one = {{}, {0.0, 1.0}}, two = {{}, {0.5, 0.5, 0.5}}, none = {{}, {}};
  set.settle(items, scored, {&one, &two, &none});
  CHECK(scored[0].total == 1.0 + 1.0);  // 3 beats 0 and 3
  CHECK(scored[1].total == 1.0 + 0.0);  // 0 beats no 1.5
  CHECK_FALSE(scored[2].total.has_value());
  CHECK_THROWS_WITH_AS(set.score(items), doctest::Contains("answers of the initial model"), UserError);
}

TEST_CASE("transforms: faults are told in one line") {
  const auto one = [](const std::string& transform) {
    return problems(R"([{"kind": "exact", "transforms": [)" + transform + "]}]");
  };
  const auto says = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  says(one(R"({"kind": "zscore"})"), "z_score");
  says(one(R"({"kind": "clip"})"), "expected \"low\", \"high\" or both");
  says(one(R"({"kind": "clip", "low": 1, "high": 0})"), "low: is above high");
  says(one(R"({"kind": "exp", "t": 0})"), "makes all rewards equal");
  says(one(R"({"kind": "shape"})"), "transforms.0.verifier: missing");
  says(one(R"({"kind": "uncertainty"})"), "transforms.0.second: missing");
  says(one(R"({"kind": "z_score"}, {"kind": "calibrate"})"), "transforms.1: calibrate compares with answers");
  CHECK(one(R"({"kind": "scale"}, {"kind": "exp", "t": 1}, {"kind": "calibrate"}, {"kind": "exp"})") == "");
  CHECK(one(R"({"kind": "z_score"}, {"kind": "calibrate", "reference": "column"})") == "");
  const auto set = [](const std::string& text) { RewardSet made(entries(text)); };
  for (const char* name : {"missing", "exact"}) {  // another reward, and itself
    CHECK_THROWS_WITH_AS(set(R"([{"kind": "exact", "transforms": [{"kind": "shape", "verifier": ")" +
                             std::string(name) + R"("}]}, {"kind": "math"}])"),
                         doctest::Contains("reads another reward"), UserError);
  }
  const Json good = {{"answer", "5"}, {"reference_scores", {0.5}}},
             bad = {{"answer", "5"}, {"reference_scores", "x"}};
  const Json lacks = {{"answer", "5"}};
  RewardSet column(
      entries(R"([{"kind": "exact", "transforms": [{"kind": "calibrate", "reference": "column"}]}])"));
  CHECK(column.score({item_of("5", &good)})[0].total == 1.0);
  CHECK_THROWS_WITH_AS(column.score({item_of("5", &bad)}), doctest::Contains("an array of numbers"),
                       UserError);
  CHECK_THROWS_WITH_AS(column.score({item_of("5", &lacks)}),
                       doctest::Contains("no column \"reference_scores\""), UserError);
  RewardSet wild(entries(R"([{"kind": "exact", "correct": 100, "transforms": [{"kind": "exp", "t": 10}]}])"));
  CHECK_THROWS_WITH_AS(wild.score({item_of("5", &good)}), doctest::Contains("clip the number"), UserError);
}

TEST_CASE("transforms: every kind says what it does and where it comes from") {
  for (const auto& entry : transform_registry().entries()) {
    CAPTURE(entry.name);
    CHECK_FALSE(entry.summary.empty());
    CHECK_FALSE(entry.source.empty());
    if (entry.name != "quantile") CHECK(describe_fields(*entry.make()).size() > 0);
  }
}
