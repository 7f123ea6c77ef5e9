#include "train/config_paths.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "train/config.h"

namespace temper {
namespace {

// Visits all values and keeps what is said of the paths among them.
class PathVisitor : public FieldVisitor {
 public:
  void field(const char*, bool&, const FieldInfo&) override {}
  void field(const char*, int64_t&, const FieldInfo&) override {}
  void field(const char*, double&, const FieldInfo&) override {}
  void field(const char* name, std::string& value, const FieldInfo& info) override {
    if (info.path) check(name, value);
  }
  void field(const char* name, std::vector<std::string>& values, const FieldInfo& info) override {
    for (size_t i = 0; info.path && i < values.size(); ++i) check(name, values[i]);
  }
  void field(const char*, std::vector<double>&, const FieldInfo&) override {}
  void field(const char*, std::optional<double>&, const FieldInfo&) override {}
  void field(const char*, std::optional<int64_t>&, const FieldInfo&) override {}
  void field(const char*, Json&, const FieldInfo&) override {}

  void check(const std::string& name, const std::string& path) {
    std::error_code error;
    const std::string field = prefix_.empty() ? name : prefix_.back() + name;
    if (path.empty() || field == "run" || fs::exists(path, error)) return;
    missing.push_back(
        fmt::format("{}: {}: {}", field, path, error ? error.message() : "there is no such file or folder"));
  }

  std::vector<std::string> missing;

 protected:
  bool enter(const char* name, const std::string&) override {
    push(name);
    return true;
  }
  void leave() override { prefix_.pop_back(); }
  std::string pick(const char*, const std::string& current, const std::vector<std::string>&) override {
    return current;
  }
  bool enter_list(const char* name, const std::string&, size_t current, size_t& count) override {
    push(name);
    count = current;
    return true;
  }
  void enter_item(size_t index) override { push(std::to_string(index)); }
  void leave_item() override { prefix_.pop_back(); }
  void leave_list() override { prefix_.pop_back(); }

 private:
  void push(const std::string& name) {
    prefix_.push_back((prefix_.empty() ? "" : prefix_.back()) + name + ".");
  }
  std::vector<std::string> prefix_;
};

}  // namespace

std::vector<std::string> missing_paths(const RunConfig& config) {
  PathVisitor visitor;
  const_cast<RunConfig&>(config).fields(visitor);  // which changes nothing: see the writers of fields
  if (config.data.chat_template != "auto" && config.data.chat_template != "chatml")
    visitor.check("data.template", config.data.chat_template);
  return visitor.missing;
}

void load_startable_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets) {
  RunConfig read;
  std::string problems;
  try {
    read_config_file(read, path, sets);
  } catch (const UserError& e) {
    problems = e.what();
  }
  for (const std::string& line : missing_paths(read))
    problems += fmt::format("{}{}: {}", problems.empty() ? "" : "\n", path, line);
  if (!problems.empty()) throw UserError(problems);
  load_run_config(config, path, sets);
}

}  // namespace temper
