#include "run/files.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/version.h"

namespace temper {
namespace {

bool is_read(const fs::path& file) {
  static const std::set<std::string> kEndings = {".safetensors", ".json", ".jsonl", ".jinja",
                                                 ".model",       ".txt",  ".gguf"};
  return kEndings.contains(file.extension().string());
}

RunFile folder_identity(const std::string& field, const std::string& path) {
  RunFile out{field, path, 0, ""};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file() && is_read(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Fingerprint all;
  for (const fs::path& file : files) {
    out.bytes += fs::file_size(file);
    all.add(file.filename().string()).add(file_fingerprint(file.string()));
  }
  out.fingerprint = all.hex();
  return out;
}

// The folder of the model that an adapter folder is for, where it is one here; else "".
std::string base_of(const std::string& folder) {
  const std::string config = folder + "/adapter_config.json";
  if (!fs::exists(config)) return "";
  const Json json = read_json_file(config);
  const Json base = json.is_object() ? json.value("base_model_name_or_path", Json()) : Json();
  return base.is_string() && fs::is_directory(base.get<std::string>()) ? base.get<std::string>() : "";
}

}  // namespace

std::vector<RunFile> run_files(const std::vector<NamedPath>& paths) {
  std::vector<RunFile> out;
  for (const auto& [field, path] : paths) {
    if (fs::is_directory(path)) {
      out.push_back(folder_identity(field, path));
      if (const std::string base = base_of(path); !base.empty()) out.push_back(folder_identity(field, base));
    } else if (fs::is_regular_file(path)) {
      out.push_back({field, path, fs::file_size(path), file_fingerprint(path)});
    }
  }
  return out;
}

Json to_json(const std::vector<RunFile>& files) {
  Json out = Json::array();
  for (const RunFile& f : files)
    out.push_back({{"field", f.field}, {"path", f.path}, {"bytes", f.bytes}, {"fingerprint", f.fingerprint}});
  return {{"temper", version()}, {"files", out}};
}

std::vector<std::string> changed_files(const Json& before, const std::vector<RunFile>& now,
                                       const std::string& where) {
  std::vector<std::string> out;
  try {
    for (const Json& entry : before.at("files")) {
      const auto field = entry.at("field").get<std::string>(), path = entry.at("path").get<std::string>();
      const auto it = std::find_if(now.begin(), now.end(),
                                   [&](const RunFile& f) { return f.field == field && f.path == path; });
      if (it == now.end() || it->fingerprint == entry.at("fingerprint").get<std::string>()) continue;
      const auto bytes = entry.at("bytes").get<uint64_t>();
      out.push_back(fmt::format("{}: {}: {}", field, path,
                                bytes == it->bytes ? "other content of the same size"
                                                   : fmt::format("{} bytes then, {} now", bytes, it->bytes)));
    }
  } catch (const Json::exception& e) {
    user_error("{}: not a list of a run's files: {}", where, e.what());
  }
  return out;
}

}  // namespace temper
