// Where runs keep what they made of large data, so that the next start finds it: the folder of "data.cache".
//   index-KEY, rows-KEY    where a file's records stand, or the records themselves (record_source.h)
//   looks-KEY              what a look at each record told (looks.h)
//   encoded-KEY            token ids (encoded.h)
//   files/NAME.json        fingerprints of files by path, size, times and inode
// All of it may be removed at any time. A key is a fingerprint of all that the content depends on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "data/large/blob_file.h"

namespace temper {

class DataCache {
 public:
  // Called now and then during a pass over all data, with what it does and the share of it that is done. May
  // throw, which ends the pass.
  using Watch = std::function<void(const std::string& what, double share)>;

  // folder empty: nothing is kept. most_bytes: of all files together; what was not used for longest goes.
  explicit DataCache(std::string folder = {}, uint64_t most_bytes = UINT64_MAX, Watch watch = nullptr);

  const std::string& folder() const { return folder_; }  // empty: none
  // The threads that a pass has.
  size_t threads() const { return threads_; }
  void tell(const std::string& what, double share) const;

  // file_fingerprint(), from the folder where size, times and inode are what they were. Throws UserError when
  // the file changes meanwhile.
  std::string fingerprint(const std::string& file) const;

  // The file of the kind and key, or what `fill` writes, which returns the note; it may be called twice, as
  // a folder that cannot be written is a warning and all stays in memory. `what` tells people.
  std::shared_ptr<const BlobFile> made(const std::string& kind, const std::string& key,
                                       const std::string& what,
                                       const std::function<Json(BlobWriter&)>& fill) const;

 private:
  void bound(const std::string& newest) const;
  void give_up(const std::string& why) const;
  std::string folder_;
  uint64_t most_bytes_;
  Watch watch_;
  size_t threads_;
  mutable bool writes_ = true;
};

// TEMPER_CACHE/data, else that of the user's cache folder.
std::string default_data_cache();

}  // namespace temper
