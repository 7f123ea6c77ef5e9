#include "env/tools/command.h"

#include <atomic>

#include "base/error.h"
#include "reward/child_process.h"
#include "reward/text/json_schema.h"

namespace temper {
namespace {

using Clock = ChildProcess::Clock;
constexpr std::chrono::milliseconds kGlance(100);  // between looks at whether the run goes on

class Command : public Tool {
 public:
  Command(ToolSignature signature, const CommandOptions& options)
      : Tool(std::move(signature)),
        command_(options.command),
        timeout_(options.timeout_s),
        output_bytes_(static_cast<size_t>(options.output_bytes)) {}

  ToolResult call(const Json& arguments) override {
    ChildProcess child(command_);
    child.send(dump_line(arguments) + "\n");
    child.close_input();
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(timeout_);
    std::string out;
    for (bool alive = true; alive;) {
      std::vector<std::string> lines;
      alive = child.pump(std::min(deadline, Clock::now() + kGlance), lines);
      for (const std::string& line : lines) out += line + "\n";
      if (!alive) out += child.unfinished_line();
      if (interrupted_) {
        child.kill();
        user_error("tool \"{}\": interrupted", signature().name);
      }
      if (out.size() + child.unfinished_line().size() > output_bytes_) {
        child.kill();
        return {fmt::format("the program wrote more than {} bytes", output_bytes_), false};
      }
      if (alive && Clock::now() >= deadline) {
        child.kill();
        return {fmt::format("the program gave no result within {:g} seconds", timeout_.count()), false};
      }
    }
    const std::string how = child.kill();
    if (how == "exited with 0") return {std::move(out)};
    return {
        fmt::format("the program {}{}{}", how, child.error_tail().empty() ? "" : ": ", child.error_tail()),
        false};
  }
  bool external() const override { return true; }
  void interrupt() override { interrupted_ = true; }

 private:
  std::vector<std::string> command_;
  std::chrono::duration<double> timeout_;
  size_t output_bytes_;
  std::atomic<bool> interrupted_ = false;
};

}  // namespace

std::string parameters_problem(const Json& parameters) {
  if (!parameters.is_object() || parameters.value("type", Json()) != "object")
    return "expected a JSON Schema with \"type\": \"object\"";
  try {
    const JsonSchema schema(parameters, "parameters");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

void CommandOptions::fields(FieldVisitor& v) {
  ToolOptions::fields(v);
  v.field("command", command, {.help = "the program and its arguments", .required = true});
  v.field("parameters", parameters, {.help = "JSON Schema of the arguments"});
  v.field("timeout_s", timeout_s,
          {.help = "of a call, then the program and all that it started are killed",
           .unit = "s",
           .min = 0.01,
           .max = 86400});
  v.field("output_bytes", output_bytes,
          {.help = "longest standard output; a program that writes more is killed",
           .unit = "bytes",
           .min = 1,
           .max = 1 << 24});
}

void CommandOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (command.empty() || command[0].empty())
    problems.push_back(where + ".command: expected a program and its arguments, found none");
  if (name.empty()) problems.push_back(where + ".name: missing; expected what the policy calls it by");
  const std::string problem = parameters_problem(parameters);
  if (!problem.empty()) problems.push_back(where + ".parameters: " + problem);
}

std::vector<std::unique_ptr<Tool>> CommandOptions::make() const {
  std::vector<std::unique_ptr<Tool>> out;
  out.push_back(std::make_unique<Command>(ToolSignature{name, description, parameters}, *this));
  return out;
}

}  // namespace temper
