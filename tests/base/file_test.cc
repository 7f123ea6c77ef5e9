#include "base/file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {
// No file may grow beyond `bytes` while this lives: what a full disk looks like to a writer.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  sighandler_t old_handler_;
};
}  // namespace

TEST_CASE("file: atomic writes replace the whole file") {
  TempFolder folder;
  const std::string path = (folder / "x").string();
  write_file_atomic(path, "one");
  CHECK(read_file(path) == "one");
  write_file_atomic(path, std::string("t\0wo", 4));
  CHECK(read_file(path) == std::string("t\0wo", 4));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("file: a full disk leaves the old file and no debris") {
  TempFolder folder;
  const std::string path = folder.write("x", "old");
  {
    SmallDisk disk(4096);
    CHECK(has(problem([&] { write_file_atomic(path, std::string(100000, 'x')); }), "cannot write"));
  }
  CHECK(folder.read("x") == "old");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("file: what cannot be written says so") {
  TempFolder folder;
  CHECK(has(problem([&] { write_file_atomic((folder / "no/such").string(), "x"); }), "cannot create"));
  fs::create_directory(folder / "d");
  CHECK(has(problem([&] { write_file_atomic((folder / "d").string(), "x"); }), "found a folder"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  CHECK(has(problem([&] {
              LineWriter w("/dev/full");
              w.write("x");
            }),
            "/dev/full: cannot write"));
  if (::geteuid() != 0) {  // root writes anywhere
    const std::string path = folder.write("d/x", "old");
    ::chmod((folder / "d").c_str(), 0500);
    CHECK(has(problem([&] { write_file_atomic(path, "new"); }), "cannot create"));
    ::chmod((folder / "d").c_str(), 0700);
    CHECK(folder.read("d/x") == "old");
  }
}

TEST_CASE("file: reads") {
  TempFolder folder;
  CHECK(has(problem([&] { read_file((folder / "none").string()); }), "cannot open"));
  CHECK(has(problem([&] { read_file(folder.path().string()); }), "expected a file, found a folder"));
  const std::string path = folder.write("x", std::string(1000, 'x'));
  CHECK(read_file(path, 1000).size() == 1000);
  CHECK(has(problem([&] { read_file(path, 999); }), "larger than the 999 bytes"));
  CHECK(has(problem([&] { read_file("/dev/zero", 1 << 20); }), "larger than"));
}

TEST_CASE("file: maps") {
  TempFolder folder;
  const MappedFile map(folder.write("x", "hello"));
  CHECK(map.size() == 5);
  CHECK(std::string(reinterpret_cast<const char*>(map.data()), 5) == "hello");
  CHECK(MappedFile(folder.write("empty", "")).size() == 0);
  CHECK(has(problem([&] { MappedFile m(folder.path().string()); }), "expected a file"));
  CHECK(has(problem([&] { MappedFile m((folder / "none").string()); }), "cannot open"));
}

TEST_CASE("file: lines are appended, and cut back for a resume") {
  TempFolder folder;
  const std::string path = (folder / "m.jsonl").string();
  uint64_t mark = 0;
  {
    LineWriter w(path);
    w.write("one");
    mark = w.bytes();
    w.write("two");
  }
  LineWriter w(path);
  CHECK(w.bytes() == 8);
  w.truncate_to(mark);
  w.write("drei");
  w.sync();
  CHECK(folder.read("m.jsonl") == "one\ndrei\n");
  CHECK(has(problem([&] { w.truncate_to(100); }), "shorter than its checkpoint says"));
}

TEST_CASE("file: paths beside a file") {
  CHECK(path_beside("/a/b/c.json", "d/e") == "/a/b/d/e");
  CHECK(path_beside("/a/b/c.json", "../e") == "/a/e");
  CHECK(path_beside("/a/b/c.json", "/e") == "/e");
  CHECK(path_beside("c.json", "e") == "e");
  CHECK(path_beside("c.json", "").empty());
}
