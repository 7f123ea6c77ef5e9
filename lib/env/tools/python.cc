#include "env/tools/python.h"

#include <atomic>

#include "base/error.h"

namespace temper {
namespace {

const char* const kFile = "program.py";

// How it ended, for the policy to read; "" when it ended well.
std::string ending(const SandboxResult& result, const SandboxLimits& limits) {
  switch (result.end) {
    case SandboxEnd::kExit:
      return result.code == 0 ? "" : fmt::format("exited with {}", result.code);
    case SandboxEnd::kSignal:
      return fmt::format("was ended by signal {}", result.code);
    case SandboxEnd::kTime:
      return fmt::format("ran for more than {:g} seconds", limits.wall_s);
    case SandboxEnd::kOutput:
      return fmt::format("printed more than {} bytes", limits.output_bytes);
    case SandboxEnd::kFolder:
      return "wrote too many files";
    case SandboxEnd::kProcesses:
      return "started too many processes";
    case SandboxEnd::kStopped:
      break;
  }
  return "was stopped";
}

class Python : public Tool {
 public:
  Python(ToolSignature signature, const PythonOptions& options)
      : Tool(std::move(signature)), command_(options.command), limits_(options.limits) {
    sandbox_guards(command_[0]);
    command_.emplace_back(kFile);
  }

  ToolResult call(const Json& arguments) override {
    const SandboxResult result =
        run_sandboxed(limits_, command_, "", {{kFile, arguments["code"].get<std::string>()}}, &interrupted_);
    if (interrupted_) user_error("tool \"{}\": interrupted", signature().name);
    std::string text = result.out;
    const std::string how = ending(result, limits_);
    for (const std::string& more : {result.err, how.empty() ? "" : "The program " + how + "."}) {
      if (!text.empty() && !more.empty() && text.back() != '\n') text += '\n';
      text += more;
    }
    if (text.empty()) text = "(It printed nothing.)";
    return {std::move(text), how.empty()};
  }
  bool external() const override { return true; }
  void interrupt() override { interrupted_ = true; }

 private:
  std::vector<std::string> command_;
  SandboxLimits limits_;
  std::atomic<bool> interrupted_ = false;
};

}  // namespace

PythonOptions::PythonOptions() {
  name = "python";
  description = "Runs a Python program. Its result is what the program prints.";
}

void PythonOptions::fields(FieldVisitor& v) {
  ToolOptions::fields(v);
  v.field("command", command, {.help = "what runs a program; its file is appended"});
  v.field("timeout_s", limits.wall_s,
          {.help = "of a call, then the program and all that it started are killed",
           .unit = "s",
           .min = 0.01,
           .max = 86400});
  v.field("cpu_s", limits.cpu_s,
          {.help = "processor time of a process", .unit = "s", .min = 1, .max = 86400});
  v.field("memory_mb", limits.memory_mb,
          {.help = "address space of a process", .unit = "MB", .min = 16, .max = 1 << 20});
  v.field("output_bytes", limits.output_bytes,
          {.help = "longest standard output, and standard error; a program that prints more is killed",
           .unit = "bytes",
           .min = 1,
           .max = 1 << 30});
  v.field("readable", limits.readable,
          {.help = "files and folders that programs may read beside the system's; see the reward code"});
}

void PythonOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (command.empty() || command[0].empty())
    problems.push_back(where + ".command: missing; expected a program and its arguments, as [\"python3\"]");
}

std::vector<std::unique_ptr<Tool>> PythonOptions::make() const {
  std::vector<std::unique_ptr<Tool>> out;
  out.push_back(std::make_unique<Python>(
      ToolSignature{name, description, one_parameter("code", "string", "the program")}, *this));
  return out;
}

}  // namespace temper
