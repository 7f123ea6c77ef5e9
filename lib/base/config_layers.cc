#include "base/config_layers.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace temper {
namespace {

void collect_layers(const std::string& path, std::vector<std::string>& open,
                    std::vector<ConfigLayer>& layers) {
  std::error_code unknown;  // a name that cannot be a file's; reading it says so
  const std::string canonical = fs::weakly_canonical(path, unknown).string();
  if (std::find(open.begin(), open.end(), canonical) != open.end()) {
    user_error("{}: \"extends\" goes in a circle: {}", path, fmt::join(open, ", "));
  }
  if (open.size() > 16) user_error("{}: more than 16 layers of \"extends\"", path);
  open.push_back(canonical);
  Json json = parse_json(read_file(path, kMaxConfigBytes), path);
  if (json.is_object() && json.contains("extends")) {
    const Json extends = json["extends"];
    json.erase("extends");
    const Json bases = extends.is_array() ? extends : Json::array({extends});
    for (const Json& base : bases) {
      if (!base.is_string())
        user_error("{}: extends: expected a file name, found {}", path, dump_line(base).substr(0, 60));
      collect_layers(path_beside(path, base.get<std::string>()), open, layers);
    }
  }
  open.pop_back();
  if (layers.size() == kMaxConfigLayers)
    user_error("{}: \"extends\" adds up to more than {} files", path, kMaxConfigLayers);
  layers.push_back({std::move(json), path, fs::path(path).parent_path().string()});
}

bool is_index(const std::string& part) {
  return !part.empty() && part.size() < 6 && part.find_first_not_of("0123456789") == std::string::npos;
}

// a.b=VALUE into the overrides; where the path goes through an array, into the nearest layer that holds the
// array.
void apply_set(const std::string& given, std::vector<ConfigLayer>& layers, Json& overrides) {
  const std::string set = given.size() > 80 ? given.substr(0, 77) + "..." : given;
  const size_t equals = given.find('=');
  if (equals == std::string::npos || equals == 0) user_error("--set {}: expected a.b=VALUE", set);
  std::vector<std::string> parts;
  const std::string key = given.substr(0, equals);
  json_or_text(key, "--set " + set);  // valid UTF-8
  for (size_t at = 0; at <= key.size();) {
    const size_t dot = std::min(key.find('.', at), key.size());
    parts.push_back(key.substr(at, dot - at));
    if (parts.size() > kMaxSetParts) user_error("--set {}: more than {} parts", set, kMaxSetParts);
    at = dot + 1;
  }
  const Json value = json_or_text(given.substr(equals + 1), "--set " + key.substr(0, 80));

  const auto index = std::find_if(parts.begin(), parts.end(), is_index);
  if (index == parts.end()) {
    Json* at = &overrides;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      at = &(*at)[parts[i]];
      if (!at->is_null() && !at->is_object())
        user_error("--set {}: \"{}\" is set to a value, not an object", set, parts[i]);
    }
    (*at)[parts.back()] = value;
    return;
  }
  std::vector<Json*> nearest = {&overrides};
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) nearest.push_back(&layer->json);
  for (Json* at : nearest) {
    bool found = true;
    for (size_t i = 0; found && i + 1 < parts.size(); ++i) {
      if (at->is_array() && is_index(parts[i]) && std::stoul(parts[i]) < at->size())
        at = &(*at)[std::stoul(parts[i])];
      else if (at->is_object() && at->contains(parts[i]))
        at = &(*at)[parts[i]];
      else
        found = false;
    }
    if (!found) continue;
    if (at->is_array() && is_index(parts.back()) && std::stoul(parts.back()) < at->size()) {
      (*at)[std::stoul(parts.back())] = value;
      return;
    }
    if (at->is_object()) {
      (*at)[parts.back()] = value;
      return;
    }
  }
  user_error("--set {}: the config has no such array element", set);
}

}  // namespace

Json json_or_text(const std::string& text, const std::string& where) {
  if (text.size() > kMaxConfigBytes) user_error("{}: longer than {} bytes", where, kMaxConfigBytes);
  if (Json::accept(text, /*ignore_comments=*/true)) return parse_json(text, where);
  try {
    Json(text).dump();
  } catch (const Json::type_error&) {
    user_error("{}: not valid UTF-8", where);
  }
  return text;
}

std::vector<ConfigLayer> config_layers(const std::string& path, const std::vector<std::string>& sets) {
  std::vector<ConfigLayer> layers;
  std::vector<std::string> open;
  collect_layers(path, open, layers);
  Json overrides = Json::object();
  for (const std::string& set : sets) apply_set(set, layers, overrides);
  if (!overrides.empty()) layers.push_back({overrides, "--set", ""});
  return layers;
}

}  // namespace temper
