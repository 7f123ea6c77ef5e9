#include "run/tensorboard.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "test.h"

using namespace temper;

namespace {

std::string fresh_file(const std::string& name) {
  const fs::path path = fs::temp_directory_path() / ("temper_events_" + std::to_string(::getpid()) + name);
  fs::remove(path);
  return path.string();
}

void write_golden_events(EventWriter& events) {
  events.scalars(1, {{"train/loss", 0.1}, {"train/kl", std::nan("")}}, 1700000000.25);
  events.scalars(300, {{"eval/accuracy", -1e30}}, 1700000001.5);
  std::string text;
  for (int i = 0; i < 20; ++i) text += "schöne | *text*\n";
  events.text(int64_t{1} << 40, "config", text, 1700000002.75);
}

}  // namespace

TEST_CASE("CRC-32C: the check value and RFC 3720's examples") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(masked_crc32c("") == 0xa282ead8u);
}

TEST_CASE("records are the bytes that TensorBoard's own writer makes") {
  const std::string path = fresh_file("golden");
  {
    EventWriter events(path);
    const uint64_t header = events.bytes();
    write_golden_events(events);
    const std::string written = read_file(path);
    CHECK(events.bytes() == written.size());
    CHECK(written.find("brain.Event:2") < header);
    CHECK(written.substr(header) == read_file(test_file("run/golden/events.bin")));
  }
  fs::remove(path);
}

TEST_CASE("cut back and written again, the file is as if nothing had happened") {
  const std::string path = fresh_file("cut");
  std::string whole;
  uint64_t middle = 0;
  {
    EventWriter events(path);
    events.scalars(1, {{"a", 1}}, 5);
    middle = events.bytes();
    events.scalars(2, {{"a", 2}}, 6);
    whole = read_file(path);
  }
  {
    EventWriter events(path);
    CHECK(events.bytes() == whole.size());
    events.truncate_to(middle);
    events.scalars(2, {{"a", 2}}, 6);
    CHECK(read_file(path) == whole);
    events.truncate_to(0);
    CHECK(events.bytes() > 0);  // the version record
    CHECK(events.bytes() < middle);
    CHECK_THROWS_AS(events.truncate_to(1 << 20), UserError);
  }
  fs::remove(path);
  CHECK_THROWS_AS(EventWriter("/nowhere/at/all"), UserError);
}
