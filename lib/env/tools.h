// The policy calls tools and reads their results.
#pragma once

#include "env/introduce.h"
#include "env/tools/tool.h"
#include "text/tool_calls.h"

namespace temper {

// A turn with calls (text/tool_calls.h) is answered with a message for each, in their order: {"role": "tool",
// "name", "content", "tool_call_id"}; where the chat template does not show that role, with one of the user's
// that holds all results. A turn without one ends the conversation, and the run's rewards judge
// it. A call that cannot be made (no such tool, arguments that are no JSON or do not fit its schema, a tool
// that fails) is answered with what went wrong. Figures: tool_calls, tool_errors.
struct ToolsOptions : EnvironmentOptions {
  std::vector<ToolEntry> tools;
  std::string format = "auto", describe = "auto", results = "auto";
  int64_t max_calls = 16, max_result_chars = 4000;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<EnvironmentSource> make() const override;
};

// Valid UTF-8 of at most so many characters and a note, where it was longer: its beginning and its end.
std::string cut_in_the_middle(const std::string& text, int64_t most_chars);

}  // namespace temper
