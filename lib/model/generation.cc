#include "model/generation.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace temper {

Json read_generation_config(const std::string& folder) {
  const std::string path = folder + "/generation_config.json";
  std::error_code error;
  if (folder.empty() || !fs::exists(path, error)) return Json::object();
  Json json = read_json_file(path);
  if (!json.is_object()) user_error("{}: expected an object, found {}", path, json.type_name());
  return json;
}

std::vector<int64_t> stored_end_ids(const std::string& folder) {
  const Json json = read_generation_config(folder);
  const auto it = json.find("eos_token_id");
  if (it == json.end() || it->is_null()) return {};
  std::vector<int64_t> out;
  for (const Json& id : it->is_array() ? *it : Json::array({*it})) {
    if (!id.is_number_integer()) {
      user_error("{}/generation_config.json: eos_token_id: expected a token id or an array of them, found {}",
                 folder, dump_line(*it).substr(0, 60));
    }
    out.push_back(id.get<int64_t>());
  }
  return out;
}

std::vector<int64_t> join_ids(const std::vector<int64_t>& more, const std::vector<int64_t>& ids) {
  std::vector<int64_t> out;
  const auto add = [&](const std::vector<int64_t>& list) {
    for (const int64_t id : list) {
      if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
    }
  };
  for (const int64_t id : more) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) add({id});
  }
  add(ids);
  return out;
}

void write_end_ids(const std::string& folder, const std::string& base, const std::vector<int64_t>& ids) {
  Json json = read_generation_config(folder);
  json.update(read_generation_config(base));
  if (!ids.empty()) json["eos_token_id"] = ids.size() == 1 ? Json(ids[0]) : Json(ids);
  write_file_atomic(folder + "/generation_config.json", json.dump(2) + "\n");
}

}  // namespace temper
