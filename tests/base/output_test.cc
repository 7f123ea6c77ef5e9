#include "base/output.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

mode_t kind(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & S_IFMT : 0;
}

size_t entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("output: links are followed and stay links") {
  TempFolder folder;
  fs::create_directory(folder / "a");
  folder.write("a/old", "old");
  fs::create_symlink("a/old", folder / "link");
  fs::create_symlink("link", folder / "chain");
  fs::create_symlink((folder / "a/new").string(), folder / "dangling");
  fs::create_symlink("circle", folder / "circle");
  fs::create_symlink("none/x", folder / "nowhere");
  write_file_atomic(folder.text("chain"), "new");
  CHECK(folder.read("a/old") == "new");
  write_file_atomic(folder.text("dangling"), "made");
  CHECK(folder.read("a/new") == "made");
  for (const char* name : {"link", "chain", "dangling"}) CHECK(kind(folder.text(name)) == S_IFLNK);
  CHECK(has(problem([&] { write_file_atomic(folder.text("circle"), "x"); }), "symbolic links"));
  CHECK(has(problem([&] { write_file_atomic(folder.text("nowhere"), "x"); }), "cannot create"));
  CHECK(entries(folder.path()) == 6);
  CHECK(entries(folder / "a") == 2);
}

TEST_CASE("output: a FIFO and devices are written to and stay what they are") {
  TempFolder folder;
  const std::string fifo = folder.text("fifo"), null = folder.text("null"), full = folder.text("full");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  std::string got;
  std::thread reader([&] { got = read_file(fifo); });
  write_file_atomic(fifo, std::string(200000, 'x'));
  reader.join();
  CHECK(got == std::string(200000, 'x'));
  CHECK(kind(fifo) == S_IFIFO);
  // Nodes of our own: those of /dev are the machine's.
  const bool makes_nodes = ::mknod(null.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0 &&
                           ::mknod(full.c_str(), S_IFCHR | 0600, makedev(1, 7)) == 0 &&
                           ::mknod(folder.text("disk").c_str(), S_IFBLK | 0600, makedev(7, 250)) == 0;
  if (!makes_nodes) return;  // not root
  write_file_atomic(null, "x");
  CHECK(kind(null) == S_IFCHR);
  fs::create_symlink("null", folder / "link");
  CHECK(output_target(folder.text("link")).direct);
  CHECK(has(problem([&] { write_file_atomic(full, "x"); }), "full: cannot write: No space left"));
  CHECK(kind(full) == S_IFCHR);
  CHECK(has(problem([&] { write_file_atomic(folder.text("disk"), "x"); }), "found a block device"));
  CHECK(entries(folder.path()) == 5);
}

TEST_CASE("output: what takes no content is refused") {
  TempFolder folder;
  CHECK(has(problem([&] { output_target(folder.text()); }), "found a folder"));
  CHECK(has(problem([&] { output_target(folder.text("new/")); }), "the name of a folder"));
  CHECK(has(problem([&] { output_target(""); }), "empty name"));
  folder.write("file", "x");
  CHECK(has(problem([&] { output_target(folder.text("file/x")); }), "Not a directory"));
  CHECK(has(problem([&] { output_target(folder.text(std::string(300, 'x'))); }), "too long"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  folder.text("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(has(problem([&] { output_target(folder.text("socket")); }), "found a socket"));
  ::close(fd);
}

TEST_CASE("output: a process's open file is written to where it stands") {
  TempFolder folder;
  const std::string path = folder.write("out", "before ");
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND);
  struct stat before {
  }, after{};
  ::fstat(fd, &before);
  write_file_atomic("/proc/self/fd/" + std::to_string(fd), "behind");
  ::stat(path.c_str(), &after);
  ::close(fd);
  CHECK(folder.read("out") == "before behind");
  CHECK(after.st_ino == before.st_ino);
}

TEST_CASE("output: temporary names are this process's own") {
  TempFolder folder;
  const std::string path = folder.text("x"), left = fmt::format("{}.{}.tmp", path, ::getpid());
  folder.write(fs::path(left).filename().string(), "left behind");
  write_file_atomic(path, "one");
  CHECK(folder.read("x") == "one");
  CHECK(read_file(left) == "left behind");
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&path, i] {
      for (int k = 0; k < 20; ++k) write_file_atomic(path, std::string(1000, static_cast<char>('a' + i)));
    });
  for (std::thread& t : writers) t.join();
  CHECK(folder.read("x") == std::string(1000, folder.read("x")[0]));
  CHECK(entries(folder.path()) == 2);
}

TEST_CASE("output: a stream that is not committed leaves the old file") {
  TempFolder folder;
  const std::string path = folder.write("x", "old");
  {
    FileStream file(path);
    file.write("new", 3);
    file.write_zeros(5000);
    CHECK(file.bytes() == 5003);
    CHECK(entries(folder.path()) == 2);
  }
  CHECK(folder.read("x") == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("output: folders appear whole or not at all") {
  TempFolder folder;
  { TemporaryFolder made(folder.text("a/b/c/")); }
  CHECK(entries(folder / "a/b") == 0);
  {
    TemporaryFolder made(folder.text("a/b/c/"));
    write_file_atomic(made.path() + "/x", "x");
    made.commit();
  }
  CHECK(folder.read("a/b/c/x") == "x");
  fs::create_directory(folder / "empty");
  fs::create_symlink("empty", folder / "link");
  {
    TemporaryFolder made(folder.text("link"));
    write_file_atomic(made.path() + "/x", "x");
    made.commit();
  }
  CHECK(folder.read("empty/x") == "x");
  CHECK(kind(folder.text("link")) == S_IFLNK);
  TemporaryFolder full(folder.text("empty"));
  CHECK(has(problem([&] { full.commit(); }), "cannot rename into place"));
  folder.write("file", "x");
  CHECK(has(problem([&] { TemporaryFolder(folder.text("file/x")); }), "file"));
}
