// Tools that a policy can call.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"

namespace temper {

struct ToolResult {
  std::string text;
  bool ok = true;  // false: text says what went wrong, for the policy to read
};

struct ToolSignature {
  std::string name, description;
  Json parameters;      // a JSON Schema of an object
  bool checked = true;  // false: the tool itself checks its arguments, as the schema is not ours
};

class Tool {
 public:
  explicit Tool(ToolSignature signature) : signature_(std::move(signature)) {}
  virtual ~Tool() = default;
  const ToolSignature& signature() const { return signature_; }
  // From any thread. arguments: an object that fits the schema. Never throws for what the policy wrote;
  // throws UserError when the tool is gone for good, and soon after interrupt().
  virtual ToolResult call(const Json& arguments) = 0;
  // It waits for something outside this process.
  virtual bool external() const { return false; }
  virtual void interrupt() {}

 private:
  ToolSignature signature_;
};

// Options of one entry of the environment's "tools"; `kind` picks it from the registry. name, description:
// what the policy is told; kinds that take theirs from elsewhere do not list them.
struct ToolOptions : Fields {
  std::string name, description;
  void fields(FieldVisitor& v) override;
  // Starts what the tools need; throws UserError when it cannot.
  virtual std::vector<std::unique_ptr<Tool>> make() const = 0;
};
const Registry<ToolOptions>& tool_registry();

struct ToolEntry : Fields {
  std::string kind;
  std::unique_ptr<ToolOptions> options;
  void fields(FieldVisitor& v) override;
};

// {"type": "object", "properties": {name: {"type": type, "description": ...}}, "required": [name]}
Json one_parameter(const std::string& name, const std::string& type, const std::string& description);

}  // namespace temper
