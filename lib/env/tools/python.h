// The tool python.
#pragma once

#include "env/tools/tool.h"
#include "reward/sandbox.h"

namespace temper {

// Each call is a process of its own in a sandbox (reward/sandbox.h): nothing lasts from call to call.
struct PythonOptions : ToolOptions {
  PythonOptions();
  std::vector<std::string> command = {"python3", "-I", "-B"};
  SandboxLimits limits = {.wall_s = 10, .cpu_s = 10, .memory_mb = 1024, .output_bytes = 64 << 10};
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::vector<std::unique_ptr<Tool>> make() const override;
};

}  // namespace temper
