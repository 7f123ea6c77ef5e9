// Tools as a config makes them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "env/tools.h"

namespace temper {

struct ToolsSection : Fields {
  std::string kind;
  std::unique_ptr<EnvironmentOptions> options;
  void fields(FieldVisitor& v) override {
    v.choice("environment", "kind", options, kind, environment_registry(), "");
  }
};

// more: further keys of the environment. Throws UserError.
inline std::unique_ptr<EnvironmentOptions> tools_options(const Json& tools,
                                                         const Json& more = Json::object()) {
  Json environment = {{"kind", "tools"}, {"tools", tools}};
  environment.update(more);
  ToolsSection section;
  read_fields(section, {{"environment", environment}}, "test", ".");
  return std::move(section.options);
}

inline std::vector<std::unique_ptr<Tool>> tools_of(const Json& entry) {
  const auto options = tools_options(Json::array({entry}));
  return dynamic_cast<const ToolsOptions&>(*options).tools[0].options->make();
}

inline std::unique_ptr<Tool> tool_of(const Json& entry) {
  return std::move(tools_of(entry).at(0));
}

}  // namespace temper
