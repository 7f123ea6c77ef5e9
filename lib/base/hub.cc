#include "base/hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace temper {
namespace {

bool is_name(const std::string& text) {
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text[0] != '.' && std::all_of(text.begin(), text.end(), fits);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string folder = environment(name); !folder.empty()) return folder;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface" / "hub";
  return fs::path(environment("HOME")) / ".cache" / "huggingface" / "hub";
}

bool is_model(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "config.json", error);
}

}  // namespace

bool is_hub_name(const std::string& text) {
  std::error_code error;
  const size_t slash = text.find('/');
  return slash != std::string::npos && is_name(text.substr(0, slash)) && is_name(text.substr(slash + 1)) &&
         !fs::exists(text, error);
}

std::string cached_model(const std::string& name) {
  if (!is_hub_name(name)) return "";
  const size_t slash = name.find('/');
  const fs::path model =
      cache_folder() / ("models--" + name.substr(0, slash) + "--" + name.substr(slash + 1));
  std::error_code error;
  if (fs::exists(model / "refs" / "main", error)) {
    std::string revision = read_file((model / "refs" / "main").string(), 1 << 10);
    revision.erase(
        std::find_if(revision.begin(), revision.end(), [](unsigned char c) { return !std::isxdigit(c); }),
        revision.end());
    if (const fs::path folder = model / "snapshots" / revision; !revision.empty() && is_model(folder))
      return folder.string();
  }
  fs::path newest;
  fs::file_time_type when;
  for (fs::directory_iterator at(model / "snapshots", error), end; !error && at != end; at.increment(error)) {
    const fs::file_time_type time = fs::last_write_time(at->path(), error);
    if (error || !is_model(at->path()) || (!newest.empty() && time <= when)) continue;
    newest = at->path();
    when = time;
  }
  return newest.string();
}

std::string hub_name_of(const std::string& folder) {
  const fs::path path(folder);
  const std::string model = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() != "snapshots" || !model.starts_with("models--")) return "";
  const size_t between = model.find("--", 8);
  return between == std::string::npos ? "" : model.substr(8, between - 8) + "/" + model.substr(between + 2);
}

std::string not_cached(const std::string& name) {
  return fmt::format(
      "neither a folder nor in the hub's cache; `hf download {} --local-dir models/{}` (huggingface-cli in "
      "older "
      "versions) fetches it",
      name, name.substr(name.find('/') + 1));
}

std::string model_folder(const std::string& text) {
  if (!is_hub_name(text)) return text;
  const std::string cached = cached_model(text);
  if (cached.empty()) user_error("{}: {}", text, not_cached(text));
  log_info("{}: from the hub's cache, {}", text, cached);
  return cached;
}

}  // namespace temper
