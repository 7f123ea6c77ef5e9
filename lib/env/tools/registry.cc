// Every tool that a config can name.
#include "env/tools/calculator.h"
#include "env/tools/command.h"
#include "env/tools/http.h"
#include "env/tools/mcp.h"
#include "env/tools/python.h"
#include "env/tools/search.h"

namespace temper {
namespace {

template <class Options>
std::unique_ptr<ToolOptions> make_tool() {
  return std::make_unique<Options>();
}

}  // namespace

void ToolOptions::fields(FieldVisitor& v) {
  v.field("name", name, {.help = "what it is called by"});
  v.field("description", description, {.help = "what the policy is told of it"});
}

void ToolEntry::fields(FieldVisitor& v) {
  v.choice_here("kind", options, kind, tool_registry());
}

Json one_parameter(const std::string& name, const std::string& type, const std::string& description) {
  return {{"type", "object"},
          {"properties", {{name, {{"type", type}, {"description", description}}}}},
          {"required", Json::array({name})}};
}

const Registry<ToolOptions>& tool_registry() {
  static const Registry<ToolOptions> registry = [] {
    Registry<ToolOptions> r("tool");
    r.add({"calculator", "exact arithmetic: + - * / ^ and parentheses", "Temper",
           make_tool<CalculatorOptions>});
    r.add({"python", "runs a Python program in a sandbox and gives what it prints", "Temper",
           make_tool<PythonOptions>});
    r.add({"search", "the passages of files that share the most telling words with a query",
           "Okapi BM25 (Robertson et al., TREC-3, 1994), as rank_bm25 has it", make_tool<SearchOptions>});
    r.add({"command",
           "a program of the user's: the arguments as JSON on its standard input, the result on its "
           "standard output",
           "Temper", make_tool<CommandOptions>});
    r.add({"http", "a server of the user's: the arguments are posted, the result is the body of its answer",
           "Temper", make_tool<HttpToolOptions>});
    r.add({"mcp", "all tools of a server of the Model Context Protocol, over its standard input and output",
           "Model Context Protocol, revision 2025-06-18", make_tool<McpOptions>});
    return r;
  }();
  return registry;
}

}  // namespace temper
