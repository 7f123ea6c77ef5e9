// DONE, the last file of a folder that is all there or not there: what else is in it, with sizes and
// fingerprints.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/json_fwd.h"

namespace temper {

struct DoneFile {
  uint64_t bytes = 0;
  std::string fingerprint;  // file_fingerprint(); empty: the folder was written before there were any
};

struct Done {
  int64_t step = 0;
  std::map<std::string, DoneFile> files;  // by name in the folder
  uint64_t bytes() const;                 // of all files
};

// Lists every file of the folder, which must be whole and synced. Throws UserError.
void write_done(const std::string& folder, int64_t step);
// Throws UserError when there is none, or when a file that it lists is missing or of another size.
Done read_done(const std::string& folder);
// Reads every file against its fingerprint. Throws UserError that names the first that differs.
void check_content(const std::string& folder, const Done& done);

}  // namespace temper
