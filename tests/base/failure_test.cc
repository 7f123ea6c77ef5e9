#include "base/failure.h"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return machine_failure(e);
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("failure: what the machine refuses is told with its path and reason") {
  TempFolder folder;
  const std::string loop = folder.text("loop");
  std::filesystem::create_symlink(loop, loop);
  CHECK(failure_of([&] { static_cast<void>(std::filesystem::exists(loop + "/x")); }) ==
        loop + "/x: Too many levels of symbolic links");
  const std::string name(300, 'a');
  CHECK(failure_of([&] { static_cast<void>(std::filesystem::exists(name)); }) ==
        name + ": File name too long");
  CHECK(failure_of([&] { std::filesystem::rename(folder.text("a"), folder.text("b")); }) ==
        folder.text("a") + " and " + folder.text("b") + ": No such file or directory");
  CHECK(failure_of([] { throw std::bad_alloc(); }).starts_with("out of memory"));
  CHECK(failure_of([] {
          throw std::runtime_error(
              "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.");
        }).starts_with("out of memory"));
  CHECK(failure_of([] { throw std::system_error(EAGAIN, std::generic_category(), "thread"); }) ==
        "thread: Resource temporarily unavailable");
  CHECK(failure_of([] { throw std::logic_error("a bug"); }).empty());
  CHECK(failure_of([] { throw std::out_of_range("map::at"); }).empty());
}
