#include "base/progress.h"

#include <unistd.h>

#include <optional>

#include "base/log.h"
#include "base/memory.h"
#include "test.h"

using namespace temper;

namespace {

// A console that writes into a pipe, and a clock set by hand.
struct Screen {
  explicit Screen(bool terminal, int width = 100, bool quiet = false) {
    REQUIRE(::pipe(fds) == 0);
    console.emplace(
        ConsoleOptions{.fd = fds[1], .quiet = quiet, .terminal = terminal, .colour = false, .width = width});
  }
  ~Screen() {
    console.reset();
    close_all();
  }
  std::string read_all() {  // everything written since the last call
    REQUIRE(::write(fds[1], "\x04", 1) == 1);
    std::string out;
    char c;
    while (::read(fds[0], &c, 1) == 1 && c != '\x04') out += c;
    return out;
  }
  ProgressOptions options() {
    return {.now = [this] { return clock; }};
  }
  void close_all() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  int fds[2];
  double clock = 100;
  std::optional<Console> console;
};

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("numbers for people") {
  CHECK(format_duration(0.2) == "0s");
  CHECK(format_duration(59.6) == "1m 00s");
  CHECK(format_duration(3725) == "1h 02m");
  CHECK(format_duration(200000) == "2d 07h");
  CHECK(format_duration(-3) == "0s");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1234567) == "1,234,567");
  CHECK(format_count(-1000) == "-1,000");
  CHECK(format_count(INT64_MIN) == "-9,223,372,036,854,775,808");
  CHECK(format_value(0.51234) == "0.5123");
  CHECK(format_value(12345.6) == "12,346");
  CHECK(format_value(1e-5) == "1e-05");
  CHECK(format_value(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(format_value(std::numeric_limits<double>::infinity()) == "inf");
}

TEST_CASE("a terminal has one line, redrawn in place and never wider than the screen") {
  Screen screen(true, 60);
  std::string out;
  {
    Progress progress(*screen.console, 10, "rl", 0, screen.options());
    for (int step = 1; step <= 10; ++step) {
      progress.begin_step(step);
      for (int i = 0; i < 128; ++i) {
        screen.clock += 0.01;
        progress.inner("rollout " + std::to_string(i) + "/128 done, 5,120 tokens, 610 tok/s");
      }
      progress.end_step({{"reward", 0.5}, {"kl", 0.00131}}, 1280);
    }
    out = screen.read_all();
  }
  CHECK(count(out, "\n") == 0);
  // 12.8 s at no more than ten a second.
  CHECK(count(out, "\r") <= 130);
  CHECK(count(out, "\r") > 100);
  CHECK(count(out, "rollout") > 90);
  size_t start = 0;
  while ((start = out.find('\r', start)) != std::string::npos) {
    const size_t end = out.find("\x1b[K", start);
    REQUIRE(end != std::string::npos);
    int columns = 0;
    for (size_t i = start + 1; i < end; ++i) columns += (static_cast<unsigned char>(out[i]) & 0xc0) != 0x80;
    CHECK(columns < 60);
    start = end;
  }
  const std::string last = screen.read_all();  // the destructor leaves the end of the run standing
  CHECK(count(last, "\n") == 1);
  CHECK(last.find("10/10  reward 0.5  kl 0.00131  1,000 tok/s\n") != std::string::npos);
}

TEST_CASE("a message goes above the line, which stands again below it") {
  Screen screen(true, 80);
  Progress progress(*screen.console, 10, "sft", 0, screen.options());
  const std::string before = screen.read_all();
  const std::string status = before.substr(1, before.find("\x1b[K") - 1);
  progress.message("saved checkpoints/step-5");
  CHECK(screen.read_all() == "\r\x1b[Ksaved checkpoints/step-5\n" + status);
  log_warning("odd \x1b[2J bytes {}", 7);
  CHECK(screen.read_all() == "\r\x1b[Kwarning: odd ?[2J bytes 7\n" + status);
}

TEST_CASE("elsewhere: plain lines, not too many, no control characters") {
  Screen screen(false);
  {
    Progress progress(*screen.console, 300, "sft", 0, screen.options());
    for (int step = 1; step <= 300; ++step) {
      progress.begin_step(step);
      screen.clock += 0.1;
      progress.end_step({{"loss", 1.0 / step}}, 100);
    }
  }
  const std::string out = screen.read_all();
  CHECK(count(out, "\n") >= 28);  // 30 s
  CHECK(count(out, "\n") <= 32);
  CHECK(count(out, "sft 1/300  loss 1  1,000 tok/s  30s left\n") == 1);
  CHECK(count(out, "sft 300/300") == 1);
  for (char c : out) CHECK((c == '\n' || static_cast<unsigned char>(c) >= 0x20));
}

TEST_CASE("elsewhere a long step still shows signs of life") {
  Screen screen(false);
  Progress progress(*screen.console, 2, "rl", 0, screen.options());
  progress.begin_step(1);
  for (int i = 0; i < 60; ++i) {
    screen.clock += 1;
    progress.inner("rollout " + std::to_string(i) + "/60 done");
  }
  const std::string out = screen.read_all();
  CHECK(count(out, "\n") == 6);
  CHECK(out.find("rl 0/2  [step 1] rollout 9/60 done\n") == 0);
}

TEST_CASE("quiet: only warnings") {
  Screen screen(true, 80, true);
  Progress progress(*screen.console, 2, "rl", 0, screen.options());
  progress.begin_step(1);
  screen.clock += 50;
  progress.inner("x");
  progress.end_step({}, 0);
  progress.message("info");
  log_info("info");
  CHECK(screen.read_all().empty());
  log_warning("heed");
  CHECK(screen.read_all() == "warning: heed\n");
}

TEST_CASE("time left: what this process did counts, evaluations between steps too") {
  Screen screen(false);
  Progress progress(*screen.console, 100, "rl", 50, screen.options());
  CHECK(progress.left_s() < 0);
  for (int step = 51; step <= 60; ++step) {
    progress.begin_step(step);
    screen.clock += 1;
    progress.end_step({}, 500);
    screen.clock += 1;  // an evaluation
  }
  CHECK(progress.tokens_per_s() == doctest::Approx(500));
  // The first end_step saw 1 s, each later one 2 s; one second has passed since the last.
  CHECK(progress.left_s() > 70);
  CHECK(progress.left_s() < 80);
}

TEST_CASE("peak memory follows what was touched") {
  const uint64_t before = peak_memory_bytes();
  CHECK(current_memory_bytes() > 0);
  CHECK(before >= current_memory_bytes() / 2);
  const uint64_t size = (before - current_memory_bytes()) + (64 << 20);
  {
    std::string block(size, 'x');
    CHECK(block[size / 2] == 'x');
  }
  CHECK(peak_memory_bytes() >= before + (48 << 20));
}

TEST_CASE("text for a terminal keeps UTF-8 and loses control characters and torn bytes") {
  CHECK(printable("Zürich 🙂\n\tend") == "Zürich 🙂\n\tend");
  CHECK(printable("\x1b[31mred\x7f") == "?[31mred?");
  CHECK(printable("a\xff"
                  "b\xc3") == "a?b?");
  CHECK(printable("\xe2\x82") == "??");
  CHECK(printable(std::string_view("a\0b", 3)) == "a?b");
}
