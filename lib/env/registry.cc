// Every environment that a config can name.
#include "env/attempts.h"
#include "env/budget.h"
#include "env/external_environment.h"
#include "env/tools.h"

namespace temper {
namespace {

template <class Options>
std::unique_ptr<EnvironmentOptions> make_environment() {
  return std::make_unique<Options>();
}

}  // namespace

void EnvironmentOptions::fields(FieldVisitor& v) {
  v.field("max_turns", max_turns,
          {.help = "turns that the policy may have; the last one is judged and not answered",
           .min = 1,
           .max = 10000});
  v.field(
      "turn_tokens", turn_tokens,
      {.help =
           "length of a turn; 0: no limit but rollout.max_new_tokens, which counts the tokens of both sides",
       .unit = "tokens",
       .min = 0});
}

const Registry<EnvironmentOptions>& environment_registry() {
  static const Registry<EnvironmentOptions> registry = [] {
    Registry<EnvironmentOptions> r("environment");
    r.add({"attempts", "several attempts at one question, with word of how many are left",
           "Learning from Failures in Multi-Attempt Reinforcement Learning (arXiv 2503.04808)",
           make_environment<AttemptsOptions>});
    r.add({"budget", "thinking within a budget of tokens, then the answer",
           "Qwen3 Technical Report (arXiv 2505.09388); s1: Simple test-time scaling (arXiv 2501.19393)",
           make_environment<BudgetOptions>});
    r.add({"process", "an external program answers and judges: one JSON object a line in and out", "Temper",
           make_environment<ProcessEnvironmentOptions>});
    r.add({"http", "a server answers and judges: each question is a POST of JSON", "Temper",
           make_environment<HttpEnvironmentOptions>});
    r.add({"tools", "the policy calls tools, whose results it reads in its next turn", "Temper",
           make_environment<ToolsOptions>});
    return r;
  }();
  return registry;
}

}  // namespace temper
