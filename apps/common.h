// What every program's main shares: exceptions become one line and an exit code.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "startup.h"

namespace temper {

// Throws UserError unless the folder that a file is to be written to is there. Empty: none is written.
inline void demand_folder(const char* option, const std::string& file) {
  const fs::path folder = fs::path(file).parent_path();
  if (!folder.empty() && !fs::is_directory(folder))
    user_error("{} {}: there is no such folder", option, file);
}

// Runs `body` and maps what it throws: UserError -> 2, Interrupted -> 128 + signal, anything else -> 1.
inline int run_app(const char* name, const std::function<int()>& body) {
  // oneDNN would keep 1024 compiled products. Packed batches seldom repeat a shape.
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256", /*overwrite=*/0);
  try {
    return body();
  } catch (const UserError& e) {
    std::fprintf(stderr, "%s: %s\n", name, printable(e.what()).c_str());
    return kExitUser;
  } catch (const Interrupted& e) {
    return 128 + e.signal;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: internal error: %s\n", name, printable(e.what()).c_str());
    return kExitBug;
  }
}

}  // namespace temper
