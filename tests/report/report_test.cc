#include "report/report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "report/svg.h"
#include "run/metrics.h"
#include "test.h"

using namespace temper;

namespace {

struct Folder {
  Folder() : path((fs::temp_directory_path() / ("temper_report_" + std::to_string(::getpid()))).string()) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string path;
};

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// The first thing wrong with the nesting of the tags, or "". The page is written so that every tag is closed.
std::string nesting_problem(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = 0; (at = html.find('<', at)) != std::string::npos;) {
    const size_t end = html.find('>', at);
    if (end == std::string::npos) return "a tag without an end";
    const std::string tag = html.substr(at + 1, end - at - 1);
    at = end;
    if (tag[0] == '!' || tag.rfind("meta", 0) == 0 || tag.back() == '/') continue;
    const std::string name = tag.substr(0, tag.find(' '));
    if (name[0] != '/') {
      open.push_back(name);
    } else if (open.empty() || "/" + open.back() != name) {
      return "<" + name + "> closes <" + (open.empty() ? "nothing" : open.back()) + ">";
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> stays open";
}

void write_run(const std::string& path, int64_t steps) {
  write_file_atomic(
      path + "/config.json",
      R"({"task":"rl","model":{"path":"models/<b>x"},"algorithm":{"name":"grpo"},"train":{"steps":100}})");
  MetricsLog log(path);
  for (int64_t step = 0; step <= steps; ++step) {
    const auto x = static_cast<double>(step);
    if (step > 0) {
      log.write({.step = step,
                 .values = {{"loss", step == 7 ? kNan : 0.01 * std::sin(x)},
                            {"reward", x / 100},
                            {"reward/<i>", 0.5},
                            {"kl", x * 1e-4},
                            {"grad_norm", step == 9 ? 1e4 : 1},
                            {"odd & new", x}},
                 .time = {{"seconds", 2}, {"tokens_per_s", 100 + x}}});
    }
    if (step % 10 == 0) {
      log.write({.step = step,
                 .split = "eval",
                 .values = {{"accuracy", x / 200}, {"low", x / 250}, {"high", x / 150}, {"n", 64}}});
      log.write_samples(step, "eval",
                        {{.prompt = "What is <1 & 2>?",
                          .completion = "</pre><script>alert(" + std::to_string(step) + ")</script>\x1b\xff",
                          .rewards = {{"math", 1.0}, {"\"><img src=x>", std::nullopt}},
                          .reward = x,
                          .finish = "length",
                          .tokens = 5}});
    }
  }
}

}  // namespace

TEST_CASE("the losses of held-out sets are a curve each, on one chart while there are colours") {
  const Folder folder;
  write_file_atomic(folder.path + "/config.json", R"({"task":"sft","train":{"steps":4}})");
  {
    MetricsLog log(folder.path);
    for (int64_t step = 0; step <= 4; ++step) {
      const auto x = static_cast<double>(step);
      if (step > 0) log.write({.step = step, .values = {{"loss", 3 - x / 2}}});
      MetricsRow row{.step = step, .split = "eval", .values = {{"loss", 3 - x / 3}}};
      for (const char* name : {"old", "new", "c", "d", "e", "f", "g"}) {
        row.values.emplace_back(std::string("loss/") + name, 2 + x);
        row.values.emplace_back(std::string("perplexity/") + name, std::exp(2 + x));
      }
      log.write(row);
    }
  }
  write_report(folder.path);
  const std::string html = read_file(folder.path + "/report.html");
  CHECK(nesting_problem(html).empty());
  for (const char* text :
       {"Held-out losses", "<i></i>old <", "<i></i>new <", "<i></i>f <", "Held-out loss: g"}) {
    CAPTURE(text);
    CHECK(html.find(text) != std::string::npos);
  }
}

TEST_CASE("axis values are round, few and cover the range") {
  CHECK(nice_ticks(0, 1, 4) == std::vector<double>{0, 0.5, 1});
  CHECK(nice_ticks(0, 0.3, 3) == std::vector<double>{0, 0.1, 0.2, 0.3});
  CHECK(nice_ticks(-3, 7, 5) == std::vector<double>{-4, -2, 0, 2, 4, 6, 8});
  CHECK(nice_ticks(5, 5, 4).front() == 0);
  CHECK(nice_ticks(5, 5, 4).back() >= 5);
  CHECK(nice_ticks(0, 0, 4) == std::vector<double>{0, 0.5, 1});
  RandomStream random(1, "ticks");
  for (int i = 0; i < 2000; ++i) {
    const double size = std::pow(10.0, 40 * random.uniform() - 20);
    double low = size * random.normal(), high = low + size * random.uniform();
    if (i % 10 == 0) high = std::nextafter(low, 1e99);
    const auto ticks = nice_ticks(low, high, 4);
    CHECK(ticks.size() >= 2);
    CHECK(ticks.size() <= 8);
    CHECK(std::is_sorted(ticks.begin(), ticks.end()));
    CHECK(ticks.front() <= low + 1e-8 * size);
    CHECK(ticks.back() >= high - 1e-8 * size);
  }
  for (double value : nice_ticks(-1e300, 1e300, 4)) CHECK(std::isfinite(value));
}

TEST_CASE("thinning keeps the ends, the extremes and the gaps") {
  std::vector<double> y;
  RandomStream random(1, "thin");
  for (int i = 0; i < 50000; ++i) y.push_back(random.normal());
  y[31234] = 1e6;
  y[777] = -1e6;
  y[40000] = kNan;
  const auto kept = thin(y, 2000);
  CHECK(kept.size() <= 2000);
  CHECK(kept.size() > 1000);
  CHECK(kept.front() == 0);
  CHECK(kept.back() == y.size() - 1);
  for (size_t i = 1; i < kept.size(); ++i) CHECK(kept[i - 1] < kept[i]);
  for (size_t i : {31234, 777, 40000}) CHECK(std::count(kept.begin(), kept.end(), i) == 1);
  CHECK(thin({1, 2, 3}, 2000) == std::vector<size_t>{0, 1, 2});
  CHECK(thin({}, 8).empty());
  CHECK(thin(std::vector<double>(100, kNan), 8).size() <= 8);
}

TEST_CASE("smoothing: constants stay, lines do not lag, gaps stay gaps") {
  for (double value : smoothed({3, 3, 3, 3}, 2)) CHECK(value == doctest::Approx(3));
  std::vector<double> line;
  for (int i = 0; i < 201; ++i) line.push_back(i);
  CHECK(smoothed(line, 5)[100] == doctest::Approx(100));
  const auto gap = smoothed({1, kNan, 3}, 1);
  CHECK(std::isnan(gap[1]));
  CHECK(gap[0] == doctest::Approx((1 + 0.25 * 3) / 1.25));  // by the definition
  CHECK(gap[2] == doctest::Approx((3 + 0.25 * 1) / 1.25));
}

TEST_CASE("text cannot leave its place") {
  CHECK(escape_html("<a href=\"x\" b='y'>&") == "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
  CHECK(escape_html("é\n\t→") == "é\n\t→");
  CHECK(escape_html(std::string("a\0b\x1b\x7f", 5)) == "a\uFFFDb\uFFFD\uFFFD");
  CHECK(escape_html("\xff\xc3") == "\uFFFD\uFFFD");
  CHECK(escape_html("a\u202eb\u2066c\u2069") == "a\uFFFDb\uFFFDc\uFFFD");
  CHECK(escape_html("\u2029\u202f\u2065\u206a") == "\u2029\u202f\u2065\u206a");
}

TEST_CASE("charts: gaps, lone points, nothing to draw, a log scale") {
  CHECK(render_chart({.title = "t", .series = {}}).empty());
  CHECK(render_chart({.title = "t", .series = {{.name = "a", .x = {1, 2}, .y = {kNan, kNan}}}}).empty());
  CHECK(render_chart({.title = "t", .series = {{.name = "a", .x = {1, 2}, .y = {-1, 0}}}, .log_y = true})
            .empty());
  const std::string one = render_chart({.title = "t", .series = {{.name = "a", .x = {5}, .y = {2}}}});
  CHECK(one.find("nan") == std::string::npos);
  CHECK(nesting_problem(one).empty());
  const std::string gap =
      render_chart({.title = "t", .series = {{.name = "a", .x = {1, 2, 3, 4, 5}, .y = {1, 2, kNan, 3, 4}}}});
  const size_t line = gap.find("class=\"line\"");
  CHECK(count(gap.substr(line, gap.find("/>", line) - line), "M") == 2);
  const double inf = std::numeric_limits<double>::infinity();
  const std::string wild =
      render_chart({.title = "t", .series = {{.name = "a", .x = {1, 2, 3, 4}, .y = {inf, 1e305, -3, 4}}}});
  CHECK(wild.find("nan") == std::string::npos);
  CHECK(wild.find("inf\"") == std::string::npos);
  const std::string logs = render_chart(
      {.title = "t", .series = {{.name = "a", .x = {1, 2, 3}, .y = {1e-4, 0, 1e4}}}, .log_y = true});
  CHECK(logs.find("log scale") != std::string::npos);
  CHECK(logs.find(">0.0001<") != std::string::npos);
  CHECK(logs.find(">10k<") != std::string::npos);
  const std::string band = render_chart({.title = "t",
                                         .series = {{.name = "a",
                                                     .x = {1, 2, 3},
                                                     .y = {1, 2, 3},
                                                     .low = {0, kNan, 2},
                                                     .high = {2, kNan, 4},
                                                     .points = true}}});
  CHECK(count(band, "<circle") == 3);
  CHECK(count(band, "whisker") == 2);
  CHECK(band.find("a, step 1: 1 (0 to 2)") != std::string::npos);
}

TEST_CASE("a whole and its parts on a bar") {
  const std::string bar = render_shares("T<1>", "", {{"a", 3, "3s"}, {"nothing", 0, "0s"}, {"b<", 1, "1s"}});
  CHECK(nesting_problem(bar) == "");
  CHECK(count(bar, "<rect") == 2);
  CHECK(bar.find("T&lt;1&gt;") != std::string::npos);
  CHECK(bar.find("nothing") == std::string::npos);
  CHECK(bar.find(R"(x="0.0" y="0" width="660.0")") != std::string::npos);
  CHECK(bar.find(R"(x="660.0" y="0" width="220.0")") != std::string::npos);
  CHECK(bar.find("a 75% <output>3s") != std::string::npos);
  CHECK(bar.find("b&lt; 25% <output>1s") != std::string::npos);
  std::vector<Share> many;
  for (int i = 0; i < 8; ++i) many.push_back({std::string(1, static_cast<char>('a' + i)), 1});
  CHECK(count(render_shares("t", "", many), "<rect class=\"s1 pale\"") == 1);
  CHECK(render_shares("t", "h", {{"nothing", 0, ""}}).empty());
}

TEST_CASE("where the time went is a bar, of all rows, and no curves") {
  Folder folder;
  {
    MetricsLog log(folder.path);
    log.write({.step = 0, .split = "eval", .values = {{"loss", 2}}, .time = {{"phase/evaluation", 1}}});
    for (int64_t step = 1; step <= 3; ++step)
      log.write({.step = step,
                 .values = {{"loss", 1}},
                 .time = {{"seconds", 4}, {"phase/forward", 2}, {"phase/backward", 1}}});
  }
  const std::string page = report_html(folder.path);
  CHECK(nesting_problem(page) == "");
  CHECK(count(page, "<b>Where the time went</b>") == 1);
  CHECK(page.find("forward 60% <output>6s") != std::string::npos);
  CHECK(page.find("backward 30% <output>3s") != std::string::npos);
  CHECK(page.find("evaluation 10% <output>1s") != std::string::npos);
  CHECK(page.find("phase/") == std::string::npos);
  CHECK(page.find("generate") == std::string::npos);
  Folder none;
  CHECK(report_html(none.path).find("Where the time went") == std::string::npos);
}

TEST_CASE("the page of a run") {
  Folder folder;
  write_run(folder.path, 40);
  write_report(folder.path, {.state = "stopped", .note = "SIGINT <now>"});
  const std::string page = read_file(folder.path + "/report.html");
  CHECK(page == report_html(folder.path, {.state = "stopped", .note = "SIGINT <now>"}));
  CHECK(nesting_problem(page) == "");
  // Nothing that runs or is fetched, whatever the samples say.
  for (const char* bad : {"<script", "<img", "http:", "https:", "<b>x", "<i>\"", "\x1b"}) {
    INFO(bad);
    CHECK(page.find(bad) == std::string::npos);
  }
  CHECK(page.find("&lt;script&gt;alert(0)") != std::string::npos);
  CHECK(page.find("&lt;script&gt;alert(40)") != std::string::npos);
  CHECK(page.find("alert(20)") == std::string::npos);  // only the first and the last evaluation
  CHECK(page.find("40 of 100") != std::string::npos);
  CHECK(page.find("1m 20s") != std::string::npos);
  CHECK(page.find("0.0% → </span>20.0%") != std::string::npos);
  CHECK(page.find("+20.0 points") != std::string::npos);
  CHECK(page.find("95% interval 0.0% to 0.0% → 16.0% to 26.7%") != std::string::npos);
  CHECK(page.find("SIGINT &lt;now&gt;") != std::string::npos);
  for (const char* title : {"<b>Reward</b>", "<b>Rewards by part</b>", "<b>Loss</b>", "<b>Gradient norm</b>",
                            "<b>Speed</b>", "<b>odd &amp; new</b>"}) {
    INFO(title);
    CHECK(count(page, title) == 1);
  }
  CHECK(page.find(">nan<") == std::string::npos);
}

TEST_CASE("a page of an empty folder, of a run without evaluations, and of one that is broken") {
  Folder folder;
  CHECK(nesting_problem(report_html(folder.path)) == "");
  {
    MetricsLog log(folder.path);
    log.write({.step = 1, .values = {{"loss", kNan}}});
    log.write({.step = 2, .values = {{"loss", kNan}}});
    log.write_samples(2, "train", {{.prompt = "p", .completion = "c", .reward = kNan, .finish = "end"}});
  }
  const std::string page = report_html(folder.path);
  CHECK(nesting_problem(page) == "");
  CHECK(page.find("Training samples") != std::string::npos);
  write_file_atomic(folder.path + "/metrics.jsonl", "x\n{}\n");
  CHECK_THROWS_AS(write_report(folder.path), UserError);
}

TEST_CASE("a conversation is shown turn by turn, with who wrote what") {
  Folder folder;
  {
    MetricsLog log(folder.path);
    log.write({.step = 1, .values = {{"loss", 1.0}}});
    const Json said = {{{"role", "assistant"}, {"content", "<b>first</b>"}},
                       {{"role", "user"}, {"content", "wrong, try again"}},
                       {{"role", "assistant"}, {"content", "second"}}};
    log.write_samples(
        1, "train",
        {{.prompt = "p", .completion = "second", .reward = 1.0, .finish = "end", .messages = said}});
  }
  CHECK(read_samples(folder.path + "/samples.jsonl", "train").at(0).messages.size() == 3);
  const std::string page = report_html(folder.path);
  CHECK(nesting_problem(page) == "");
  const size_t first = page.find("&lt;b&gt;first"), told = page.find("wrong, try again"),
               second = page.find(">second<");
  CHECK(first < told);
  CHECK(told < second);
  CHECK(second != std::string::npos);
  CHECK(page.find("<div class=\"turn other\"><b>user</b>") != std::string::npos);
  CHECK(page.find("<div class=\"turn policy\"><b>policy</b>") != std::string::npos);
}

TEST_CASE("a fine-tuning run whose evaluations have both a loss and an accuracy") {
  Folder folder;
  {
    MetricsLog log(folder.path);
    for (int64_t step = 1; step <= 20; ++step) {
      log.write({.step = step, .values = {{"loss", 3.0}}});
      if (step % 10 == 0) {
        log.write({.step = step,
                   .split = "eval",
                   .values = {{"loss", 3.5}, {"accuracy", 0.25}, {"low", 0.2}, {"high", 0.3}}});
      }
    }
  }
  const std::string page = report_html(folder.path);
  CHECK(nesting_problem(page) == "");
  // The accuracy has its own axis; the two losses share one.
  const size_t accuracy = page.find("<b>Accuracy</b>"), loss = page.find("<b>Loss</b>");
  REQUIRE(accuracy < loss);
  REQUIRE(loss != std::string::npos);
  CHECK(page.substr(accuracy, loss - accuracy).find("loss") == std::string::npos);
  CHECK(page.substr(loss).find("held-out loss, step 10: 3.5") != std::string::npos);
  CHECK(page.find("held-out accuracy, step 20: 0.25 (0.2 to 0.3)") != std::string::npos);
}

TEST_CASE("a long run makes a page of bounded size") {
  Folder folder;
  {
    MetricsLog log(folder.path);
    RandomStream random(1, "long");
    for (int64_t step = 1; step <= 20000; ++step)
      log.write({.step = step, .values = {{"loss", random.normal()}}});
    log.write_samples(20000, "eval",
                      {{.prompt = "p", .completion = std::string(1 << 20, '<'), .finish = "length"}});
  }
  const std::string page = report_html(folder.path);
  CHECK(page.size() < 400'000);
  CHECK(page.find("1028576 more bytes") != std::string::npos);
}
