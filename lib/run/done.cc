#include "run/done.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

namespace temper {

uint64_t Done::bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, file] : files) sum += file.bytes;
  return sum;
}

void write_done(const std::string& folder, int64_t step) {
  std::map<std::string, Json> files;  // by name: file systems list them in any order
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[entry.path().lexically_relative(folder).string()] = {
        {"bytes", entry.file_size()}, {"fingerprint", file_fingerprint(entry.path().string())}};
  }
  write_file_atomic(folder + "/DONE", Json{{"step", step}, {"files", files}}.dump(1) + "\n");
}

Done read_done(const std::string& folder) {
  const std::string where = folder + "/DONE";
  Done out;
  try {
    const Json json = parse_json(read_file(where, 16 << 20), where);
    const auto count = [](const Json& value) {
      if (!value.is_number_unsigned())
        user_error("DONE: expected a count, found {}", dump_line(value).substr(0, 40));
      return value.get<uint64_t>();
    };
    out.step = static_cast<int64_t>(count(json.at("step")));
    for (const auto& [name, entry] : json.at("files").items()) {
      if (entry.is_object())
        out.files[name] = {count(entry.at("bytes")), entry.at("fingerprint").get<std::string>()};
      else
        out.files[name] = {count(entry), ""};  // as it was written before there were fingerprints
    }
  } catch (const Json::exception& e) {
    user_error("DONE: {}", e.what());
  }
  for (const auto& [name, file] : out.files) {
    std::error_code error;
    const auto found = fs::file_size(folder + "/" + name, error);
    if (error) user_error("{}: {}", name, error.message());
    if (found != file.bytes) user_error("{} has {} bytes, expected {}", name, found, file.bytes);
  }
  return out;
}

void check_content(const std::string& folder, const Done& done) {
  for (const auto& [name, file] : done.files) {
    if (!file.fingerprint.empty() && file_fingerprint(folder + "/" + name) != file.fingerprint)
      user_error("{} is not what was written: its checksum differs", name);
  }
}

}  // namespace temper
