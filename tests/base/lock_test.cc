#include "base/lock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

TEST_CASE("lock: the second one is refused and told who has it; it ends with its holder") {
  TempFolder folder;
  const std::string path = folder.text("lock");
  std::optional<FileLock> first(std::in_place, path, "runs/x");
  try {
    FileLock second(path, "runs/x");
    FAIL("locked twice");
  } catch (const UserError& e) {
    const std::string what = e.what();
    CHECK(what.find("runs/x: in use by process " + std::to_string(::getpid()) + " on ") != std::string::npos);
    CHECK(what.find(" since 20") != std::string::npos);
  }
  first.reset();
  CHECK_NOTHROW(FileLock(path, "runs/x"));
}

TEST_CASE("lock: a holder that is killed leaves none behind") {
  TempFolder folder;
  const std::string path = folder.text("lock");
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FileLock lock(path, "here");
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char byte;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THROWS_WITH_AS(FileLock(path, "here"), doctest::Contains(std::to_string(child).c_str()), UserError);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK_NOTHROW(FileLock(path, "here"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("lock: a place that takes no file is the user's mistake") {
  TempFolder folder;
  CHECK_THROWS_AS(FileLock(folder.text("no/such/lock"), "here"), UserError);
}
