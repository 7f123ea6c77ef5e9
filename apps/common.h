// What every program's main shares: exceptions become one line and an exit code.
#pragma once

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/log.h"
#include "base/output.h"
#include "startup.h"

namespace temper {

// Throws UserError for a file that could not be written at the program's end: one that is no file, or in no
// folder. Empty: none is written.
inline void demand_output(const std::string& option, const std::string& file) {
  if (file.empty()) return;
  const OutputTarget target = output_target(file);
  const fs::path folder = fs::path(target.path).parent_path();
  if (!target.direct && !folder.empty() && !fs::is_directory(folder))
    user_error("{} {}: there is no such folder", option, file);
}

[[noreturn]] inline void stdout_lost(int error) {
  user_error("standard output: cannot write{}{}", error == 0 ? "" : ": ",
             error == 0 ? "" : std::strerror(error));
}

// Throws UserError unless all that was printed so far has arrived.
inline void flush_stdout() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) stdout_lost(errno);
}

// To standard output. Throws UserError when it cannot be written.
inline void print_text(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) stdout_lost(errno);
}

// A standard stream that is closed gives its number to the next file that is opened, which would then hold
// what is printed. A descriptor that cannot be written to takes the place instead.
inline void fill_closed_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
  }
}

// Parses the command line, runs `body` and maps what it throws: UserError and what the machine lacks (memory,
// a file) -> 2, Interrupted -> 128 + signal, anything else -> 1. A mistake in the command line, and standard
// output that cannot be written, is the user's.
inline int run_app(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  fill_closed_streams();
  // oneDNN would keep 1024 compiled products. Packed batches seldom repeat a shape.
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256", /*overwrite=*/0);
  const std::string name = app.get_name();
  try {
    int code = kExitDone;
    try {
      app.parse(argc, argv);
      code = body();
    } catch (const CLI::ParseError& e) {
      std::ostringstream out, problem;
      code = app.exit(e, out, problem) == 0 ? kExitDone : kExitUser;
      print_text(out.str());
      std::fputs(printable(problem.str()).c_str(), stderr);
    }
    flush_stdout();
    return code;
  } catch (const UserError& e) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), printable(e.what()).c_str());
    return kExitUser;
  } catch (const Interrupted& e) {
    return 128 + e.signal;
  } catch (const std::exception& e) {
    const std::string failure = machine_failure(e);
    if (!failure.empty()) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), printable(failure).c_str());
      return kExitUser;
    }
    std::fprintf(stderr, "%s: internal error: %s\n", name.c_str(), printable(e.what()).c_str());
    return kExitBug;
  }
}

}  // namespace temper
