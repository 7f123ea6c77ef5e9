#include "data/large/data_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

namespace temper {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLeftOver = 3600 * kSecond;  // a file to which nobody has written for so long

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Kept {
  std::string path;
  uint64_t bytes = 0;
  int64_t used_ns = 0;
};

}  // namespace

DataCache::DataCache(std::string folder, uint64_t most_bytes, Watch watch)
    : folder_(std::move(folder)),
      most_bytes_(most_bytes),
      watch_(std::move(watch)),
      threads_(std::max(1U, std::thread::hardware_concurrency())) {}

void DataCache::tell(const std::string& what, double share) const {
  if (watch_) watch_(what, share);
}

void DataCache::give_up(const std::string& why) const {
  if (std::exchange(writes_, false)) log_warning("data.cache: nothing is kept for the next start: {}", why);
}

std::string DataCache::fingerprint(const std::string& file) const {
  if (folder_.empty()) return file_fingerprint(file);
  const std::string path = fs::absolute(file).lexically_normal().string();
  const std::string memo = fmt::format("{}/files/{}.json", folder_, Fingerprint().add(path).hex());
  const FileStamp stamp = stamp_of(file);
  const Json is = {{"path", path},
                   {"bytes", stamp.bytes},
                   {"inode", stamp.inode},
                   {"device", stamp.device},
                   {"changed_ns", stamp.changed_ns}};
  std::error_code error;
  if (fs::exists(memo, error)) {
    try {
      const Json known = read_json_file(memo);
      // A file written to just before its fingerprint was taken may have been written to again since, within
      // the resolution of its time.
      if (known.at("file") == is && known.at("taken_ns").get<int64_t>() > stamp.changed_ns + 2 * kSecond)
        return known.at("fingerprint").get<std::string>();
    } catch (const std::exception&) {
      // Damaged; it is written anew.
    }
  }
  const int64_t taken = now_ns();
  const std::string out = file_fingerprint(file);
  if (stamp_of(file) != stamp)
    user_error("{}: the file changes while it is read; start again when it is whole", file);
  if (!writes_) return out;
  try {
    fs::create_directories(folder_ + "/files");
    write_file_atomic(memo, dump_line({{"file", is}, {"taken_ns", taken}, {"fingerprint", out}}) + "\n");
  } catch (const std::exception& e) {
    give_up(e.what());
  }
  return out;
}

std::shared_ptr<const BlobFile> DataCache::made(const std::string& kind, const std::string& key,
                                                const std::string& what,
                                                const std::function<Json(BlobWriter&)>& fill) const {
  const std::string path = folder_.empty() ? "" : fmt::format("{}/{}-{}", folder_, kind, key);
  std::error_code error;
  if (!path.empty() && fs::exists(path, error)) {
    try {
      auto found = std::make_shared<const BlobFile>(path, key);
      // When it was used last; the time of its content stays, by which readers tell that it is the same.
      const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
      ::utimensat(AT_FDCWD, path.c_str(), times, 0);
      return found;
    } catch (const CacheProblem& e) {
      log_warning("data cache: {}; it is made anew", e.what());
    }
  }
  if (!path.empty() && writes_) {
    try {
      fs::create_directories(folder_, error);
      BlobWriter out(path, key);
      const Json note = fill(out);
      std::shared_ptr<const BlobFile> written = out.commit(note);
      log_info("data cache: {} written to {}, {:.1f} MB", what, path,
               static_cast<double>(written->bytes()) / 1e6);
      bound(path);
      return written;
    } catch (const CacheProblem& e) {
      give_up(e.what());
    }
  }
  BlobWriter out("", key);
  const Json note = fill(out);
  return out.commit(note);
}

void DataCache::bound(const std::string& newest) const {
  std::vector<Kept> all;
  uint64_t total = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    struct stat info {};
    const std::string path = entry.path().string();
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const auto ns = [](const timespec& t) { return t.tv_sec * kSecond + t.tv_nsec; };
    const int64_t used = std::max(ns(info.st_atim), ns(info.st_mtim));
    if (path.ends_with(".tmp")) {
      if (used + kLeftOver < now_ns()) fs::remove(path, error);
      continue;
    }
    all.push_back({path, static_cast<uint64_t>(info.st_size), used});
    total += all.back().bytes;
  }
  std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) { return a.used_ns < b.used_ns; });
  for (const Kept& kept : all) {
    if (total <= most_bytes_) return;
    if (kept.path == newest || !fs::remove(kept.path, error)) continue;
    total -= kept.bytes;
    log_info("data cache: {} removed, {:.1f} MB that were not used for longest", kept.path,
             static_cast<double>(kept.bytes) / 1e6);
  }
}

std::string default_data_cache() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string own = variable("TEMPER_CACHE"); !own.empty()) return own + "/data";
  if (const std::string all = variable("XDG_CACHE_HOME"); !all.empty()) return all + "/temper/data";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/temper/data";
  return fs::temp_directory_path().string() + "/.cache/temper/data";
}

}  // namespace temper
