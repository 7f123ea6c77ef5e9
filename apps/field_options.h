// Command-line options made from a config struct's list of fields: --top-p for top_p, and so on.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"

namespace temper {

class FieldOptions {
 public:
  // Adds the options; lists may be given several times. Both arguments outlive this.
  FieldOptions(CLI::App& app, Fields& fields, const std::string& group) : fields_(fields) {
    for (const Json& field : describe_fields(fields)) {
      const std::string name = field["name"];
      std::string flag = "--" + name;
      std::replace(flag.begin(), flag.end(), '_', '-');
      const std::string help = field["help"].get<std::string>() + " [" + field["default"].dump() + "]";
      app.add_option(flag, typed_[name], help)->group(group)->expected(1)->allow_extra_args(false);
      is_list_[name] = field["default"].is_array();
    }
  }

  // What was typed goes through the same checks as a config file. Throws UserError.
  void read() {
    Json json = Json::object();
    for (const auto& [name, values] : typed_) {
      if (values.empty()) continue;
      const Json number = Json::parse(values.back(), nullptr, false);
      json[name] = is_list_[name] ? Json(values) : number.is_number() ? number : Json(values.back());
    }
    read_fields(fields_, json, "options", ".");
  }

 private:
  Fields& fields_;
  std::map<std::string, std::vector<std::string>> typed_;
  std::map<std::string, bool> is_list_;
};

}  // namespace temper
