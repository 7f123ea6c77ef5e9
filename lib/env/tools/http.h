// The tool http.
#pragma once

#include "base/http.h"
#include "env/tools/tool.h"

namespace temper {

// Each call posts the arguments as one JSON object to a server of the user's; the result is the body of its
// answer. An answer that is no success (2xx) is an error of the call, told with what the server said.
struct HttpToolOptions : ToolOptions {
  HttpOptions http;
  Json parameters = {{"type", "object"}, {"properties", Json::object()}};
  HttpToolOptions();
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::vector<std::unique_ptr<Tool>> make() const override;
};

}  // namespace temper
