#include "train/config_paths.h"

#include "base/error.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/hub.h"
#include "base/json.h"
#include "base/log.h"
#include "train/config.h"

namespace temper {
namespace {

// Goes through a config without changing it and notes what its path fields say.
class Paths : public FieldVisitor {
 public:
  std::vector<NamedPath> found;

  void field(const char*, bool&, const FieldInfo&) override {}
  void field(const char*, int64_t&, const FieldInfo&) override {}
  void field(const char*, double&, const FieldInfo&) override {}
  void field(const char* name, std::string& value, const FieldInfo& info) override {
    note(name, value, info);
  }
  void field(const char* name, std::vector<std::string>& values, const FieldInfo& info) override {
    for (const std::string& value : values) note(name, value, info);
  }
  void field(const char*, std::vector<double>&, const FieldInfo&) override {}
  void field(const char*, std::optional<double>&, const FieldInfo&) override {}
  void field(const char*, std::optional<int64_t>&, const FieldInfo&) override {}
  void field(const char* name, Json& value, const FieldInfo& info) override {
    if (value.is_string()) note(name, value, info);  // a file instead of what it holds
  }
  void field(const char*, ConfigPart&, const FieldInfo&) override {}

 protected:
  bool enter(const char* name, const std::string&) override {
    parts_.emplace_back(name);
    return true;
  }
  void leave() override { parts_.pop_back(); }
  std::string pick(const char*, const std::string& current, const std::vector<std::string>&) override {
    return current;
  }
  bool enter_list(const char* name, const std::string&, size_t current, size_t& count) override {
    parts_.emplace_back(name);
    count = current;
    return true;
  }
  void enter_item(size_t index) override { parts_.push_back(std::to_string(index)); }
  void leave_item() override { parts_.pop_back(); }
  void leave_list() override { parts_.pop_back(); }

 private:
  void note(const char* name, const std::string& value, const FieldInfo& info) {
    if (!info.path || value.empty()) return;
    std::string field;
    for (const std::string& part : parts_) field += part + ".";
    found.push_back({field + name, value});
  }
  std::vector<std::string> parts_;
};

}  // namespace

std::vector<NamedPath> config_paths(const RunConfig& config) {
  Paths paths;
  const_cast<RunConfig&>(config).fields(paths);  // fields() is non-const only because readers share it
  std::erase_if(paths.found, [](const NamedPath& p) { return p.field == "run"; });
  const std::string& chat = config.data.chat_template;
  if (!chat.empty() && chat != "auto" && chat != "chatml") paths.found.push_back({"data.template", chat});
  if (config.task) {
    for (NamedPath& path : config.task->further_paths(config)) paths.found.push_back(std::move(path));
  }
  return paths.found;
}

std::vector<std::string> missing_paths(const RunConfig& config) {
  std::vector<std::string> out;
  for (const auto& [field, path] : config_paths(config)) {
    std::error_code error;
    if (fs::exists(path, error)) continue;
    if ((field == "path" || field.ends_with(".path")) && is_hub_name(path)) {
      out.push_back(fmt::format("{}: {}: {}", field, path, not_cached(path)));
      continue;
    }
    out.push_back(
        fmt::format("{}: {}: {}", field, path, error ? error.message() : "there is no such file or folder"));
  }
  return out;
}

void load_startable_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets,
                           int64_t processes) {
  RunConfig read(*config.tasks);
  std::string problems;
  try {
    read_config_file(read, path, sets);
  } catch (const UserError& e) {
    problems = e.what();
  }
  for (const std::string& line : missing_paths(read))
    problems += fmt::format("{}{}: {}", problems.empty() ? "" : "\n", path, line);
  if (!problems.empty()) throw UserError(problems);
  load_run_config(config, path, sets, processes);
  for (const auto& [field, folder] : config_paths(config)) {
    const std::string cached = hub_name_of(folder);
    if (!cached.empty()) log_info("{}: {} from the hub's cache, {}", field, cached, folder);
  }
}

}  // namespace temper
