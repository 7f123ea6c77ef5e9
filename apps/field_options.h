// Command-line options made from a config struct's list of fields: --top-p for top_p, and so on.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fields.h"
#include "base/json.h"

namespace temper {

class FieldOptions {
 public:
  // Adds the options; lists may be given several times. Both arguments outlive this.
  FieldOptions(CLI::App& app, Fields& fields, const std::string& group) : fields_(fields) {
    for (const Json& field : describe_fields(fields)) {
      const std::string name = field["name"];
      const std::string flag = flag_of(name);
      const std::string help = field["help"].get<std::string>() + " [" + field["default"].dump() + "]";
      is_list_[name] = field["default"].is_array();
      auto* option =
          app.add_option(flag, typed_[name], help)->group(group)->type_size(1)->allow_extra_args(false);
      if (!is_list_[name]) option->expected(1);
    }
  }

  bool given(const std::string& name) const { return !typed_.at(name).empty(); }

  // What was typed goes through the same checks as a config file. Throws UserError.
  void read() {
    Json json = Json::object();
    for (const auto& [name, values] : typed_) {
      if (values.empty()) continue;
      const Json number = Json::parse(values.back(), nullptr, false);
      json[name] = is_list_[name]                             ? Json(values)
                   : number.is_number() || number.is_object() ? number
                                                              : Json(values.back());
    }
    try {
      read_fields(fields_, json, kWhere, ".");
    } catch (const UserError& e) {
      throw UserError(with_flags(e.what()));
    }
  }

 private:
  static constexpr const char* kWhere = "options";

  static std::string flag_of(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return "--" + name;
  }

  // "options: top_p: ..." as "--top-p: ...", on every line.
  std::string with_flags(std::string text) const {
    for (const auto& [name, values] : typed_) {
      const std::string field = fmt::format("{}: {}:", kWhere, name);
      for (size_t at = text.find(field); at != std::string::npos; at = text.find(field, at))
        text.replace(at, field.size(), flag_of(name) + ":");
    }
    return text;
  }

  Fields& fields_;
  std::map<std::string, std::vector<std::string>> typed_;
  std::map<std::string, bool> is_list_;
};

}  // namespace temper
