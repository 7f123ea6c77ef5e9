#include "run/metrics.h"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "run/not_finite.h"
#include "test.h"

using namespace temper;

namespace {

struct Folder {
  Folder() : path((fs::temp_directory_path() / ("temper_metrics_" + std::to_string(::getpid()))).string()) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

MetricsRow row(int64_t step) {
  const auto x = static_cast<double>(step);
  return {.step = step,
          .values = {{"loss", 1 / x}, {"tokens", 5120 * x}, {"reward/math", 0.1 * x}},
          .time = {{"seconds", 1.5}, {"tokens_per_s", 3000.25}}};
}

SampleRow sample(const std::string& prompt) {
  return {.prompt = prompt,
          .completion = "é</script>\n\xff",
          .rewards = {{"math", 1.0}, {"format", std::nullopt}},
          .transformed = {{"math", 1.0 / 3}},
          .reward_texts = {{"math", "\"5\"\n is 5"}},
          .reward_outcomes = {{"format", "passed"}},
          .reward = 1.0,
          .advantage = -0.5,
          .finish = "end",
          .tokens = 12,
          .logp_mean = -0.25,
          .logp_min = -3.5};
}

void append(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

std::string message_of(const std::string& path) {
  try {
    read_metrics(path);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a metrics line has a fixed form") {
  MetricsRow line{.step = 3,
                  .values = {{"loss", 0.1}, {"tokens", 4096}, {"kl", kNan}, {"ratio", -kInf}, {"z", -0.0}},
                  .time = {{"seconds", 2.5}}};
  CHECK(dump_line(to_json(line)) ==
        R"({"step":3,"split":"train","loss":0.1,"tokens":4096,"kl":null,"ratio":null,"z":-0.0,)"
        R"("nonfinite":["kl","ratio"],"time":{"seconds":2.5}})");
  CHECK(line.find("tokens").value() == 4096);
  CHECK(line.find("seconds").value() == 2.5);
  CHECK_FALSE(line.find("nothing"));
  for (const char* name : {"loss", "step", "split", "time", "nonfinite"}) {
    MetricsRow twice{.step = 1, .values = {{"loss", 1}, {name, 2}}};
    CHECK_THROWS_AS(to_json(twice), std::logic_error);
  }
}

TEST_CASE("every finite double reads back as itself") {
  Folder folder;
  RandomStream random(1, "doubles");
  MetricsRow line{.step = 1};
  for (int i = 0; i < 2000; ++i) {
    const uint64_t bits = random.next();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    line.values.emplace_back("v" + std::to_string(i), value);
  }
  for (double value :
       {0.0, -0.0, 5e-324, 1.7976931348623157e308, 9007199254740991.0, 9007199254740993.0, 1e22, 0.1}) {
    line.values.emplace_back("w" + std::to_string(line.values.size()), value);
  }
  MetricsLog(folder.path).write(line);
  const auto rows = read_metrics(folder.file("metrics.jsonl"));
  REQUIRE(rows.size() == 1);
  REQUIRE(rows[0].values.size() == line.values.size());
  for (size_t i = 0; i < line.values.size(); ++i) {
    const double want = line.values[i].second, got = rows[0].values[i].second;
    CHECK(rows[0].values[i].first == line.values[i].first);
    if (std::isfinite(want)) {
      CHECK(std::memcmp(&want, &got, sizeof want) == 0);
    } else {
      CHECK(std::isnan(got));
    }
  }
}

TEST_CASE("cut back to a checkpoint, no step stands twice and the bytes are the undisturbed run's") {
  Folder folder;
  const auto run = [&](MetricsLog& log, int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) {
      log.write(row(step));
      log.write_samples(step, "train", {sample("p" + std::to_string(step)), sample("q"), sample("r")});
    }
  };
  const char* names[] = {"metrics.jsonl", "samples.jsonl"};
  std::string whole[2];
  {
    MetricsLog log(folder.path, {}, 2);
    run(log, 1, 6);
    for (int i = 0; i < 2; ++i) whole[i] = read_file(folder.file(names[i]));
  }
  Json kept;
  uint64_t events_bytes = 0;
  {
    MetricsLog log(folder.path, {}, 2);  // starts anew
    run(log, 1, 3);
    kept = log.sync().to_json();
    run(log, 4, 5);
    append(folder.file("metrics.jsonl"), "{\"step\":6,\"spl");  // killed while writing
  }
  {
    MetricsLog log(folder.path, LogPosition::from_json(kept, "test"), 2);
    run(log, 4, 6);
    events_bytes = log.sync().events_bytes;
  }
  for (int i = 0; i < 2; ++i) CHECK(read_file(folder.file(names[i])) == whole[i]);
  CHECK(events_bytes == fs::file_size(folder.file(MetricsLog::kEventsFile)));
  {
    MetricsLog log(folder.path, {}, 2);
    run(log, 1, 6);
    CHECK(log.sync().events_bytes == events_bytes);
  }

  kept["samples_bytes"] = -1;
  CHECK_THROWS_AS(LogPosition::from_json(kept, "test"), UserError);
  kept.erase("samples_bytes");
  CHECK_THROWS_AS(LogPosition::from_json(kept, "test"), UserError);
  CHECK_THROWS_AS(LogPosition::from_json(Json(3), "test"), UserError);
}

TEST_CASE("a log that is gone or shorter goes on with the rows it still has, none of a later step") {
  Folder folder;
  LogPosition at_three;
  {
    MetricsLog log(folder.path, {}, 2);
    for (int64_t step = 1; step <= 5; ++step) {
      log.write(row(step));
      log.write_samples(step, "train", {sample("p")});
      if (step == 3) at_three = log.sync();
    }
  }
  SUBCASE("gone") {
    for (const char* name : {"metrics.jsonl", "samples.jsonl", MetricsLog::kEventsFile})
      fs::remove(folder.file(name));
    { MetricsLog log(folder.path, at_three, 2, 3); }
    CHECK(read_metrics(folder.file("metrics.jsonl")).empty());
    CHECK(read_samples(folder.file("samples.jsonl")).empty());
  }
  SUBCASE("cut within a row") {
    fs::resize_file(folder.file("metrics.jsonl"), at_three.metrics_bytes - 5);
    { MetricsLog log(folder.path, at_three, 2, 3); }
    const auto rows = read_metrics(folder.file("metrics.jsonl"));
    REQUIRE(rows.size() == 2);
    CHECK(rows.back().step == 2);
    CHECK(read_samples(folder.file("samples.jsonl")).size() == 3);
  }
  SUBCASE("begun anew at a later step") {
    at_three.metrics_bytes = 1 << 20;
    { MetricsLog log(folder.path, at_three, 2, 3); }
    CHECK(read_metrics(folder.file("metrics.jsonl")).size() == 3);
  }
  const uint64_t samples = fs::file_size(folder.file("samples.jsonl"));
  MetricsLog log(folder.path, at_three, 2, 3);
  log.write(row(4));
  CHECK(log.sync().samples_bytes == samples);
  CHECK(read_metrics(folder.file("metrics.jsonl")).back().step == 4);
}

TEST_CASE("samples read back; those over the limit are left out") {
  Folder folder;
  {
    MetricsLog log(folder.path, {}, 2);
    log.write_samples(1, "train", {sample("a"), sample("b"), sample("c")});
    SampleRow bare{.prompt = R"("split":"train")", .completion = "", .finish = "length"};
    log.write_samples(2, "eval", {bare});
  }
  const auto all = read_samples(folder.file("samples.jsonl"));
  REQUIRE(all.size() == 3);
  CHECK(all[1].prompt == "b");
  CHECK(all[1].completion == "é</script>\n\uFFFD");
  REQUIRE(all[1].rewards.size() == 2);
  CHECK(all[1].rewards[0].first == "math");
  CHECK(all[1].rewards[0].second.value() == 1.0);
  CHECK_FALSE(all[1].rewards[1].second.has_value());
  CHECK((all[1].transformed == sample("b").transformed));
  CHECK((all[1].reward_texts == sample("b").reward_texts));
  CHECK((all[1].reward_outcomes == sample("b").reward_outcomes));
  CHECK(all[2].reward_texts.empty());
  CHECK(all[1].advantage.value() == -0.5);
  CHECK(all[1].logp_min.value() == -3.5);
  CHECK(all[1].step == 1);
  const auto eval = read_samples(folder.file("samples.jsonl"), "eval");
  REQUIRE(eval.size() == 1);
  CHECK(eval[0].step == 2);
  CHECK_FALSE(eval[0].reward.has_value());
  CHECK_FALSE(eval[0].advantage.has_value());
}

TEST_CASE("a torn end is passed over, a bad line elsewhere is named") {
  Folder folder;
  const std::string path = folder.file("metrics.jsonl");
  CHECK(read_metrics(path).empty());
  {
    MetricsLog log(folder.path);
    log.write(row(1));
    log.write(row(2));
  }
  const std::string good = read_file(path);
  const size_t first = good.find('\n') + 1;
  for (size_t size = 0; size <= good.size(); ++size) {  // cut anywhere
    write_file_atomic(path, good.substr(0, size));
    CHECK(read_metrics(path).size() == (size == good.size() ? 2 : size >= first ? 1 : 0));
  }
  write_file_atomic(path, good + std::string("\0\0\0\n", 4));
  CHECK(read_metrics(path).size() == 2);
  write_file_atomic(path, good.substr(0, first) + "{\"step\":2\n" + good.substr(first));
  CHECK(message_of(path).find("metrics.jsonl:2") != std::string::npos);
  for (const char* bad :
       {"[]", "{}", R"({"step":1})", R"({"step":1.5,"split":"train"})", R"({"step":1,"split":3})",
        R"({"step":1,"split":"train","loss":"x"})", R"({"step":1,"split":"train","time":7})"}) {
    write_file_atomic(path, std::string(bad) + "\n" + good);
    INFO(bad);
    CHECK(message_of(path).find("metrics.jsonl:1") != std::string::npos);
  }
  for (const char* bad :
       {R"({"prompt":"a"})", R"({"step":1,"split":"eval","prompt":"a","completion":"b","rewards":[]})"}) {
    write_file_atomic(folder.file("samples.jsonl"), std::string(bad) + "\n{}\n");
    CHECK_THROWS_AS(read_samples(folder.file("samples.jsonl")), UserError);
  }
}
