// The tool command.
#pragma once

#include "env/tools/tool.h"

namespace temper {

// A program of the user's, trusted with all that this process may do, started for each call: the arguments as
// one JSON object on its standard input, which ends there; the result on its standard output. An exit code
// other than 0 is an error of the call, told with the end of its standard error.
struct CommandOptions : ToolOptions {
  std::vector<std::string> command;
  Json parameters = {{"type", "object"}, {"properties", Json::object()}};
  double timeout_s = 30;
  int64_t output_bytes = 1 << 20;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::vector<std::unique_ptr<Tool>> make() const override;
};

// What is wrong with a tool's parameters; "": nothing.
std::string parameters_problem(const Json& parameters);

}  // namespace temper
