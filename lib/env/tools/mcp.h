// Tools of a server of the Model Context Protocol.
#pragma once

#include "env/tools/tool.h"

namespace temper {

// The server is a program that reads and writes JSON-RPC 2.0, a message a line. It is started with the run,
// asked for its tools (all pages), and then called by many conversations at once; it knows nothing of them.
// One that ends is started again, and the call that it ended in is tried once more. A call that is not
// answered in time is given up; when a second one is before any other is answered, the server is ended. Of a
// result its texts are given, of other content what kind it is.
struct McpOptions : ToolOptions {
  std::vector<std::string> command;
  std::vector<std::string> only;
  double timeout_s = 30, start_timeout_s = 60;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  // Starts the server. Throws UserError when it does not speak the protocol or has no tools.
  std::vector<std::unique_ptr<Tool>> make() const override;
};

}  // namespace temper
