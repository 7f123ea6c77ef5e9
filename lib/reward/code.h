// Programs that completions hold, run against the record's tests in a sandbox (reward/sandbox.h).
//
// A record has `tests`, texts that are appended to the program (assert lines), or `inputs` and `outputs`,
// what the program reads and what it then has to print, or both. Each test runs in a process of its own that
// begins with the program: no test sees what another changed, and one that hangs or crashes costs itself
// alone. So a test may not need what an earlier one has set; such tests are one text. A text of assert lines
// alone is a test a line.
//
// Beside its number a score says which of CodeRL's outcomes the program had, the worst of the tests that were
// run, and of the first test that went so what the program printed. What a program prints may differ from run
// to run (times, addresses), and then its text does.
#pragma once

#include "reward/reward.h"
#include "reward/sandbox.h"

namespace temper {

struct CodeOptions : RewardOptions {
  std::string extract = "block", score = "all";
  std::vector<std::string> languages = {"", "python", "python3", "py"};
  std::vector<std::string> command = {"python3", "-I", "-B"};
  std::vector<std::string> compile_command = python_compiles();
  std::string file = "program.py";
  std::string tests = "tests", inputs = "inputs", outputs = "outputs";
  std::string finish = "__import__('os').write(1, b'\\n{a}' b'{b}\\n')", failure = "AssertionError";
  SandboxLimits limits;
  int64_t output_kb = 1024, workers = 0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;  // UserError when a command cannot be run here
  static std::vector<std::string> python_compiles();
};

// The text of the last ``` block whose language is one of these ("": none is named), without its fences; one
// that is not closed goes to the end. nullopt: no such block.
std::optional<std::string> last_block(const std::string& text, const std::vector<std::string>& languages);

// Whether two outputs are the same but for blanks at both ends of lines and empty lines at the end.
bool same_output(const std::string& found, const std::string& wanted);

}  // namespace temper
