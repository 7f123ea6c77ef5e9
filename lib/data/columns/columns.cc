#include "data/columns/columns.h"

#include <dlfcn.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "data/source/decompress.h"

namespace temper {
namespace {

constexpr const char* kModule = "libtemper_columns.so";

// The module's reader: beside the program that runs, installed or built, or where this library was built.
ReadColumns* find_reader(const std::string& where, const char* kind) {
  std::error_code none;
  const fs::path bin = fs::read_symlink("/proc/self/exe", none).parent_path();
  std::string why = "libtemper_columns.so is not there";
  for (const fs::path& folder : {bin / "../lib", fs::path(TEMPER_COLUMNS_FOLDER)}) {
    const fs::path file = folder / kModule;
    if (!fs::exists(file, none)) continue;
    // Its symbols stay its own. It is never closed: Arrow keeps threads.
    void* module = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* reader = module == nullptr ? nullptr : dlsym(module, kReadColumns);
    if (reader != nullptr) return reinterpret_cast<ReadColumns*>(reader);
    const char* error = dlerror();
    if (error != nullptr) why = error;
  }
  user_error(
      "{}: {}, which this build cannot read ({}); scripts/setup.sh builds it with Arrow, or write the file "
      "as "
      "JSONL",
      where, kind, why);
}

}  // namespace

const char* columns_kind(std::string_view bytes) {
  if (bytes.starts_with("PAR1")) return "Parquet";
  if (bytes.starts_with("ARROW1") || bytes.starts_with("\xFF\xFF\xFF\xFF")) return "Arrow";
  return nullptr;
}

void read_columns(std::string_view bytes, const std::string& where, const std::function<void(Json)>& row) {
  find_reader(where, columns_kind(bytes))(bytes, where, most_unpacked(bytes.size()), row);
}

std::vector<std::string> saved_files(const std::string& folder) {
  const fs::path at(folder);
  const std::string state = (at / "state.json").string(), splits = (at / "dataset_dict.json").string();
  std::error_code none;
  if (fs::exists(splits, none)) {
    const Json json = read_json_file(splits);
    std::string names;
    for (const Json& split : json.is_object() ? json.value("splits", Json::array()) : Json::array())
      names += (names.empty() ? "" : ", ") + (split.is_string() ? split.get<std::string>() : split.dump());
    user_error("{}: a folder of the splits {}; name one of them, {}/...", folder, names, folder);
  }
  if (!fs::exists(state, none))
    user_error(
        "{}: a folder, expected a file, or a folder that datasets' save_to_disk wrote (state.json is not "
        "there)",
        folder);
  const Json json = read_json_file(state);
  std::vector<std::string> out;
  const Json files = json.is_object() ? json.value("_data_files", Json()) : Json();
  for (const Json& file : files.is_array() ? files : Json::array()) {
    if (!file.is_object() || !file.contains("filename") || !file["filename"].is_string()) continue;
    out.push_back((at / file["filename"].get<std::string>()).string());
  }
  if (out.empty()) user_error("{}: names no files in \"_data_files\"", state);
  return out;
}

}  // namespace temper
